//! Ctrl-C and Ctrl-Break on Windows, which stand for SIGINT.
//!
//! The console tells every process that is attached to it, our children included. When it is closed, or the user logs off, the
//! system ends us: what we held is freed, and our job ends what we started.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::ExitStatus;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{FALSE, STATUS_CONTROL_C_EXIT, TRUE};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::Threading::{
    INFINITE, OpenProcess, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, TerminateProcess, WaitForSingleObject,
};
use windows_sys::core::BOOL;

use super::{Interrupts, Reach};

/// Its number on Unix, which the exit code 130 is made of.
const SIGINT: i32 = 2;

/// Whom to tell: the console's handler is given nothing.
static INTERRUPTS: OnceLock<Interrupts> = OnceLock::new();

pub(super) fn listen(interrupts: &Interrupts) -> io::Result<()> {
    INTERRUPTS.get_or_init(|| interrupts.clone());
    // SAFETY: the handler is a function, and so is there for as long as the process.
    if unsafe { SetConsoleCtrlHandler(Some(heard), TRUE) } == FALSE {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Runs in a thread that the system starts for it (HandlerRoutine), so it may do anything.
unsafe extern "system" fn heard(what: u32) -> BOOL {
    match (what, INTERRUPTS.get()) {
        (CTRL_C_EVENT | CTRL_BREAK_EVENT, Some(interrupts)) => {
            interrupts.arrived(SIGINT, Reach::Group);
            TRUE
        }
        _ => FALSE,
    }
}

/// Returns: a process here ends by its exit code alone.
pub fn die_of(_signal: i32) {}

/// Ctrl-C, if that is what ended a child.
pub(crate) fn ended_by(status: ExitStatus) -> Option<i32> {
    (status.code() == Some(STATUS_CONTROL_C_EXIT)).then_some(SIGINT)
}

/// Whether a signal is one of those that ask a program to end.
pub(crate) fn ends_programs(signal: i32) -> bool {
    signal == SIGINT
}

pub(super) fn kill(pid: u32) {
    if let Some(process) = open(pid, PROCESS_TERMINATE) {
        // SAFETY: the handle is open. A process that is ending already refuses.
        unsafe { TerminateProcess(process.as_raw_handle(), STATUS_CONTROL_C_EXIT.cast_unsigned()) };
    }
}

/// Ends it: what the console did not say cannot be said otherwise.
pub(super) fn tell(pid: u32, _signal: i32) {
    kill(pid);
}

/// Waits for a child's end. Its pid stays its own while whoever started it keeps its handle.
pub(super) fn wait_until_ended(pid: u32) {
    if let Some(process) = open(pid, PROCESS_SYNCHRONIZE) {
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObject(process.as_raw_handle(), INFINITE) };
    }
}

fn open(pid: u32, access: u32) -> Option<OwnedHandle> {
    // SAFETY: no pointers are passed; a null handle is checked for.
    let handle = unsafe { OpenProcess(access, FALSE, pid) };
    // SAFETY: the handle is ours and valid.
    (!handle.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(handle) })
}

pub(super) fn reap(_pid: u32) {}

/// None that are not known: what they leave behind is in our job, see [`end_job`].
pub(super) fn children() -> Vec<u32> {
    Vec::new()
}

/// Ends what our children left running, and waits for it: they have ended, and it writes where the next session will.
pub(super) fn end_job() {
    if let Err(error) = buildlock::end_descendants() {
        tracing::debug!(%error, "what the children left running is not waited for");
    }
}
