//! The cache lock: one at a time may put something into a content-addressed cache.
//!
//! It is a plain mutex, apart from the sessions' queue, because those who need it for a moment are readers and must not
//! become mutators. Other programs can take it too: it is the operating system's lock (`flock`; Windows: `LockFileEx`) on
//! the whole of `cache.lock`, which is never read nor written. Who holds it stands beside it, in `cache.holder.json`, one
//! line that is replaced as a whole. The lock is the truth; what stands there after its writer was killed is not.
//!
//! A session that needs it takes it second, and nobody waits for a session while holding it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::record::now_unix_ms;
use crate::session::{HumanDuration, Timeout};
use crate::sys;
use crate::wait::{Blocked, Cancel, Then};

const LOCK: &str = "cache.lock";
const HOLDER: &str = "cache.holder.json";

/// The most that is read of the holder's file, in bytes.
const HOLDER_SIZE_MAX: u64 = 64 * 1024;

/// How often to try before the lock counts as busy: [`CacheLock::holder`] holds it for an instant, too.
const TRIES: u32 = 64;

const NOTICE_AFTER: Duration = Duration::from_millis(200);
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// The lock of a cache, held. Dropping it lets go.
///
/// ```
/// # fn main() -> buildlock::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use buildlock::{CacheHolder, CacheLock, Cancel, Timeout};
///
/// let me = CacheHolder::me("./x fmt", "unpacking rustfmt");
/// let say = |holder: Option<&CacheHolder>| {
///     if let Some(holder) = holder {
///         eprintln!("waiting for {holder}");
///     }
/// };
/// let lock = CacheLock::acquire(folder.path(), me, Timeout::Never, say, &Cancel::new())?;
/// assert_eq!(CacheLock::holder(folder.path())?.unwrap().doing, "unpacking rustfmt");
/// // … look whether somebody else unpacked it meanwhile; if not, unpack aside and rename …
/// drop(lock);
/// assert!(CacheLock::holder(folder.path())?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CacheLock {
    file: File,
    holder_path: PathBuf,
}

/// Who holds a cache lock, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheHolder {
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// Its command line, for people.
    pub command: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// What for.
    #[serde(default)]
    pub doing: String,
}

impl CacheLock {
    /// Takes the cache lock in `folder`, which is created for this user alone where it is missing, and says in it who `me`
    /// is.
    ///
    /// `on_wait` is called when the wait has lasted 0.2 s, and every second from then on, with the holder as far as it can
    /// be told.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] and [`ErrorKind::Cancelled`] as asked for, [`ErrorKind::Unsupported`] where the file system
    /// cannot lock, and [`ErrorKind::Io`] where the folder cannot be written to.
    pub fn acquire(
        folder: &Path,
        me: CacheHolder,
        timeout: Timeout,
        mut on_wait: impl FnMut(Option<&CacheHolder>),
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut wait = Wait {
            folder,
            timeout,
            start: Instant::now(),
            on_wait: &mut on_wait,
            cancel,
        };
        loop {
            let file = wait.lock()?;
            let removed = sys::is_removed(&file)
                .map_err(|e| Error::io("cannot look at the cache lock in", folder, e))?;
            // Whoever removed the folder while we waited left us a file that nobody else will lock.
            if !removed {
                return Self::taken(folder, file, me);
            }
        }
    }

    /// Looks who holds the cache lock in `folder` now; nothing where nobody does.
    ///
    /// # Errors
    /// Where it can't be found out.
    pub fn holder(folder: &Path) -> Result<Option<CacheHolder>> {
        let path = folder.join(LOCK);
        let file = match sys::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("cannot open", &path, e)),
        };
        let free = sys::try_lock_shared(&file).map_err(|e| Error::io("cannot probe", &path, e))?;
        if free {
            sys::unlock(&file).map_err(|e| Error::io("cannot free", &path, e))?;
            return Ok(None);
        }
        // Between taking the lock and saying so, and where the record cannot be written, a holder has no name.
        Ok(Some(read_holder(folder).unwrap_or_else(|| CacheHolder {
            pid: 0,
            ..CacheHolder::me("?", "")
        })))
    }

    fn taken(folder: &Path, file: File, me: CacheHolder) -> Result<Self> {
        let holder = CacheHolder {
            since_unix_ms: now_unix_ms(),
            ..me
        };
        let holder_path = folder.join(HOLDER);
        // Under the lock nobody else writes this file, so its name needs nothing random.
        let aside = folder.join("cache.holder.new");
        let mut line = serde_json::to_vec(&holder).expect("a holder has no maps");
        line.push(b'\n');
        // What a killed holder left goes first: after `sudo` it may be another user's. A link is not followed.
        drop(sys::remove(&aside));
        sys::options()
            .write(true)
            .create_new(true)
            .open(&aside)
            .and_then(|mut file| file.write_all(&line))
            .and_then(|()| sys::replace(&aside, &holder_path))
            .map_err(|e| Error::io("cannot say who holds the cache in", &holder_path, e))?;
        tracing::debug!(folder = %folder.display(), doing = holder.doing, "took the cache lock");
        Ok(Self { file, holder_path })
    }
}

/// How somebody waits for the lock.
struct Wait<'a> {
    folder: &'a Path,
    timeout: Timeout,
    start: Instant,
    on_wait: &'a mut dyn FnMut(Option<&CacheHolder>),
    cancel: &'a Cancel,
}

impl Wait<'_> {
    /// Opens the file, and locks it.
    fn lock(&mut self) -> Result<File> {
        let folder = self.folder;
        sys::create_private_folder(folder).map_err(|e| Error::io("cannot create the folder", folder, e))?;
        let path = folder.join(LOCK);
        let failed = |e| Error::io("cannot lock the cache by", &path, e);
        let file = open(&path).map_err(failed)?;
        if let Some(owner) = sys::owner_to_give(folder).map_err(failed)? {
            sys::give(&file, owner);
        }
        for _ in 0..TRIES {
            if sys::try_lock_exclusive(&file).map_err(failed)? {
                return Ok(file);
            }
            std::thread::yield_now();
        }
        let deadline = match self.timeout {
            Timeout::Never => None,
            Timeout::AtOnce => Some(self.start),
            Timeout::After(time) => self.start.checked_add(time),
        };
        let name = "buildlock waits for the cache".to_owned();
        let blocked = Blocked::on(file, Then::Keep, name, self.cancel).map_err(failed)?;
        let mut notice_at = self.start + NOTICE_AFTER;
        loop {
            let until = deadline.map_or(notice_at, |at| at.min(notice_at));
            if let Some(locked) = blocked.wait_for_lock(Some(until)) {
                return locked.map_err(failed);
            }
            if self.cancel.is_cancelled() {
                let text = "the wait for the cache was cancelled";
                return Err(Error::new(ErrorKind::Cancelled, text));
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Err(timed_out(&path, self.start, read_holder(folder)));
            }
            if notice_at <= Instant::now() {
                (self.on_wait)(read_holder(folder).as_ref());
                notice_at = Instant::now() + NOTICE_EVERY;
            }
        }
    }
}

impl Drop for CacheLock {
    fn drop(&mut self) {
        // First the name, then the lock: the other way round, the next holder's name could be removed.
        let done = sys::remove(&self.holder_path).and_then(|()| sys::unlock(&self.file));
        if let Err(e) = done {
            // Closing the file frees the lock all the same.
            tracing::warn!(path = %self.holder_path.display(), error = %e, "the cache lock was not left clean");
        }
    }
}

impl CacheHolder {
    /// The calling process, which runs `command` and needs the cache for `doing`.
    #[must_use]
    pub fn me(command: impl Into<String>, doing: impl Into<String>) -> Self {
        Self {
            pid: std::process::id(),
            command: command.into(),
            since_unix_ms: now_unix_ms(),
            doing: doing.into(),
        }
    }

    /// How long it has held the lock; zero where the clocks disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(self.since_unix_ms))
            .unwrap_or_default()
    }
}

impl fmt::Display for CacheHolder {
    /// `./x check (pid 4242, for 12s, unpacking stage0)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command, pid, doing, ..
        } = self;
        write!(f, "{command} (pid {pid}, for {}", HumanDuration(self.age()))?;
        if !doing.is_empty() {
            write!(f, ", {doing}")?;
        }
        f.write_str(")")
    }
}

/// NFS turns the lock into one that needs a writable descriptor; nothing is ever written.
fn open(path: &Path) -> io::Result<File> {
    sys::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn read_holder(folder: &Path) -> Option<CacheHolder> {
    let mut text = Vec::new();
    let file = sys::open_to_read(&folder.join(HOLDER)).ok()?;
    file.take(HOLDER_SIZE_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn timed_out(path: &Path, start: Instant, holder: Option<CacheHolder>) -> Error {
    let by = holder.map_or_else(
        || "somebody who did not say who".to_owned(),
        |holder| holder.to_string(),
    );
    let waited = start.elapsed().as_secs_f64();
    let text = format!("the cache could not be had after {waited:.1} s: held by {by} through");
    Error::new(ErrorKind::Timeout, text).at(path)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn take(folder: &Path, doing: &str) -> CacheLock {
        let me = CacheHolder::me("test", doing);
        CacheLock::acquire(folder, me, Timeout::Never, |_| {}, &Cancel::new()).unwrap()
    }

    #[test]
    fn the_holder_is_named_while_it_holds_and_forgotten_after() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(CacheLock::holder(folder.path()).unwrap(), None);
        let lock = take(folder.path(), "unpacking");
        let holder = CacheLock::holder(folder.path()).unwrap().unwrap();
        assert_eq!(
            (holder.pid, holder.doing.as_str()),
            (std::process::id(), "unpacking")
        );
        drop(lock);
        assert_eq!(CacheLock::holder(folder.path()).unwrap(), None);
        assert!(!folder.path().join(HOLDER).exists());
    }

    #[test]
    fn the_second_waits_is_told_for_whom_and_then_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path(), "first");
        let (told, hear) = mpsc::channel();
        thread::scope(|s| {
            let second = s.spawn(|| {
                let say = |holder: Option<&CacheHolder>| told.send(holder.map(|h| h.doing.clone())).unwrap();
                CacheLock::acquire(
                    folder.path(),
                    CacheHolder::me("test", "second"),
                    Timeout::Never,
                    say,
                    &Cancel::new(),
                )
                .unwrap()
            });
            assert_eq!(hear.recv().unwrap().as_deref(), Some("first"));
            drop(first);
            let second = second.join().unwrap();
            assert_eq!(CacheLock::holder(folder.path()).unwrap().unwrap().doing, "second");
            drop(second);
        });
    }

    #[test]
    fn a_wait_ends_by_timeout_and_by_cancelling() {
        let folder = tempfile::tempdir().unwrap();
        let lock = take(folder.path(), "unpacking");
        for timeout in [Timeout::AtOnce, Timeout::After(Duration::from_millis(2))] {
            let error = CacheLock::acquire(
                folder.path(),
                CacheHolder::me("test", ""),
                timeout,
                |_| {},
                &Cancel::new(),
            )
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.to_string().contains("unpacking"), "{error}");
        }
        let cancel = Cancel::new();
        cancel.cancel();
        let error = CacheLock::acquire(
            folder.path(),
            CacheHolder::me("test", ""),
            Timeout::Never,
            |_| {},
            &cancel,
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        drop(lock);
    }

    #[test]
    fn what_a_killed_holder_left_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path(), "x"));
        std::fs::write(
            folder.path().join(HOLDER),
            "{\"pid\":1,\"command\":\"gone\",\"since_unix_ms\":1}\n",
        )
        .unwrap();
        assert_eq!(CacheLock::holder(folder.path()).unwrap(), None);
        std::fs::write(folder.path().join(HOLDER), "garbage").unwrap();
        let lock = take(folder.path(), "mine");
        assert_eq!(CacheLock::holder(folder.path()).unwrap().unwrap().doing, "mine");
        drop(lock);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_whose_folder_was_removed_meanwhile_is_taken_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let first = take(&cache, "first");
        let (told, hear) = mpsc::channel();
        thread::scope(|s| {
            let second = s.spawn(|| {
                let me = CacheHolder::me("test", "second");
                let say = |_: Option<&CacheHolder>| told.send(()).unwrap();
                CacheLock::acquire(&cache, me, Timeout::Never, say, &Cancel::new()).unwrap()
            });
            hear.recv().unwrap();
            std::fs::remove_dir_all(&cache).unwrap();
            drop(first);
            let second = second.join().unwrap();
            assert_eq!(CacheLock::holder(&cache).unwrap().unwrap().doing, "second");
            drop(second);
        });
    }

    #[test]
    fn a_file_that_somebody_put_there_is_locked_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK), "kept").unwrap();
        drop(take(folder.path(), "x"));
        assert_eq!(std::fs::read_to_string(folder.path().join(LOCK)).unwrap(), "kept");
    }

    #[cfg(unix)]
    #[test]
    fn links_in_place_of_its_files_are_not_followed() {
        for planted in [LOCK, HOLDER, "cache.holder.new"] {
            let home = tempfile::tempdir().unwrap();
            let (folder, victim) = (home.path().join("session"), home.path().join("victim"));
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(&victim, "precious").unwrap();
            std::os::unix::fs::symlink(&victim, folder.join(planted)).unwrap();
            let me = CacheHolder::me("test", "x");
            let taken = CacheLock::acquire(&folder, me, Timeout::Never, |_| {}, &Cancel::new());
            // The lock is refused, for it would be another file's; the others are replaced.
            assert_eq!(taken.is_ok(), planted != LOCK, "{planted}");
            drop(taken);
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious", "{planted}");
        }
    }
}
