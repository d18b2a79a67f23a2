//! Children: processes that work for a session and should not outlive the one that started them.

use std::process::Command;

use crate::sys;

/// Makes the kernel kill the command's process when the thread that starts it ends, however it ends.
///
/// Together with [`Session::lend`](crate::Session::lend): should a driver be killed, its children end, and until they have
/// ended they keep the session alive.
///
/// # Platform notes
/// Linux only (`PR_SET_PDEATHSIG`, prctl(2)): start such commands from a thread that lives as long as they should. Elsewhere
/// on Unix this does nothing. On Windows a job object does it for all children at once.
pub fn die_with_parent(command: &mut Command) {
    sys::die_with_parent(command);
}
