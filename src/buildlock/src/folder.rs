//! The registry's folder: the one place that opens, reads, writes and removes its files.
//!
//! Everything else goes through here, so that what can fail is in one list, and a test can make each of it fail in turn.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::faults;
use crate::gate::{self, Gate};
use crate::queue::Ticket;
use crate::record::{self, Record};
use crate::scan::Liveness;
use crate::sys;

const UNFINISHED: &str = "unfinished.json";
/// What the name of a bell ends in, after its owner's ticket.
const BELL: &str = ".bell.fifo";

/// The most files that a registry's folder may hold. More is not ours, or not sane.
const FILES_MAX: usize = 1 << 20;

/// A registry's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Whose our files are to be, if not ours.
    owner: Option<sys::Owner>,
}

/// What a listing of the folder shows.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The registered tickets, in ascending order.
    pub registered: Vec<Ticket>,
    /// Files of tickets that are not registered (any more).
    pub leftovers: Vec<PathBuf>,
}

impl Folder {
    /// Opens a folder, and creates it where it is missing.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        faults::check("create folder")
            .and_then(|()| sys::create_private_folder(path))
            .map_err(|e| Error::io("cannot create the lock folder", path, e))?;
        Self::open(path)
    }

    /// Opens a folder if there is a gate in it.
    pub(crate) fn existing(path: &Path) -> Result<Option<Self>> {
        let there = faults::check("look for gate")
            .and_then(|()| path.join("gate").try_exists())
            .map_err(|e| Error::io("cannot look at the lock folder", path, e))?;
        there.then(|| Self::open(path)).transpose()
    }

    /// Opens a folder that is there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let why = faults::check("look at folder")
            .and_then(|()| sys::not_private(path))
            .map_err(|e| Error::io("cannot look at the lock folder", path, e))?;
        if let Some(why) = why {
            return Err(
                Error::new(ErrorKind::NotPrivate, "refusing to use the lock folder")
                    .at(path)
                    .advice(format!("{why}; choose a folder of your own, or `chmod go-w` it")),
            );
        }
        // Absolute, so that a change of the working directory does not lose it.
        let path =
            std::path::absolute(path).map_err(|e| Error::io("cannot find the lock folder", path, e))?;
        let owner = faults::check("look whose folder")
            .and_then(|()| sys::owner_to_give(&path))
            .map_err(|e| Error::io("cannot look at the lock folder", &path, e))?;
        Ok(Self { path, owner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file that is not there yet.
    fn create_file(&self, path: &Path) -> io::Result<File> {
        let file = sys::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        if let Some(owner) = self.owner {
            sys::give(&file, owner);
        }
        Ok(file)
    }

    pub(crate) fn lock_path(&self, ticket: Ticket) -> PathBuf {
        self.path.join(format!("{ticket}.lock"))
    }

    pub(crate) fn record_path(&self, ticket: Ticket) -> PathBuf {
        self.path.join(format!("{ticket}.json"))
    }

    /// Opens the gate file without locking it.
    pub(crate) fn open_gate(&self) -> Result<File> {
        let path = self.path.join("gate");
        faults::check("open gate")
            .and_then(|()| match sys::options().read(true).write(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => self.create_gate(&path),
                opened => opened,
            })
            .map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => {
                    Error::new(ErrorKind::Lost, "somebody removed the lock folder").at(&self.path)
                }
                _ => Error::io("cannot open the lock folder's gate", &path, e),
            })
    }

    /// Whether the open file is the one that is called `gate` now.
    pub(crate) fn is_gate(&self, file: &File) -> Result<bool> {
        let path = self.path.join("gate");
        sys::is_named(file, &path).map_err(|e| Error::io("cannot look at the lock folder's gate", &path, e))
    }

    /// When the gate was last written: each registration and each grant does.
    pub(crate) fn gate_changed(&self) -> Result<SystemTime> {
        let path = self.path.join("gate");
        faults::check("look when gate changed")
            .and_then(|()| std::fs::metadata(&path))
            .and_then(|m| m.modified())
            .map_err(|e| Error::io("cannot look at the lock folder's gate", &path, e))
    }

    /// When a file was last added to the folder, removed, or replaced: each change of a record does that.
    pub(crate) fn changed(&self) -> Result<SystemTime> {
        faults::check("look when folder changed")
            .and_then(|()| std::fs::metadata(&self.path))
            .and_then(|m| m.modified())
            .map_err(|e| Error::io("cannot look at the lock folder", &self.path, e))
    }

    fn create_gate(&self, path: &Path) -> io::Result<File> {
        match self.create_file(path) {
            // Somebody else was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                sys::options().read(true).write(true).open(path)
            }
            created => created,
        }
    }

    /// The gate's bytes. Its lock must be held.
    pub(crate) fn read_gate(&self, file: &File) -> Result<Vec<u8>> {
        // One byte more than it may have, so that the parser sees that it is too long.
        let mut bytes = vec![0; gate::SIZE_MAX + 1];
        faults::check("read gate")
            .and_then(|()| sys::read_from_start(file, &mut bytes))
            .map(|length| {
                bytes.truncate(length);
                bytes
            })
            .map_err(|e| Error::io("cannot read the lock folder's gate", &self.path.join("gate"), e))
    }

    /// Overwrites the gate. Its lock must be held.
    pub(crate) fn write_gate(&self, file: &File, gate: &Gate) -> Result<()> {
        faults::check("write gate")
            .and_then(|()| sys::write_from_start(file, gate.to_string().as_bytes()))
            .map_err(|e| Error::io("cannot write the lock folder's gate", &self.path.join("gate"), e))
    }

    /// Empties a gate that is garbage, and perhaps longer than one that is not: half-way through, it is one of a new registry.
    pub(crate) fn empty_gate(&self, file: &File) -> Result<()> {
        faults::check("empty gate")
            .and_then(|()| file.set_len(0))
            .map_err(|e| Error::io("cannot empty the lock folder's gate", &self.path.join("gate"), e))
    }

    /// Lists the folder. The gate's lock must be held, or a listing may show a session between two of its files.
    pub(crate) fn list(&self) -> Result<Listing> {
        self.list_up_to(FILES_MAX)
    }

    fn list_up_to(&self, files_max: usize) -> Result<Listing> {
        let failed = |e| Error::io("cannot list the lock folder", &self.path, e);
        let mut listing = Listing::default();
        let mut others = Vec::new();
        faults::check("list").map_err(failed)?;
        for (i, entry) in std::fs::read_dir(&self.path).map_err(failed)?.enumerate() {
            if i == files_max {
                // To look at some only would be to overlook those who hold the lock.
                return Err(
                    Error::new(ErrorKind::Damaged, "too many files in the lock folder")
                        .at(&self.path)
                        .advice(format!(
                            "a registry has at most {files_max}; remove what is not its own"
                        )),
                );
            }
            let name = entry.map_err(failed)?.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|n| n.split_once('.')) else {
                continue;
            };
            let Some(ticket) = Ticket::parse(stem) else {
                continue;
            };
            match kind {
                "lock" => listing.registered.push(ticket),
                "json" | "new" | "lock.gone" | "json.gone" => others.push((ticket, name)),
                kind if kind.ends_with("fifo") => others.push((ticket, name)),
                _ => {}
            }
        }
        listing.registered.sort_unstable();
        others.retain(|(ticket, _)| listing.registered.binary_search(ticket).is_err());
        listing.leftovers = others.into_iter().map(|(_, name)| self.path.join(name)).collect();
        Ok(listing)
    }

    /// Opens a session's lock file, to probe it or to wait for it; nothing where it is not registered.
    pub(crate) fn open_lock(&self, ticket: Ticket) -> Result<Option<File>> {
        let path = self.lock_path(ticket);
        match faults::check("open lock").and_then(|()| sys::open_to_read(&path)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("cannot open the lock of another session", &path, e)),
        }
    }

    /// Whether a session has a lock file, locked or not.
    pub(crate) fn has_lock_file(&self, ticket: Ticket) -> Result<bool> {
        let path = self.lock_path(ticket);
        faults::check("look for lock")
            .and_then(|()| path.try_exists())
            .map_err(|e| Error::io("cannot look for the lock of another session", &path, e))
    }

    /// Asks the kernel whether a session is alive.
    pub(crate) fn liveness(&self, ticket: Ticket) -> Result<Liveness> {
        match self.open_lock(ticket)? {
            Some(lock) => self.probe(ticket, &lock),
            None => Ok(Liveness::Gone),
        }
    }

    /// Asks the kernel whether the session is alive whose lock file this is.
    ///
    /// The probe is a shared lock, as a waiter's is, so that neither makes a dead session look alive to the other. It ends when
    /// the file is closed.
    pub(crate) fn probe(&self, ticket: Ticket, lock: &File) -> Result<Liveness> {
        // A lock that is free is no sign of death where its file lost its name meanwhile: its session let go.
        let look = |free| Ok((free, free && sys::is_removed(lock)?));
        match sys::try_lock_shared(lock).and_then(look) {
            Ok((true, true)) => Ok(Liveness::Gone),
            Ok((true, false)) => Ok(Liveness::Dead),
            Ok((false, _)) => Ok(Liveness::Alive),
            Err(e) => Err(Error::io(
                "cannot probe the lock of another session",
                &self.lock_path(ticket),
                e,
            )),
        }
    }

    /// A session's record; nothing where it is missing, not ours to read, or not a record.
    pub(crate) fn read_record(&self, ticket: Ticket) -> Result<Option<Record>> {
        Ok(read_record_at(&self.record_path(ticket))?.filter(|r| r.claim.ticket == ticket))
    }

    /// The record of the last mutator that did not finish.
    pub(crate) fn read_unfinished(&self) -> Result<Option<Record>> {
        read_record_at(&self.path.join(UNFINISHED))
    }

    /// Creates a lock file and locks it.
    pub(crate) fn create_lock(&self, ticket: Ticket) -> Result<File> {
        let path = self.lock_path(ticket);
        let file = faults::check("create lock")
            .and_then(|()| self.create_file(&path))
            .map_err(|e| Error::io("cannot create the lock file", &path, e))?;
        let failed = match sys::try_lock_exclusive(&file) {
            Ok(true) => return Ok(file),
            Ok(false) => Error::new(ErrorKind::Damaged, "somebody else locked the new lock file").at(&path),
            Err(e) => Error::io("cannot lock", &path, e),
        };
        // Unlocked it would be a dead session's, and swept; but why leave that to others.
        drop(sys::remove(&path));
        Err(failed)
    }

    /// Creates a record file. Under the gate nobody reads it before it is whole.
    pub(crate) fn create_record(&self, record: &Record) -> Result<()> {
        let path = self.record_path(record.claim.ticket);
        faults::check("create record")
            .and_then(|()| self.create_file(&path))
            .and_then(|mut file| {
                faults::check("write record").and_then(|()| file.write_all(&record.to_bytes()))
            })
            .map_err(|e| Error::io("cannot write the session's record", &path, e))
    }

    /// Overwrites the record file of a claim that was granted: a record has room for that. No file is made, so that a full
    /// disk keeps nobody waiting.
    pub(crate) fn rewrite_record(&self, record: &Record) -> Result<()> {
        let path = self.record_path(record.claim.ticket);
        match faults::check("open record to rewrite").and_then(|()| sys::open_to_rewrite(&path)) {
            // Somebody removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.create_record(record),
            opened => opened.and_then(|mut file| {
                faults::check("rewrite record").and_then(|()| file.write_all(&record.to_bytes()))
            }),
        }
        .map_err(|e| Error::io("cannot rewrite the session's record", &path, e))
    }

    /// Replaces a record file by a whole new one, so that those who read without the gate never see half of one.
    pub(crate) fn replace_record(&self, record: &Record) -> Result<()> {
        let path = self.record_path(record.claim.ticket);
        let new = path.with_extension("new");
        let replaced = faults::check("create new record")
            .and_then(|()| self.create_file(&new))
            .and_then(|mut file| {
                faults::check("write new record").and_then(|()| file.write_all(&record.to_bytes()))
            })
            .and_then(|()| faults::check("rename record"))
            .and_then(|()| sys::replace(&new, &path));
        replaced.map_err(|e| {
            // The old record stands; what is left of the new one would only be litter.
            drop(sys::remove(&new));
            Error::io("cannot replace the session's record", &path, e)
        })
    }

    /// Hangs the bell of a session that waits for a token: a fifo, opened so that reading it blocks, also before anybody has
    /// rung.
    pub(crate) fn hang_bell(&self, ticket: Ticket) -> io::Result<File> {
        let path = self.bell_path(ticket);
        sys::make_fifo(&path)?;
        // Both ways, so that opening does not wait for the other end (fifo(7)).
        let bell = File::options().read(true).write(true).open(&path)?;
        if let Some(owner) = self.owner {
            sys::give(&bell, owner);
        }
        Ok(bell)
    }

    pub(crate) fn bell_path(&self, ticket: Ticket) -> PathBuf {
        self.path.join(format!("{ticket}{BELL}"))
    }

    /// Rings the bell of the first that waits for a token, if somebody does.
    ///
    /// Needs no gate, and must not fail: whoever is not woken looks again by itself, if much later.
    pub(crate) fn ring(&self) {
        self.ring_behind(Ticket(0));
    }

    /// The same for the first of those that came after `before`.
    pub(crate) fn ring_behind(&self, before: Ticket) {
        let names = std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .take(FILES_MAX);
        let ticket = |name: OsString| Ticket::parse(name.to_str()?.strip_suffix(BELL)?);
        let waiting = names.flatten().filter_map(|e| ticket(e.file_name()));
        let mut waiting: Vec<_> = waiting.filter(|&ticket| ticket > before).collect();
        waiting.sort_unstable();
        // Where nobody listens any more, its owner was killed: opening it to write, and not to wait, fails (fifo(7)).
        let rung = waiting.into_iter().find(|&ticket| {
            let bell = sys::options().write(true).open(self.bell_path(ticket));
            bell.and_then(|mut bell| bell.write_all(b"!")).is_ok()
        });
        tracing::trace!(?rung, "rang for a token that is free");
    }

    pub(crate) fn keep_unfinished(&self, ticket: Ticket) -> Result<()> {
        let path = self.record_path(ticket);
        let kept =
            faults::check("keep unfinished").and_then(|()| sys::replace(&path, &self.path.join(UNFINISHED)));
        missing_is_fine(kept)
            .map_err(|e| Error::io("cannot keep the record of an unfinished session", &path, e))
    }

    pub(crate) fn forget_unfinished(&self) -> Result<()> {
        self.remove(&self.path.join(UNFINISHED))
    }

    /// Removes a file of the folder; that it is gone already is fine.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        missing_is_fine(faults::check("remove").and_then(|()| sys::remove(path)))
            .map_err(|e| Error::io("cannot remove", path, e))
    }
}

fn missing_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn read_record_at(path: &Path) -> Result<Option<Record>> {
    let read = faults::check("read record")
        .and_then(|()| sys::open_to_read(path))
        .and_then(|mut file| read_bounded(&mut file, record::SIZE_MAX));
    match read {
        Ok(bytes) => Ok(Record::parse(&bytes)),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(Error::io("cannot read the record", path, e)),
    }
}

/// Reads a file up to one byte more than it may have, so that the parser sees that it is too long.
fn read_bounded(file: &mut File, size_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    Read::by_ref(file)
        .take(size_max as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_more_files_than_a_registry_can_have_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::create(&home.path().join("session")).unwrap();
        for name in ["1.lock", "2.lock", "note"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(folder.list_up_to(3).unwrap().registered, [Ticket(1), Ticket(2)]);
        let error = folder.list_up_to(2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("at most 2"), "{error}");
    }
}
