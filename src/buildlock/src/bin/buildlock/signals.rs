//! Signals: what comes while we wait gives up the wait; what comes while the command runs is the command's.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{Listener, SIGHUP, die_of, end_like, wait_without_reaping, was_killed};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{Listener, SIGHUP, die_of, end_like, wait_without_reaping, was_killed};

#[cfg(not(any(unix, windows)))]
mod elsewhere;
#[cfg(not(any(unix, windows)))]
pub(crate) use elsewhere::{Listener, SIGHUP, die_of, end_like, wait_without_reaping, was_killed};
