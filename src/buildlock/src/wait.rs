//! Waiting: blocked in the kernel on somebody's lock file, with a way out.
//!
//! A blocked `flock` cannot be interrupted without a signal handler, which a library has no business to install. So a named
//! thread blocks, and the session waits for the thread: for as long as it cares to, or until it is cancelled.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// How long a thread that has woken another keeps out of its way before it ends, which takes it a tenth of that.
const LINGER: Duration = Duration::from_millis(1);

/// Gives up waiting, from any thread: from the one that handles Ctrl-C, say.
///
/// Clones share one state. Once used, it stays used.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    cancelled: AtomicBool,
    ring: Mutex<()>,
    heard: Condvar,
    /// Those that are used when this one is.
    below: Mutex<Vec<Weak<Bell>>>,
}

impl Cancel {
    /// Creates one that is not used yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the waits that were given this value, now and later, end with [`ErrorKind::Cancelled`](crate::ErrorKind).
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        self.ring();
        let below = std::mem::take(&mut *self.0.below.lock().unwrap_or_else(PoisonError::into_inner));
        for bell in below.iter().filter_map(Weak::upgrade) {
            Self(bell).cancel();
        }
    }

    /// Creates one that is used when this one is, and that can be used without it: for one of several waits.
    #[must_use]
    pub fn nested(&self) -> Self {
        let nested = Self::new();
        let below = || self.0.below.lock().unwrap_or_else(PoisonError::into_inner);
        below().retain(|bell| bell.strong_count() > 0);
        below().push(Arc::downgrade(&nested.0));
        // Used meanwhile, it may have overlooked the new one.
        if self.is_cancelled() {
            nested.cancel();
        }
        nested
    }

    /// Whether it was used.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Sleeps for a while, or until it is used. Returns whether it was.
    pub fn pause(&self, time: Duration) -> bool {
        self.sleep_until(Instant::now().checked_add(time), || false);
        self.is_cancelled()
    }

    fn ring(&self) {
        // Taking the mutex orders this after a sleeper's last look at what rang, so no ring is lost.
        drop(self.0.ring.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.heard.notify_all();
    }

    /// Sleeps until `until` has come (never if `None`), `awake` says so after a ring, or the wait is cancelled.
    pub(crate) fn sleep_until(&self, until: Option<Instant>, awake: impl Fn() -> bool) {
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        while !awake() && !self.is_cancelled() {
            ring = match until {
                None => self.0.heard.wait(ring).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.0
                        .heard
                        .wait_timeout(ring, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

/// A thread that is blocked on a lock, or on a fifo.
///
/// Dropping this does not stop the thread: nothing can. It ends when the lock is freed, and takes no lock with it; or when
/// somebody writes to the fifo.
#[derive(Debug)]
pub(crate) struct Blocked {
    outcome: Arc<Mutex<Option<Outcome>>>,
    cancel: Cancel,
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) enum Over {
    /// The lock is ours.
    Kept(Untaken),
    /// The lock was free, and its file had no name any more: nobody will ever hold it again.
    Removed,
    /// The lock was free; or somebody wrote to the fifo.
    Free,
}

type Outcome = io::Result<Over>;

/// A file that was locked. Where nobody takes it the lock is freed, also for a fork that has the same open file.
#[derive(Debug)]
pub(crate) struct Untaken(Option<File>);

impl Untaken {
    fn take(mut self) -> Option<File> {
        self.0.take()
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        drop(self.0.take().map(|file| sys::unlock(&file)));
    }
}

/// What to wait for, and what to do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The lock: keep the file exclusively locked and hand it over.
    Keep,
    /// The lock: let go at once, its being free is all that matters.
    LetGo,
    /// Something to read in a fifo: take it out.
    Empty,
}

impl Blocked {
    /// Starts to wait for `file` in a thread called `name`.
    pub(crate) fn on(file: File, then: Then, name: String, cancel: &Cancel) -> io::Result<Self> {
        let blocked = Self {
            outcome: Arc::default(),
            cancel: cancel.clone(),
        };
        let (outcome, cancel) = (Arc::downgrade(&blocked.outcome), blocked.cancel.clone());
        let wait = move || {
            let waited = match then {
                Then::Keep => sys::lock_exclusive(&file),
                Then::LetGo => sys::lock_shared(&file).and_then(|()| sys::unlock(&file)),
                Then::Empty => sys::retry(|| (&file).read(&mut [0; 64]).map(drop)),
            };
            let (over, closed) = match then {
                Then::Keep if waited.is_ok() => (Over::Kept(Untaken(Some(file))), None),
                Then::LetGo if sys::is_removed(&file).unwrap_or(false) => (Over::Removed, Some(file)),
                Then::Keep | Then::LetGo | Then::Empty => (Over::Free, Some(file)),
            };
            // If nobody listens any more, a lock that was to be kept is freed here.
            if let Some(outcome) = outcome.upgrade() {
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(waited.map(|()| over));
                drop(outcome);
                cancel.ring();
                // Who was woken is likely to stand in the queue of this processor: it need not wait until the kernel has
                // forgotten a file that was removed, and this thread.
                thread::sleep(LINGER);
            }
            drop(closed);
        };
        crate::faults::check("start to wait")?;
        thread::Builder::new()
            .name(name)
            .stack_size(64 * 1024)
            .spawn(wait)?;
        Ok(blocked)
    }

    /// Whether the wait is over: then [`Self::wait`] returns its outcome at once.
    pub(crate) fn is_over(&self) -> bool {
        self.outcome().is_some()
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the lock is free, `until` has come (never if `None`), or the wait is cancelled.
    ///
    /// Returns the outcome of the first, once; nothing for the others.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Option<Outcome> {
        self.cancel.sleep_until(until, || self.is_over());
        self.outcome().take()
    }

    /// The same for a lock that is kept.
    pub(crate) fn wait_for_lock(&self, until: Option<Instant>) -> Option<io::Result<File>> {
        let kept = |over| match over {
            Over::Kept(untaken) => untaken.take(),
            Over::Removed | Over::Free => None,
        };
        let let_go = || io::Error::other("the lock was let go");
        Some(self.wait(until)?.and_then(|over| kept(over).ok_or_else(let_go)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> File {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .unwrap()
    }

    #[test]
    fn a_freed_lock_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let holder = open(&folder.path().join("l"));
        sys::lock_exclusive(&holder).unwrap();
        let cancel = Cancel::new();
        let blocked = Blocked::on(
            open(&folder.path().join("l")),
            Then::LetGo,
            "test".into(),
            &cancel,
        )
        .unwrap();
        assert!(
            blocked
                .wait(Some(Instant::now() + Duration::from_millis(1)))
                .is_none()
        );
        sys::unlock(&holder).unwrap();
        assert!(blocked.wait(None).unwrap().is_ok());
        assert!(
            sys::try_lock_exclusive(&holder).unwrap(),
            "the waiter left its lock behind"
        );
    }

    #[test]
    fn a_freed_lock_of_a_removed_file_is_told_from_one_that_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        let over = |remove: bool| {
            let holder = open(&path);
            sys::lock_exclusive(&holder).unwrap();
            let waiter = open(&path);
            let blocked = Blocked::on(waiter, Then::LetGo, "test".into(), &Cancel::new()).unwrap();
            if remove {
                sys::remove(&path).unwrap();
            }
            sys::unlock(&holder).unwrap();
            blocked.wait(None).unwrap().unwrap()
        };
        assert!(matches!(over(false), Over::Free));
        // Windows tells, wine does not.
        assert!(matches!(over(true), Over::Removed) || cfg!(windows));
    }

    #[test]
    fn cancelling_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let holder = open(&folder.path().join("l"));
        sys::lock_exclusive(&holder).unwrap();
        let cancel = Cancel::new();
        let blocked = Blocked::on(
            open(&folder.path().join("l")),
            Then::LetGo,
            "test".into(),
            &cancel,
        )
        .unwrap();
        thread::scope(|s| {
            s.spawn(|| cancel.cancel());
            assert!(blocked.wait(None).is_none());
        });
    }

    #[test]
    fn a_nested_cancel_is_used_with_the_one_around_it_and_also_without() {
        let around = Cancel::new();
        let (first, second) = (around.nested(), around.nested());
        first.cancel();
        assert!(first.is_cancelled() && !second.is_cancelled() && !around.is_cancelled());
        around.cancel();
        assert!(second.is_cancelled() && around.nested().is_cancelled());
    }

    #[test]
    fn a_kept_lock_is_handed_over_and_an_abandoned_one_freed() {
        let folder = tempfile::tempdir().unwrap();
        let holder = open(&folder.path().join("l"));
        sys::lock_exclusive(&holder).unwrap();
        let cancel = Cancel::new();
        let file = open(&folder.path().join("l"));
        // As a fork has it.
        let _same = file.try_clone().unwrap();
        let abandoned = Blocked::on(file, Then::Keep, "test".into(), &cancel).unwrap();
        drop(abandoned);
        let kept = Blocked::on(open(&folder.path().join("l")), Then::Keep, "test".into(), &cancel).unwrap();
        sys::unlock(&holder).unwrap();
        let file = kept.wait_for_lock(None).unwrap().unwrap();
        assert!(!sys::try_lock_exclusive(&holder).unwrap());
        drop(file);
    }
}
