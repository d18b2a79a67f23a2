//! The job object that holds this process and all that it starts (Job Objects, "Nested Jobs").
//!
//! The system ends a job's processes when its last handle is closed, and this process has the only one. Cargo does the same.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::Command;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, INFINITE, OpenProcess, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess,
    WaitForSingleObject,
};

/// Made when it is first asked for, and never closed but by the end of this process.
static JOB: OnceLock<Job> = OnceLock::new();

/// How many processes are listed at a time.
const LISTED_MAX: usize = 1024;

/// Each round ends all that it sees, so only a fork bomb would need more.
const ROUNDS_MAX: usize = 1000;

/// Ends all children, those of other commands too, when this process ends.
pub(crate) fn die_with_parent(_command: &mut Command) {
    if let Err(error) = job() {
        // Without the job a killed driver leaves its children behind; that is no reason not to build.
        tracing::warn!(%error, "children will outlive this process if it is killed");
    }
}

/// Lets what children left behind, daemons say, outlive the clean end of this process.
pub(crate) fn spare_descendants() -> io::Result<()> {
    JOB.get().map_or(Ok(()), |job| job.limit(0))
}

/// Makes the job hold orphans too: those that are started from now on.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    job().map(drop)
}

/// Ends every process of the job but this one, and waits until they have ended.
pub(crate) fn end_descendants() -> io::Result<()> {
    let job = job()?;
    let me = std::process::id();
    for _ in 0..ROUNDS_MAX {
        let mut any = false;
        for pid in job.processes()?.into_iter().filter(|&pid| pid != me) {
            any = true;
            end(pid)?;
        }
        if !any {
            return Ok(());
        }
    }
    Err(io::Error::other(
        "processes are started faster than they can be ended",
    ))
}

fn job() -> io::Result<&'static Job> {
    if let Some(job) = JOB.get() {
        return Ok(job);
    }
    let job = Job::around_this_process()?;
    // Two threads at once: the job that loses would end this process when it is closed.
    if let Err(second) = JOB.set(job) {
        second.limit(0)?;
    }
    JOB.get()
        .ok_or_else(|| io::Error::other("the job object is lost"))
}

struct Job(OwnedHandle);

impl Job {
    fn around_this_process() -> io::Result<Self> {
        // SAFETY: no attributes and no name are passed; a null handle is checked for.
        let handle = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is ours and valid.
        let job = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        job.limit(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        // SAFETY: both handles are valid; that of the current process needs no closing.
        done(unsafe { AssignProcessToJobObject(job.handle(), GetCurrentProcess()) })?;
        Ok(job)
    }

    fn handle(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    fn limit(&self, flags: u32) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        let size = size_of_val(&limits) as u32;
        // SAFETY: the handle is open, and the pointer is to a live value of the size and kind that is named.
        done(unsafe {
            SetInformationJobObject(
                self.handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size,
            )
        })
    }

    /// The pids of the job's processes; of more than fit, the first.
    fn processes(&self) -> io::Result<Vec<u32>> {
        #[repr(C)]
        struct List {
            assigned: u32,
            listed: u32,
            pids: [usize; LISTED_MAX],
        }
        let mut list = List {
            assigned: 0,
            listed: 0,
            pids: [0; LISTED_MAX],
        };
        // SAFETY: the handle is open, and the pointer is to a live value of that size, laid out as a
        // JOBOBJECT_BASIC_PROCESS_ID_LIST with room for more.
        let told = done(unsafe {
            QueryInformationJobObject(
                self.handle(),
                JobObjectBasicProcessIdList,
                (&raw mut list).cast(),
                size_of::<List>() as u32,
                ptr::null_mut(),
            )
        });
        match told {
            Err(e) if e.raw_os_error() != Some(ERROR_MORE_DATA.cast_signed()) => return Err(e),
            _ => {}
        }
        let listed = list.pids.iter().take(list.listed as usize);
        Ok(listed.filter_map(|&pid| u32::try_from(pid).ok()).collect())
    }
}

/// Ends a process, and waits for its end; that it has ended already is fine.
fn end(pid: u32) -> io::Result<()> {
    // SAFETY: no pointers are passed; a null handle is checked for.
    let handle = unsafe { OpenProcess(PROCESS_TERMINATE | PROCESS_SYNCHRONIZE, 0, pid) };
    if handle.is_null() {
        return Ok(());
    }
    // SAFETY: the handle is ours and valid.
    let process = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: the handle is open. One that is ending already refuses, and is waited for all the same.
    unsafe { TerminateProcess(process.as_raw_handle(), 1) };
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(process.as_raw_handle(), INFINITE) };
    Ok(())
}

fn done(succeeded: i32) -> io::Result<()> {
    if succeeded == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
