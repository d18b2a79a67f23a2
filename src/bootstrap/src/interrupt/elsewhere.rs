//! Where we know of no signals: what ends the driver ends it at once, and what it held is freed by the system.

use std::io;
use std::process::ExitStatus;

use super::Interrupts;

pub(super) fn listen(_interrupts: &Interrupts) -> io::Result<()> {
    Ok(())
}

/// Does nothing: there is no signal to die of.
pub fn die_of(_signal: i32) {}

/// None: there are no signals.
pub(crate) fn ended_by(_status: ExitStatus) -> Option<i32> {
    None
}

/// None does: there are no signals.
pub(crate) fn ends_programs(_signal: i32) -> bool {
    false
}

pub(super) fn kill(_pid: u32) {}

pub(super) fn tell(_pid: u32, _signal: i32) {}

/// Returns at once: `Child::wait`, which follows, waits.
pub(super) fn wait_until_ended(_pid: u32) {}

pub(super) fn end_job() {}

pub(super) fn reap(_pid: u32) {}

pub(super) fn children() -> Vec<u32> {
    Vec::new()
}
