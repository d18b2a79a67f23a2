//! The processes of a storm, as the director starts, stops and kills them.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(super) use unix::{Id, Processes};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::{Id, Processes};

/// What came of waiting for one to end.
pub(super) enum Next {
    /// This one has ended, with this code unless by a signal.
    Ended(Id, Option<i32>),
    /// Those that are left have not.
    NoneYet,
    /// None is left, no orphan either.
    NoneLeft,
}
