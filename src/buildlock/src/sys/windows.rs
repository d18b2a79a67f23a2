//! The contract on Windows: `LockFileEx` over the whole file. It is mandatory (a locked file cannot be read by others),
//! belongs to the handle and is not inherited by children.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{
    CloseHandle, FILETIME, HANDLE, INVALID_HANDLE_VALUE, STILL_ACTIVE, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessTimes, INFINITE, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

/// The options to open a file of ours with: links that somebody planted are not followed.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    options
}

/// Creates a folder, and those above it. Its access list is inherited from the folder above.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Nobody: there is no root here that works in a user's folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {}

/// Nobody.
pub(crate) fn owner_to_give(_folder: &Path) -> io::Result<Option<Owner>> {
    Ok(None)
}

/// Is never called.
pub(crate) fn give(_file: &File, owner: Owner) {
    match owner {}
}

/// Why others could plant files in this folder, if they could.
pub(crate) fn not_private(path: &Path) -> io::Result<Option<String>> {
    let folder = std::fs::symlink_metadata(path)?;
    Ok((!folder.is_dir()).then(|| "it is not a folder".to_owned()))
}

/// Why a folder is not this user's alone to write to, if it is not.
pub(crate) fn not_mine(path: &Path) -> io::Result<Option<String>> {
    not_private(path)
}

/// The folder for temporary files is the user's own here: the name only tells programs apart.
pub(crate) fn user_number() -> String {
    user_name()
}

/// Whether the open file has no name any more. A gate that is open cannot lose its name here but by a rename.
pub(crate) fn is_removed(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Turns the errors by which a system says that it cannot lock into [`io::ErrorKind::Unsupported`].
pub(crate) fn locking_refused(error: io::Error) -> io::Error {
    use windows_sys::Win32::Foundation::{ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED};
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_INVALID_FUNCTION | ERROR_NOT_SUPPORTED) => {
            io::Error::new(io::ErrorKind::Unsupported, error)
        }
        _ => error,
    }
}

/// Does nothing: a lock is not inherited by children here, see the contract.
pub(crate) fn lend(_command: &mut Command, _locks: &[&File]) {}

/// Does nothing for one command: a job object does it for all, see `end_children_with_me`.
pub(crate) fn die_with_parent(_command: &mut Command) {}

/// Does nothing: the job object holds orphans too.
#[expect(clippy::unnecessary_wraps, reason = "the same face as elsewhere")]
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Cannot be done without ending this process too.
pub(crate) fn end_descendants() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The process that started this one.
#[derive(Debug)]
pub(crate) struct Parent(OwnedHandle);

impl Parent {
    pub(crate) fn find() -> io::Result<Option<Self>> {
        let me = std::process::id();
        // SAFETY: a snapshot of all processes; the handle is owned and closed at the end.
        let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
        if snapshot == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is ours and valid.
        let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
        let mut entry = PROCESSENTRY32W {
            dwSize: size_of::<PROCESSENTRY32W>() as u32,
            ..Default::default()
        };
        // SAFETY: the handle is open and the entry's size is set.
        let mut more = unsafe { Process32FirstW(snapshot.as_raw_handle(), &mut entry) } != 0;
        while more && entry.th32ProcessID != me {
            // SAFETY: as above.
            more = unsafe { Process32NextW(snapshot.as_raw_handle(), &mut entry) } != 0;
        }
        if !more {
            return Ok(None);
        }
        let parent = entry.th32ParentProcessID;
        // A pid is reused: a parent that started after its child is another process.
        if process_start(parent) > process_start(me) {
            return Ok(None);
        }
        // SAFETY: no pointers are passed; a null handle is checked for.
        let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, parent) };
        // SAFETY: the handle is ours and valid.
        Ok((!handle.is_null()).then(|| Self(unsafe { OwnedHandle::from_raw_handle(handle) })))
    }

    pub(crate) fn wait_until_gone(&self) -> io::Result<()> {
        // SAFETY: the handle is open for as long as `self` lives.
        match unsafe { WaitForSingleObject(self.0.as_raw_handle(), INFINITE) } {
            WAIT_OBJECT_0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// When a process started, in units of 100 ns since 1601.
pub(crate) fn process_start(pid: u32) -> Option<u64> {
    with_process(pid, |process| {
        let mut times = [FILETIME {
            dwLowDateTime: 0,
            dwHighDateTime: 0,
        }; 4];
        let [created, exited, kernel, user] = &mut times;
        // SAFETY: the handle is open, and the four pointers are to live FILETIMEs.
        let done = unsafe { GetProcessTimes(process, created, exited, kernel, user) };
        (done != 0).then(|| (u64::from(times[0].dwHighDateTime) << 32) | u64::from(times[0].dwLowDateTime))
    })
}

/// There are no pid namespaces here.
pub(crate) fn pid_namespace() -> Option<u64> {
    None
}

/// Whether a process with this pid and start time is there now; nothing where that cannot be told.
pub(crate) fn process_is_there(pid: u32, start: Option<u64>) -> Option<bool> {
    let running = with_process(pid, |process| {
        let mut code = 0;
        // SAFETY: the handle is open, and the pointer is to a live u32.
        (unsafe { GetExitCodeProcess(process, &mut code) } != 0)
            .then_some(code == STILL_ACTIVE.cast_unsigned())
    });
    Some(running == Some(true) && (start.is_none() || process_start(pid) == start))
}

fn with_process<T>(pid: u32, ask: impl FnOnce(HANDLE) -> Option<T>) -> Option<T> {
    // SAFETY: no pointers are passed; a null handle is checked for.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return None;
    }
    let answer = ask(process);
    // SAFETY: the handle is ours, and is not used again.
    unsafe { CloseHandle(process) };
    answer
}

/// None: it cannot be told.
pub(crate) fn processes_that_hold(_path: &Path) -> Vec<(u32, String)> {
    Vec::new()
}

/// The host's name.
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "?".to_owned())
}

/// The user's name.
pub(crate) fn user_name() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "?".to_owned())
}
