//! The gate's open file, kept from one transition to the next.

use std::fs::File;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys;

/// The gate's file while nobody in this process is in the gate. Shared by the clones of a registry.
///
/// A lock belongs to the open file, so two threads must never use the same one at once: whoever takes it leaves nothing
/// behind, and the second opens the gate anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Option<Opened>>>);

#[derive(Debug)]
struct Opened {
    file: File,
    /// The process that opened it. A fork of it has the same open file, and would be in the gate together with it.
    by: u32,
}

impl Kept {
    pub(super) fn take(&self) -> Option<File> {
        let opened = self.slot().take()?;
        (opened.by == std::process::id()).then_some(opened.file)
    }

    fn keep(&self, file: File) {
        // Windows does not let a folder be removed in which somebody has a file open.
        if cfg!(not(windows)) {
            let by = std::process::id();
            let before = self.slot().replace(Opened { file, by });
            drop(before);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate's file, locked. Dropping it leaves the gate.
#[derive(Debug)]
pub(super) struct Locked {
    file: Option<File>,
    kept: Kept,
}

impl Locked {
    pub(super) fn new(file: File, kept: &Kept) -> Self {
        Self {
            file: Some(file),
            kept: kept.clone(),
        }
    }

    /// Leaves the gate, which has another file by now, for good.
    pub(super) fn close(mut self) {
        // A fork may have the same open file.
        drop(self.file.take().map(|file| sys::unlock(&file)));
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where it cannot be unlocked it is closed, which frees the lock unless a fork has it, too.
        if let Some(file) = self.file.take()
            && sys::unlock(&file).is_ok()
        {
            self.kept.keep(file);
        }
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect("there until it is dropped")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_for_one_at_a_time_and_not_for_a_fork() {
        let kept = Kept::default();
        drop(Locked::new(tempfile::tempfile().unwrap(), &kept));
        let another = kept.clone();
        assert!(kept.take().is_some());
        assert!(another.take().is_none(), "the first has it");
        kept.keep(tempfile::tempfile().unwrap());
        kept.slot().as_mut().unwrap().by += 1;
        assert!(kept.take().is_none(), "it is another process's");
    }

    #[test]
    fn leaving_the_gate_frees_its_lock_although_the_file_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::create(folder.path().join("gate")).unwrap();
        let (first, second) = (open(), open());
        let kept = Kept::default();
        assert!(sys::try_lock_exclusive(&first).unwrap());
        let locked = Locked::new(first, &kept);
        assert!(!sys::try_lock_exclusive(&second).unwrap());
        drop(locked);
        assert!(sys::try_lock_exclusive(&second).unwrap());
        assert!(kept.take().is_some());
    }
}
