//! Kin among processes: children that work for a session and must not outlive it, and the parent that it works for.

use std::io;
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

/// From now on, makes this process the parent of every descendant whose own parent ends, so that [`end_descendants`] finds
/// them all.
///
/// # Errors
/// Where the system refuses.
///
/// # Platform notes
/// Linux only (`PR_SET_CHILD_SUBREAPER`, prctl(2)); elsewhere this does nothing.
pub fn adopt_orphans() -> io::Result<()> {
    sys::adopt_orphans()
}

/// Kills every process below this one, and returns when none is left. For a session that steps aside: whoever comes next
/// must find nobody who still writes.
///
/// The direct children are killed but not reaped: that is for whoever started them.
///
/// # Errors
/// Where the processes cannot be listed.
///
/// # Platform notes
/// Linux only, and complete only after [`adopt_orphans`]. Elsewhere this is an error of the kind
/// [`Unsupported`](io::ErrorKind::Unsupported): do not step aside there.
pub fn end_descendants() -> io::Result<()> {
    sys::end_descendants()
}

/// The process that started this one.
#[derive(Debug)]
pub struct Parent(sys::Parent);

impl Parent {
    /// Finds it; nothing where it is gone already, and init has taken its place.
    ///
    /// # Errors
    /// Where the system cannot tell.
    pub fn find() -> io::Result<Option<Self>> {
        Ok(sys::Parent::find()?.map(Self))
    }

    /// Blocks until it is gone.
    ///
    /// # Errors
    /// Where the system cannot tell.
    ///
    /// # Platform notes
    /// Waits in the kernel on Linux (`pidfd_open`, since 5.3) and on Windows; elsewhere it looks once a second.
    pub fn wait_until_gone(&self) -> io::Result<()> {
        self.0.wait_until_gone()
    }
}
