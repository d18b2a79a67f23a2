//! Processes on Windows.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;

use windows_sys::Win32::Foundation::{
    CloseHandle, FILETIME, HANDLE, INVALID_HANDLE_VALUE, STILL_ACTIVE, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessTimes, INFINITE, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

use crate::sys::ProcessState;

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

/// What became of the process with this pid and start time. No terminal here stops one.
pub(crate) fn process_state(pid: u32, start: Option<u64>) -> Option<ProcessState> {
    let running = with_process(pid, |process| {
        let mut code = 0;
        // SAFETY: the handle is open, and the pointer is to a live u32.
        (unsafe { GetExitCodeProcess(process, &mut code) } != 0)
            .then_some(code == STILL_ACTIVE.cast_unsigned())
    });
    let is_it = running == Some(true) && (start.is_none() || process_start(pid) == start);
    Some(if is_it {
        ProcessState::Running
    } else {
        ProcessState::Gone
    })
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

/// The folder for temporary files is the user's own here: the name only tells programs apart.
pub(crate) fn user_number() -> String {
    user_name()
}
