//! The contract on Windows: `LockFileEx` over the whole file. It is mandatory (a locked file cannot be read by others),
//! belongs to the handle and is not inherited by children.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use windows_sys::Win32::Foundation::{CloseHandle, FILETIME, HANDLE, STILL_ACTIVE};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;
use windows_sys::Win32::System::Threading::{
    GetExitCodeProcess, GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
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

/// Why others could plant files in this folder, if they could.
pub(crate) fn not_private(path: &Path) -> io::Result<Option<String>> {
    let folder = std::fs::symlink_metadata(path)?;
    Ok((!folder.is_dir()).then(|| "it is not a folder".to_owned()))
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

/// The host's name.
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "?".to_owned())
}

/// The user's name.
pub(crate) fn user_name() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "?".to_owned())
}
