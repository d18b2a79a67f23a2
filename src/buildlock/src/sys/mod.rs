//! What the operating system must give us, written once. `unix/` and `windows/` implement it under the same names;
//! `unsupported.rs` answers with an error that says so.
//!
//! # The contract
//!
//! * **A lock** belongs to the open file that took it. It is freed when that file, and every duplicate of it that a child
//!   inherited, is closed, which the kernel does when a process ends, however it ends; or by [`unlock`], at once for all
//!   duplicates. It is never converted in place: a failed `flock` conversion loses the lock (flock(2), "NOTES").
//! * **A locked file** is never read through another handle, nor written: on Windows locks are mandatory. What is to be
//!   read lies in a file beside it. Only the gate is both, and is read through the handle that locked it.
//! * **A child inherits** the lock only through [`lend`]. On Windows it can't: there a job object ends the children.
//! * **A removed file** ([`remove`]) has no name any more, and a replaced one ([`replace`]) is the old one or the new one,
//!   whole, for whoever looks; no matter who has it open.
//! * **A blocked [`lock_shared`]** cannot be interrupted. Whoever must be able to give up waits in a thread.
//! * **A process** is identified by its pid and its start time, for people to read only.
//! * **A private folder** is one that no other user can plant files in.

#![cfg_attr(
    any(unix, windows),
    expect(clippy::disallowed_methods, reason = "this is the one place that locks files")
)]

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(unix, windows)))]
mod unsupported;
#[cfg(not(any(unix, windows)))]
pub(crate) use unsupported::*;

use std::fs::File;
use std::io;

#[cfg(any(unix, windows))]
use fs4::FileExt;
use fs4::TryLockError;

use crate::faults;

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing portable tells that a process is stopped")
)]
pub(crate) enum ProcessState {
    Running,
    /// A signal stopped it. Its process group; 0 where that has no number here (pid_namespaces(7)).
    Stopped(u32),
    /// It has ended, or is another that bears its pid.
    Gone,
}

/// Locks a whole file exclusively, waiting as long as it takes.
pub(crate) fn lock_exclusive(file: &File) -> io::Result<()> {
    retry(|| FileExt::lock(file)).map_err(locking_refused)
}

/// Locks a whole file beside other shared locks, waiting as long as it takes.
pub(crate) fn lock_shared(file: &File) -> io::Result<()> {
    retry(|| FileExt::lock_shared(file)).map_err(locking_refused)
}

/// Locks a whole file exclusively if that is possible now.
pub(crate) fn try_lock_exclusive(file: &File) -> io::Result<bool> {
    faults::check("lock").map_err(locking_refused)?;
    outcome(FileExt::try_lock(file))
}

/// Locks a whole file beside other shared locks if that is possible now.
pub(crate) fn try_lock_shared(file: &File) -> io::Result<bool> {
    faults::check("lock shared").map_err(locking_refused)?;
    outcome(FileExt::try_lock_shared(file))
}

/// Frees a lock, also for the children that inherited it.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    faults::check("unlock")?;
    FileExt::unlock(file)
}

/// Reads a file from its start: all that it has, or as much as there is room for. Where it stands then is not said.
pub(crate) fn read_from_start(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match read_at(file, &mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

fn outcome(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(locking_refused(e)),
    }
}

/// A signal that arrives while the kernel waits for something is no reason to stop waiting.
pub(crate) fn retry(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn write(path: &std::path::Path, text: &str) {
        let mut file = options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn read(mut file: File) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_removed_file_has_no_name_although_somebody_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7.lock");
        write(&path, "old");
        let open = options().read(true).open(&path).unwrap();
        assert!(!is_removed(&open).unwrap());
        remove(&path).unwrap();
        // Windows tells, wine does not.
        assert!(cfg!(windows) || is_removed(&open).unwrap());
        assert!(!path.exists());
        write(&path, "new");
        assert_eq!(read(open), "old");
        remove(&path).unwrap();
        assert_eq!(remove(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_is_locked_can_be_removed_and_stays_locked_until_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("7.lock");
        let holder = options().write(true).create_new(true).open(&path).unwrap();
        assert!(try_lock_exclusive(&holder).unwrap());
        let waiter = options().read(true).open(&path).unwrap();
        remove(&path).unwrap();
        assert!(!try_lock_shared(&waiter).unwrap());
        drop(holder);
        assert!(try_lock_shared(&waiter).unwrap());
    }

    #[test]
    fn a_replacement_waits_for_a_reader_at_most_until_it_has_closed_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("7.json"), folder.path().join("7.new"));
        write(&path, "old");
        write(&new, "new");
        let reader = options().read(true).open(&path).unwrap();
        std::thread::scope(|scope| {
            let replaced = scope.spawn(|| replace(&new, &path));
            assert_eq!(read(reader), "old");
            replaced.join().unwrap().unwrap();
        });
        assert_eq!(read(options().read(true).open(&path).unwrap()), "new");
    }
}
