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
/// * Linux (`PR_SET_PDEATHSIG`, prctl(2)): start such commands from a thread that lives as long as they should.
/// * FreeBSD (`PROC_PDEATHSIG_CTL`, procctl(2)): when this process ends.
/// * Windows: from the first call on, a job object ends all that this process starts, and what that starts, when this
///   process ends. See [`spare_descendants`].
/// * Elsewhere this does nothing.
pub fn die_with_parent(command: &mut Command) {
    sys::die_with_parent(command);
}

/// Lets the daemons that children left behind outlive this process. For the very end of a program that comes to a clean one.
///
/// # Errors
/// Where the system refuses.
///
/// # Platform notes
/// On Unix this does nothing, because [`die_with_parent`] concerns only direct children there.
pub fn spare_descendants() -> io::Result<()> {
    sys::spare_descendants()
}

/// From now on, makes this process the parent of every descendant whose own parent ends, so that [`end_descendants`] finds
/// them all.
///
/// # Errors
/// Where the system refuses.
///
/// # Platform notes
/// Linux (`PR_SET_CHILD_SUBREAPER`, prctl(2)), and Windows, where a job object holds what is started from now on. Elsewhere
/// this does nothing.
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
/// Linux and Windows only, and complete only after [`adopt_orphans`]. Elsewhere this is an error of the kind
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
    /// Waits in the kernel on Linux (`pidfd_open`, since 5.3), macOS and the BSDs (kqueue), and Windows; elsewhere it looks once
    /// a second.
    pub fn wait_until_gone(&self) -> io::Result<()> {
        self.0.wait_until_gone()
    }
}
