//! A seat: one build's registration in a pool, and its entry in the ledger.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use crate::ancestry::Ancestry;
use crate::error::Result;
use crate::gate::RegistryId;
use crate::protocol;
use crate::queue::{Claim, Mode, SessionId, State, Ticket};
use crate::record::{Lease, Record, Who, now_unix_ms};
use crate::registry::{Locks, Patience, Registry, Transition};
use crate::scan::{Liveness, Living};
use crate::tokens::ledger::{Entry, capacity_in_force};

/// How often to ask the kernel whether the others of the pool are alive, while waiting for what they hold. A microsecond
/// each; their death frees tokens and changes no file.
const PROBE_EVERY: Duration = Duration::from_millis(40);

/// How often to look although nothing seems to have changed: time stamps may be too coarse to tell two changes apart.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One build's place in a pool.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) registry: Registry,
    id: RegistryId,
    ancestry: Ancestry,
    record: Record,
    locks: Locks,
}

/// Where a build belongs in a pool.
#[derive(Debug)]
pub(super) enum Place {
    /// It is a member.
    Seat(Box<Seat>),
    /// It is the one job of a living member that it was started under.
    JobOf(Ticket),
}

/// Who takes a seat.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) lease: Lease,
    pub(super) label: String,
    pub(super) command: Option<Vec<String>>,
    pub(super) ancestry: Ancestry,
}

/// Tells children under which build they run.
#[derive(Debug)]
pub(super) struct Nesting {
    ancestry: Ancestry,
    registry: RegistryId,
    session: SessionId,
}

impl Nesting {
    pub(super) fn tell(&self, command: &mut Command) {
        let ancestry = Ancestry::given_to(command).unwrap_or_else(|| self.ancestry.clone());
        ancestry.with(self.registry, self.session).give_to(command);
    }
}

/// The ledger at one moment, the gate held.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) capacity: u32,
    pub(super) entries: Vec<Entry>,
}

impl Seat {
    /// Takes a seat, without a token unless one can be leased at once; none where a living ancestor has one.
    pub(super) fn take(registry: &Registry, taking: Taking, patience: &Patience<'_>) -> Result<Place> {
        let mut gate = registry.enter(patience)?;
        let ticket = gate.gate.next;
        let mut ledger = Ledger::read(&mut gate, taking.lease.capacity)?;
        let ancestors = taking.ancestry.sessions(gate.gate.registry);
        // In a pool a session has one claim, so its name is its ticket.
        let living = |a: &&SessionId| ledger.entries.iter().any(|e| e.ticket.0 == a.0);
        if let Some(around) = ancestors.iter().rev().find(living) {
            return Ok(Place::JobOf(Ticket(around.0)));
        }
        let mut lease = Lease {
            capacity: ledger.capacity,
            ..taking.lease
        };
        ledger.entries.push(Entry { ticket, lease });
        let now = now_unix_ms();
        let turn = ledger.may_lease(ticket) > 0;
        lease.held = u32::from(turn);
        let mut who = Who::this_process().clone();
        if let Some(words) = taking.command {
            who = who.showing(words);
        }
        let record = Record {
            claim: Claim {
                ticket,
                session: gate.gate.next_session(),
                ancestors: Vec::new(),
                mode: Mode::Shared,
                state: if turn { State::Granted } else { State::Waiting },
            },
            who,
            label: taking.label,
            asked_unix_ms: now,
            granted_unix_ms: turn.then_some(now),
            preemptible: false,
            uses: Vec::new(),
            lease: Some(lease),
        };
        let mut seat = Self {
            registry: registry.clone(),
            id: gate.gate.registry,
            ancestry: taking.ancestry,
            record: record.clone(),
            locks: Locks::new(),
        };
        gate.apply(protocol::register(gate.gate, record), &mut seat.locks)?;
        Ok(Place::Seat(Box::new(seat)))
    }

    /// What children of this build must know to count as nested in it.
    pub(super) fn nesting(&self) -> Nesting {
        Nesting {
            ancestry: self.ancestry.clone(),
            registry: self.id,
            session: self.record.claim.session,
        }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.record.claim.ticket
    }

    pub(super) fn lease(&self) -> Lease {
        self.record.lease.expect("a seat is taken with a lease")
    }

    /// Takes the gate of `registry`, which is this seat's own.
    pub(super) fn enter<'a>(
        &self,
        registry: &'a Registry,
        patience: &Patience<'_>,
    ) -> Result<Transition<'a>> {
        let gate = registry.enter_again(self.id, patience)?;
        registry.is_still_ours(&self.locks)?;
        Ok(gate)
    }

    /// Looks at the ledger, this seat's own entry as published included.
    pub(super) fn read(&self, gate: &mut Transition<'_>) -> Result<Ledger> {
        Ledger::read(gate, self.lease().capacity)
    }

    /// Publishes more tokens, or another wish.
    pub(super) fn publish(&mut self, gate: &mut Transition<'_>, held: u32, wanted: u32) -> Result<()> {
        let mut record = self.with_lease(held, wanted);
        let writes = if record.claim.state == State::Waiting && held > 0 {
            let now = now_unix_ms();
            let writes = protocol::first_lease(gate.gate, record.clone(), now);
            (record.claim.state, record.granted_unix_ms) = (State::Granted, Some(now));
            writes
        } else {
            protocol::lease(record.clone())
        };
        gate.apply(writes, &mut self.locks)?;
        self.is_now(record);
        Ok(())
    }

    /// Publishes fewer tokens. Needs no gate: at worst another session learns late that some are free.
    pub(super) fn give_back(&mut self, count: u32) -> Result<()> {
        let held = self.lease().held.saturating_sub(count).max(1);
        let record = self.with_lease(held, held);
        self.registry
            .give_back(protocol::lease(record.clone()), &mut self.locks)?;
        self.is_now(record);
        Ok(())
    }

    /// Notes what was published, and rings where tokens were given back.
    fn is_now(&mut self, record: Record) {
        let before = std::mem::replace(&mut self.record, record).lease;
        if before.is_some_and(|before| self.lease().held < before.held) {
            self.registry.folder().ring();
        }
    }

    fn with_lease(&self, held: u32, wanted: u32) -> Record {
        let mut record = self.record.clone();
        record.lease = Some(Lease {
            held,
            wanted,
            ..self.lease()
        });
        record
    }

    /// Leaves the pool, with all tokens that were leased.
    pub(super) fn leave(&mut self) -> Result<()> {
        if self.locks.is_empty() {
            return Ok(());
        }
        let ticket = self.ticket();
        let done = self
            .registry
            .let_go(ticket, protocol::let_go(ticket), &mut self.locks);
        // Also where a file could not be removed: closing the lock is what ends the session.
        self.locks.clear();
        done
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Err(e) = self.leave() {
            tracing::warn!(ticket = %self.ticket(), error = %e, "the files of a token lease stay behind");
        }
    }
}

impl Ledger {
    /// Reads the entries of the living. Those of the dead are removed on the way.
    pub(super) fn read(gate: &mut Transition<'_>, own_capacity: u32) -> Result<Self> {
        Ok(Self::of(&gate.scan()?, own_capacity))
    }

    pub(super) fn of(living: &[Living], own_capacity: u32) -> Self {
        let readable: Vec<_> = living.iter().filter_map(Self::entry).collect();
        let capacity = capacity_in_force(&readable, own_capacity);
        // What cannot be read is alive all the same, and so holds at least the token of its own job.
        let cautious = |living: &Living| Entry {
            ticket: living.claim.ticket,
            lease: Lease {
                held: 1,
                wanted: 1,
                cap: 1,
                weight: 1,
                capacity,
            },
        };
        let entries = living
            .iter()
            .map(|l| Self::entry(l).unwrap_or_else(|| cautious(l)))
            .collect();
        Self { capacity, entries }
    }

    fn entry(living: &Living) -> Option<Entry> {
        let lease = living.record.as_ref()?.lease?;
        Some(Entry {
            ticket: living.claim.ticket,
            lease,
        })
    }

    /// Says what the session with ticket `me` wants now, whatever it published.
    pub(super) fn wishing(mut self, me: Ticket, wanted: u32) -> Self {
        for entry in self.entries.iter_mut().filter(|e| e.ticket == me) {
            entry.lease.wanted = wanted;
        }
        self
    }

    pub(super) fn may_lease(&self, me: Ticket) -> u32 {
        super::ledger::may_lease(self.capacity, &self.entries, me)
    }

    pub(super) fn should_return(&self, me: Ticket) -> u32 {
        super::ledger::should_return(self.capacity, &self.entries, me)
    }

    /// Whether somebody else wants more than it holds.
    pub(super) fn others_want(&self, me: Ticket) -> bool {
        let others = self.entries.iter().filter(|e| e.ticket != me);
        others
            .into_iter()
            .any(|e| e.lease.held < e.lease.wanted.min(e.lease.cap))
    }
}

/// Notices cheaply that the ledger may have changed: by the folder's time stamp, and by asking the kernel for the others' lives.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<SystemTime>,
    looked: Option<Instant>,
    probed: Option<Instant>,
    others: Vec<Ticket>,
}

impl Watch {
    /// Notes what a look under the gate, which must still be held, has shown.
    pub(super) fn looked(
        &mut self,
        now: Instant,
        registry: &Registry,
        ledger: &Ledger,
        me: Ticket,
    ) -> Result<()> {
        self.seen = Some(registry.folder().changed()?);
        self.looked = Some(now);
        self.others.clear();
        self.others
            .extend(ledger.entries.iter().map(|e| e.ticket).filter(|&t| t != me));
        Ok(())
    }

    /// Whether the folder has changed since the last look.
    pub(super) fn stirred(&self, registry: &Registry) -> Result<bool> {
        Ok(self.seen != Some(registry.folder().changed()?))
    }

    /// Whether one of the others has died, asked now and then: what it held is free, and no file has changed.
    pub(super) fn bereaved(&mut self, now: Instant, registry: &Registry) -> Result<bool> {
        if since(self.probed, now) < PROBE_EVERY {
            return Ok(false);
        }
        self.probed = Some(now);
        // Without the gate: these are sessions whose locks were held at the last look, and tickets are never reused.
        for &other in &self.others {
            if !matches!(registry.folder().liveness(other)?, Liveness::Alive) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the last look was long ago: a change within the resolution of a time stamp may have been missed.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        since(self.looked, now) >= LOOK_EVERY
    }
}

fn since(then: Option<Instant>, now: Instant) -> Duration {
    then.map_or(Duration::MAX, |then| now.duration_since(then))
}
