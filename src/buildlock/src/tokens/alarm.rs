//! What wakes a build that waits for its first token, so that until then it sleeps in the kernel.
//!
//! A token becomes free in two ways. Its holder ends: then the kernel frees the holder's lock. Or its holder gives it back
//! and goes on: then it rings, because no lock is freed.
//!
//! Only the first in line is woken by either: it waits for the locks of all that hold tokens, and its bell is the one that is
//! rung. Each of the others waits for the lock of the one before it, which is freed where that gives up or dies. Whoever got a
//! token rings for the next one behind it, who watched it. So one token that comes back wakes one build, and the next in line.
//!
//! No ring is lost. The bell hangs before its owner looks at the ledger, and whoever gives back rings after the ledger says
//! so: either the look shows it, or the bell was rung. Where a lock was freed before one waits for it, its file is gone or
//! the wait is over at once.
//!
//! # Platform notes
//! Where there are no named fifos (Windows, some file systems) nobody can ring, and the folder's time stamp is looked at
//! instead, often. Ends are noticed as everywhere.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::queue::Ticket;
use crate::registry::Registry;
use crate::tokens::ledger::Entry;
use crate::wait::{Blocked, Cancel, Then};

/// When to look again although nothing woke us: a safety net.
const TICK: Duration = Duration::from_secs(5);

/// The same where nobody can ring: how often to look at the time stamp, and how often at the ledger whatever it says.
const TICK_WITHOUT_BELL: Duration = Duration::from_millis(20);
const LOOK_WITHOUT_BELL: Duration = Duration::from_secs(1);

/// The most threads that wait for holders' locks. The end of those beyond is noticed by the tick.
const WATCHED_MAX: usize = 64;

/// Wakes one build.
#[derive(Debug)]
pub(super) struct Alarm<'a> {
    registry: &'a Registry,
    me: Ticket,
    cancel: &'a Cancel,
    bell: Option<Bell<'a>>,
    /// Whose lock is waited for; under our own ticket, the bell.
    watched: Vec<(Ticket, Blocked)>,
}

/// Our fifo, which is rung when a token was given back.
#[derive(Debug)]
struct Bell<'a> {
    registry: &'a Registry,
    me: Ticket,
    fifo: File,
}

impl<'a> Alarm<'a> {
    /// Sets the alarm. The ledger must be looked at after that.
    pub(super) fn set(registry: &'a Registry, me: Ticket, cancel: &'a Cancel) -> Self {
        let bell = match registry.folder().hang_bell(me) {
            Ok(fifo) => Some(Bell { registry, me, fifo }),
            Err(error) => {
                tracing::debug!(%error, "nobody can ring here");
                None
            }
        };
        Self {
            registry,
            me,
            cancel,
            bell,
            watched: Vec::new(),
        }
    }

    /// When to be awake again after a look, although nothing woke us.
    pub(super) fn tick(&self) -> Duration {
        self.bell.as_ref().map_or(TICK_WITHOUT_BELL, |_| TICK)
    }

    /// Whether one who woke by the tick alone must look at the ledger; `stirred` says whether the folder has changed.
    pub(super) fn must_look(&self, last: Instant, stirred: impl Fn() -> Result<bool>) -> Result<bool> {
        match &self.bell {
            Some(_) => Ok(last.elapsed() >= TICK),
            None => Ok(last.elapsed() >= LOOK_WITHOUT_BELL || stirred()?),
        }
    }

    /// From now on we are woken by what may bring us a token, as the ledger stands. Returns whether some of it has happened
    /// already.
    pub(super) fn watch(&mut self, entries: &[Entry]) -> Result<bool> {
        let waiting = |e: &&Entry| e.lease.held == 0 && e.ticket < self.me;
        let before_me = entries.iter().filter(waiting).map(|e| e.ticket).max();
        let holders = entries.iter().filter(|e| e.lease.held > 0).map(|e| e.ticket);
        let mut whom: Vec<_> = match before_me {
            Some(ticket) => vec![ticket],
            None => holders.take(WATCHED_MAX).collect(),
        };
        whom.extend(self.bell.as_ref().map(|bell| bell.me));
        self.watched.retain(|(ticket, _)| whom.contains(ticket));
        for ticket in whom {
            if self.watched.iter().all(|(watched, _)| *watched != ticket) {
                let Some(blocked) = self.block(ticket)? else {
                    return Ok(true);
                };
                self.watched.push((ticket, blocked));
            }
        }
        Ok(false)
    }

    /// Blocks a thread on the lock of `ticket`, or on our bell; nothing where that session is gone already.
    fn block(&self, ticket: Ticket) -> Result<Option<Blocked>> {
        let bell = self.bell.as_ref().filter(|bell| bell.me == ticket);
        let (file, then) = match bell {
            Some(bell) => (bell.fifo.try_clone().map_err(|e| self.failed(e))?, Then::Empty),
            None => match self.registry.folder().open_lock(ticket)? {
                Some(lock) => (lock, Then::LetGo),
                None => return Ok(None),
            },
        };
        let name = format!("buildlock waits for {ticket}");
        let blocked = Blocked::on(file, then, name, self.cancel);
        blocked.map(Some).map_err(|e| self.failed(e))
    }

    /// Sleeps until something may have brought us a token, `until` has come, or the wait is cancelled. Returns whether it
    /// was the first.
    pub(super) fn sleep(&mut self, until: Option<Instant>) -> Result<bool> {
        let rings = || self.watched.iter().any(|(_, blocked)| blocked.is_over());
        self.cancel.sleep_until(until, rings);
        let over: Vec<_> = self
            .watched
            .extract_if(.., |(_, blocked)| blocked.is_over())
            .collect();
        for outcome in over.iter().filter_map(|(_, blocked)| blocked.wait(None)) {
            outcome.map_err(|e| self.failed(e))?;
        }
        Ok(!over.is_empty())
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("cannot wait for a token of the pool", self.registry.path(), error)
    }
}

impl Drop for Bell<'_> {
    fn drop(&mut self) {
        // What cannot be removed goes with the rest of the session's files.
        drop(
            self.registry
                .folder()
                .remove(&self.registry.folder().bell_path(self.me)),
        );
        // The thread that still listens can end.
        drop((&self.fifo).write(b"!"));
    }
}
