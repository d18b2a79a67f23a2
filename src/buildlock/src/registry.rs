//! The registry: a folder, a gate, and the transitions made under it.

mod kept;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::folder::Folder;
use crate::gate::{Gate, Malformed, PROTOCOL_VERSION, RegistryId};
use crate::protocol::{self, Mark, Write};
use crate::queue::{Claim, Decision, Ticket};
use crate::record::Record;
use crate::registry::kept::{Kept, Locked};
use crate::scan::{self, Ahead, Liveness, Living, View};
use crate::sys;
use crate::wait::{Blocked, Cancel, Then};

/// How often to try for the gate before a thread is started to wait for it. It is held for microseconds, so the first tries
/// follow each other at once, and the others after a nap.
const GATE_TRIES: u32 = 64;
const GATE_YIELDS: u32 = 16;
const GATE_NAP: Duration = Duration::from_millis(1);

/// How often the folder may be removed, and made anew, by somebody else while one gate after the other is tried.
const GATES_MAX: u32 = 100;

/// The folder in which sessions meet. No daemon: whoever comes reads it, and writes it under the gate.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: Folder,
    gate: Kept,
}

/// The locks that a session holds, by ticket.
pub(crate) type Locks = Vec<(Ticket, File)>;

/// How long to try for the gate, and what makes one give up.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    pub deadline: Option<Instant>,
    pub cancel: &'a Cancel,
}

/// The gate, held.
#[derive(Debug)]
pub(crate) struct Transition<'a> {
    folder: &'a Folder,
    file: Locked,
    pub gate: Gate,
}

impl Registry {
    /// Opens the registry in `folder`, and creates it where it is missing, for this user alone.
    ///
    /// # Errors
    /// [`ErrorKind::NotPrivate`] where others could plant files in it, [`ErrorKind::Io`] where it cannot be made.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Folder::create(folder.as_ref()).map(Self::of)
    }

    /// Opens the registry in `folder` if there is one.
    ///
    /// # Errors
    /// As [`Registry::open`], and [`ErrorKind::Io`] where it cannot be told whether there is one.
    pub fn existing(folder: impl AsRef<Path>) -> Result<Option<Self>> {
        let folder = Folder::existing(folder.as_ref())?;
        Ok(folder.map(Self::of))
    }

    fn of(folder: Folder) -> Self {
        Self {
            folder,
            gate: Kept::default(),
        }
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Takes the gate.
    pub(crate) fn enter(&self, patience: &Patience<'_>) -> Result<Transition<'_>> {
        for _ in 0..GATES_MAX {
            let file = Locked::new(self.lock_gate(patience)?, &self.gate);
            // Whoever removed the folder and made it anew has another gate: two sessions must not hold one each.
            if self.folder.is_gate(&file)? {
                return Transition::begin(&self.folder, file);
            }
            file.close();
        }
        let error = Error::new(
            ErrorKind::Unsupported,
            "the gate is another file each time, in the lock folder",
        );
        Err(error
            .at(self.path())
            .advice("put the lock folder on another file system"))
    }

    /// Takes the gate of the registry called `id`, and not that of another one that was made in the same place since.
    pub(crate) fn enter_again(&self, id: RegistryId, patience: &Patience<'_>) -> Result<Transition<'_>> {
        let gate = self.enter(patience)?;
        if gate.gate.registry == id {
            Ok(gate)
        } else {
            Err(Error::new(
                ErrorKind::Lost,
                "somebody removed, and made anew, the lock folder",
            )
            .at(self.path()))
        }
    }

    fn lock_gate(&self, patience: &Patience<'_>) -> Result<File> {
        let failed = |e| Error::io("cannot lock the lock folder's gate", self.path(), e);
        let file = self.gate.take().map_or_else(|| self.folder.open_gate(), Ok)?;
        // Who waits in the kernel is woken with all the others that do, and its thread must then wake this one, while the
        // gate is held: where many come at once that is slower than to come back.
        for nth in 0..GATE_TRIES {
            if sys::try_lock_exclusive(&file).map_err(failed)? {
                return Ok(file);
            }
            if patience.cancel.is_cancelled() || patience.deadline.is_some_and(|at| at <= Instant::now()) {
                break;
            }
            match nth {
                0..GATE_YIELDS => std::thread::yield_now(),
                _ => std::thread::sleep(GATE_NAP),
            }
        }
        // Its holder was stopped: wait in the kernel, but not longer than we may.
        let name = "buildlock waits for the gate".to_owned();
        let blocked = Blocked::on(file, Then::Keep, name, patience.cancel).map_err(failed)?;
        match blocked.wait_for_lock(patience.deadline) {
            Some(locked) => locked.map_err(failed),
            None if patience.cancel.is_cancelled() => {
                Err(Error::new(ErrorKind::Cancelled, "the wait was cancelled"))
            }
            None => Err(Error::new(ErrorKind::Timeout, "timed out waiting for the gate of").at(self.path())),
        }
    }

    /// Looks at the registry without its gate.
    pub(crate) fn glance(&self) -> Glance<'_> {
        Glance(&self.folder)
    }

    /// Does the writes by which a session lets go of one of its claims. They need no gate.
    ///
    /// Does nothing where `locks` has no lock of that ticket. Where its files were removed by somebody (`lock break`, or
    /// with the whole folder), whatever bears their names now is not ours: then only the lock is freed.
    pub(crate) fn let_go(&self, ticket: Ticket, writes: Vec<Write>, locks: &mut Locks) -> Result<()> {
        let Some((_, lock)) = locks.iter().find(|(t, _)| *t == ticket) else {
            return Ok(());
        };
        let writes = if sys::is_removed(lock).unwrap_or(false) {
            vec![Write::Unlock(ticket)]
        } else {
            writes
        };
        apply_all(writes, |write| apply(&self.folder, write, locks))
    }

    /// Does the writes by which a session of a token pool gives tokens back. They need no gate.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`] where the session's files were removed by somebody: what bears their names now is not ours.
    pub(crate) fn give_back(&self, writes: Vec<Write>, locks: &mut Locks) -> Result<()> {
        self.is_still_ours(locks)?;
        apply_all(writes, |write| apply(&self.folder, write, locks))
    }

    /// # Errors
    /// [`ErrorKind::Lost`] where one of these locks has lost its name.
    pub(crate) fn is_still_ours(&self, locks: &Locks) -> Result<()> {
        if locks
            .iter()
            .all(|(_, lock)| !sys::is_removed(lock).unwrap_or(false))
        {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Lost, "somebody removed this session from").at(self.path()))
    }

    /// Removes a session from the registry although its lock is held, so that the others no longer wait for it.
    ///
    /// The process behind it, if there is one, is not touched and does not notice: it may go on writing beside the next
    /// holder. For a session whose lock is kept by a process that will never end and cannot be ended. Returns the record
    /// that was removed, or nothing where no such session is registered.
    ///
    /// # Errors
    /// As [`Session::acquire`](crate::Session::acquire).
    pub fn break_session(&self, ticket: Ticket) -> Result<Option<Box<Broken>>> {
        let mut gate = self.enter(&Patience {
            deadline: None,
            cancel: &Cancel::new(),
        })?;
        if matches!(self.folder.liveness(ticket)?, Liveness::Gone) {
            return Ok(None);
        }
        let record = self.folder.read_record(ticket)?;
        gate.apply(
            protocol::sweep(ticket, record.as_ref().map(|r| &r.claim)),
            &mut Locks::new(),
        )?;
        // In a token pool what it held is free, and no lock was freed that says so.
        self.folder.ring();
        Ok(Some(Box::new(Broken { ticket, record })))
    }
}

/// What [`Registry::break_session`] removed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Broken {
    /// Its ticket.
    pub ticket: Ticket,
    /// Its record, where it could be read.
    pub record: Option<Record>,
}

impl<'a> Transition<'a> {
    fn begin(folder: &'a Folder, file: Locked) -> Result<Self> {
        let bytes = folder.read_gate(&file)?;
        match Gate::parse(&bytes) {
            Ok(gate) => Ok(Self { folder, file, gate }),
            Err(Malformed::Newer(version)) => Err(Error::new(
                ErrorKind::NewerProtocol,
                format!(
                    "protocol version {version} is newer than ours, {PROTOCOL_VERSION}, in the lock folder"
                ),
            )
            .at(folder.path())
            .advice("use the newer tool, or choose another lock folder")),
            Err(Malformed::Garbage) => Self::rebuild(folder, file, bytes.is_empty()),
        }
    }

    /// A gate that is empty is new, or was emptied by a power failure. One that is garbage is rebuilt like it, as long as
    /// nobody is alive who relies on what stood there. The registry gets a new name, so that no old one fits it.
    fn rebuild(folder: &'a Folder, file: Locked, new: bool) -> Result<Self> {
        let listing = folder.list()?;
        for &ticket in &listing.registered {
            if matches!(folder.liveness(ticket)?, Liveness::Alive) {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    "the gate is damaged while sessions are alive in",
                )
                .at(folder.path())
                .advice(format!(
                    "session {ticket} is; once all have ended it repairs itself"
                )));
            }
        }
        let second = folder.open_gate()?;
        let twice = sys::try_lock_exclusive(&second)
            .map_err(|e| Error::io("cannot lock the lock folder's gate", folder.path(), e))?;
        if twice {
            return Err(
                Error::new(ErrorKind::Unsupported, "the same lock was granted twice in")
                    .at(folder.path())
                    .advice("this file system only pretends to lock; put the lock folder on a local one"),
            );
        }
        if !new {
            tracing::warn!(folder = %folder.path().display(), "the gate was damaged and is made anew");
        }
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(|e| {
            Error::io(
                "cannot draw a random name for",
                folder.path(),
                std::io::Error::other(e),
            )
        })?;
        let mut gate = Gate::new(RegistryId(u64::from_ne_bytes(id)));
        let last = listing.registered.last().map_or(0, |ticket| ticket.0);
        gate.next = Ticket(last.saturating_add(1));
        // A mutator may be among the dead: whoever comes next, a reader, too, is to look at them.
        gate.exclusive = Ticket(last);
        folder.empty_gate(&file)?;
        folder.write_gate(&file, &gate)?;
        Ok(Self { folder, file, gate })
    }

    /// All living sessions, in order of their tickets. The remains of dead ones are removed.
    pub(crate) fn scan(&mut self) -> Result<Vec<Living>> {
        scan::living(self)
    }

    /// Decides for a claim that is about to be registered. Also returns who is ahead of it, for [`Self::decide_again`].
    pub(crate) fn decide(&mut self, me: &Claim) -> Result<(Decision, Ahead)> {
        let gate = self.gate;
        scan::first(self, &gate, me)
    }

    /// Decides for a claim that waits.
    pub(crate) fn decide_again(&mut self, me: &Claim, ahead: &mut Ahead) -> Result<Decision> {
        let gate = self.gate;
        scan::again(self, &gate, me, ahead)
    }

    /// What a mutator's clean end does about the mark that it was told of.
    pub(crate) fn mark_after(&self, told: Option<Ticket>) -> Result<Mark> {
        if told.is_none() {
            return Ok(Mark::Stays);
        }
        let standing = self.folder.read_unfinished()?.map(|mark| mark.claim.ticket);
        Ok(Mark::after(told, standing))
    }

    /// Whether a claim is still registered: not broken by somebody, its folder not removed.
    pub(crate) fn is_registered(&self, ticket: Ticket) -> Result<bool> {
        self.folder.has_lock_file(ticket)
    }

    /// Does the writes of a transition, in order.
    pub(crate) fn apply(&mut self, writes: Vec<Write>, locks: &mut Locks) -> Result<()> {
        apply_all(writes, |write| match write {
            Write::Gate(gate) => {
                self.folder.write_gate(&self.file, &gate)?;
                self.gate = gate;
                Ok(())
            }
            write => apply(self.folder, write, locks),
        })
    }
}

impl View for Transition<'_> {
    type Error = Error;
    type Lock = File;

    fn registered(&mut self) -> Result<Vec<Ticket>> {
        let listing = self.folder.list()?;
        for file in &listing.leftovers {
            self.folder.remove(file)?;
        }
        Ok(listing.registered)
    }

    fn open_lock(&mut self, ticket: Ticket) -> Result<Option<File>> {
        self.folder.open_lock(ticket)
    }

    fn liveness(&mut self, ticket: Ticket, lock: &File) -> Result<Liveness> {
        self.folder.probe(ticket, lock)
    }

    fn liveness_without_record(&mut self, ticket: Ticket) -> Result<Liveness> {
        self.folder.liveness(ticket)
    }

    fn record(&mut self, ticket: Ticket) -> Result<Option<Record>> {
        self.folder.read_record(ticket)
    }

    fn sweep(&mut self, writes: Vec<Write>) -> Result<()> {
        tracing::debug!(?writes, "removing the remains of a dead session");
        self.apply(writes, &mut Locks::new())
    }
}

/// The registry as seen by one who passes by, without the gate: sessions may come, go and be granted while one looks. Good
/// enough to tell a person about it, and to tell whether it is worth entering. Removes nothing.
#[derive(Debug)]
pub(crate) struct Glance<'a>(&'a Folder);

impl View for Glance<'_> {
    type Error = Error;
    type Lock = File;

    fn registered(&mut self) -> Result<Vec<Ticket>> {
        Ok(self.0.list()?.registered)
    }

    fn open_lock(&mut self, ticket: Ticket) -> Result<Option<File>> {
        self.0.open_lock(ticket)
    }

    fn liveness(&mut self, ticket: Ticket, lock: &File) -> Result<Liveness> {
        self.0.probe(ticket, lock)
    }

    fn liveness_without_record(&mut self, ticket: Ticket) -> Result<Liveness> {
        let registered = self.0.has_lock_file(ticket)?;
        Ok(if registered {
            Liveness::Alive
        } else {
            Liveness::Gone
        })
    }

    fn record(&mut self, ticket: Ticket) -> Result<Option<Record>> {
        self.0.read_record(ticket)
    }

    fn sweep(&mut self, _writes: Vec<Write>) -> Result<()> {
        Ok(())
    }
}

/// Does writes in order, up to the first that must not fail and does. Returns the first error.
fn apply_all(writes: Vec<Write>, mut apply: impl FnMut(Write) -> Result<()>) -> Result<()> {
    let mut outcome = Ok(());
    for write in writes {
        let go_on = write.may_fail();
        let done = apply(write);
        let stop = done.is_err() && !go_on;
        outcome = outcome.and(done);
        if stop {
            break;
        }
    }
    outcome
}

fn apply(folder: &Folder, write: Write, locks: &mut Locks) -> Result<()> {
    match write {
        Write::Gate(_) => unreachable!("only a transition writes the gate, and does it itself"),
        Write::CreateLock(ticket) => {
            let lock = folder.create_lock(ticket)?;
            locks.push((ticket, lock));
            Ok(())
        }
        Write::CreateRecord(record) => folder.create_record(&record),
        Write::RewriteRecord(record) => folder.rewrite_record(&record),
        Write::ReplaceRecord(record) => folder.replace_record(&record),
        Write::KeepUnfinished(ticket) => folder.keep_unfinished(ticket),
        Write::ForgetUnfinished => folder.forget_unfinished(),
        Write::RemoveLock(ticket) => folder.remove(&folder.lock_path(ticket)),
        Write::RemoveRecord(ticket) => folder.remove(&folder.record_path(ticket)),
        Write::Unlock(ticket) => {
            if let Some(at) = locks.iter().position(|(t, _)| *t == ticket) {
                let (_, lock) = locks.remove(at);
                // Where that fails the file is closed all the same, which frees it unless a child was lent it.
                sys::unlock(&lock)
                    .map_err(|e| Error::io("cannot free the lock", &folder.lock_path(ticket), e))?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
