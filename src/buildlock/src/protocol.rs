//! The protocol: each transition of a session as the list of writes that makes it, in order.
//!
//! The lists are data, so that the very same ones are applied to a folder by [`crate::Registry`] and explored, with a crash
//! before and after every write, by the model in `tests/model`. The files:
//!
//! * `gate`: a mutex. Every transition but letting go happens under its lock.
//! * `<ticket>.lock`: **registers** a session by existing, and keeps it alive by being locked. Nothing else says so: a
//!   record whose lock is free is dead, whatever it says, and whoever scans removes it.
//! * `<ticket>.json`: the record, beside the locked file because Windows does not let others read one that is locked.
//! * `unfinished.json`: the mark of a mutator that died while it held the lock exclusively, which is its record. It says that
//!   outputs may be half written, until a mutator that was told so has come to a clean end.
//!
//! The orders that matter, and why:
//!
//! * *Registering* burns the ticket in the gate before its files appear, so that a crash between the two cannot lead to the
//!   same ticket being handed out twice.
//! * *Letting go* removes the lock file first: from then on the session is not registered, so a crash in between is a clean
//!   end and not an unfinished mutation. The kernel's lock is freed next, so nobody waits for the record to be removed, which
//!   is litter by then.
//! * *Downgrading* publishes the shared claim while the exclusive one stands: there is no gap for a mutator to slip into.

use crate::gate::Gate;
use crate::queue::{Claim, Mode, State, Ticket};
use crate::record::Record;

/// One write to the registry. Each but [`Write::RewriteRecord`] is seen whole or not at all, whoever looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Overwrites the gate's content in place.
    Gate(Gate),
    /// Creates the lock file, and locks it.
    CreateLock(Ticket),
    /// Creates the record file of a claim that has none yet.
    CreateRecord(Record),
    /// Overwrites the record file in place, with as many bytes as it has. Needs the gate; whoever reads it without the gate
    /// may in that moment see neither the old record nor the new one.
    RewriteRecord(Record),
    /// Replaces the record file.
    ReplaceRecord(Record),
    /// Keeps a dead mutator's record as `unfinished.json`.
    KeepUnfinished(Ticket),
    /// Removes `unfinished.json`.
    ForgetUnfinished,
    /// Removes the lock file's name. Its lock stays.
    RemoveLock(Ticket),
    /// Removes the record file.
    RemoveRecord(Ticket),
    /// Frees the kernel's lock on a lock file, which wakes those that wait for it.
    Unlock(Ticket),
}

impl Write {
    /// Whether the writes after this one are made even if it fails.
    ///
    /// What takes something must have succeeded before the next step relies on it. What lets go of something must not keep
    /// the rest from being let go of: a file that stays behind without its lock is removed by whoever scans next.
    #[must_use]
    pub fn may_fail(&self) -> bool {
        match self {
            Self::Gate(_)
            | Self::CreateLock(_)
            | Self::CreateRecord(_)
            | Self::RewriteRecord(_)
            | Self::ReplaceRecord(_)
            | Self::KeepUnfinished(_) => false,
            Self::ForgetUnfinished | Self::RemoveLock(_) | Self::RemoveRecord(_) | Self::Unlock(_) => true,
        }
    }
}

/// A new claim takes its place in the queue, granted at once or waiting.
///
/// `record.claim.ticket` must be `gate.next`.
#[must_use]
pub fn register(gate: Gate, record: Record) -> Vec<Write> {
    debug_assert_eq!(record.claim.ticket, gate.next, "tickets come from the gate");
    let gate = gate.with_ticket_taken(record.claim.mode);
    let gate = if record.claim.state == State::Granted {
        gate.with_grant(&record.claim)
    } else {
        gate
    };
    vec![
        Write::Gate(gate),
        Write::CreateLock(record.claim.ticket),
        Write::CreateRecord(record),
    ]
}

/// A waiting claim is granted.
#[must_use]
pub fn grant(gate: Gate, record: Record, now_unix_ms: u64) -> Vec<Write> {
    granted(gate, record, now_unix_ms, Write::RewriteRecord)
}

fn granted(gate: Gate, mut record: Record, now_unix_ms: u64, publish: fn(Record) -> Write) -> Vec<Write> {
    record.claim.state = State::Granted;
    record.granted_unix_ms = Some(now_unix_ms);
    vec![Write::Gate(gate.with_grant(&record.claim)), publish(record)]
}

/// A claim is let go of, or withdrawn while it waits. Needs no gate.
#[must_use]
pub fn let_go(ticket: Ticket) -> Vec<Write> {
    vec![
        Write::RemoveLock(ticket),
        Write::Unlock(ticket),
        Write::RemoveRecord(ticket),
    ]
}

/// What becomes of the mark that an earlier mutator left, at the clean end of a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// It stays, or there is none.
    Stays,
    /// It is removed. The gate must be held, or another mark could take its place before it is.
    Goes,
}

impl Mark {
    /// What a mutator does that was `told`, when it was granted, of the death of one with that ticket, and finds `standing`
    /// in its place now. It can vouch for nothing else: who died since then, around it or below it, is for the next.
    #[must_use]
    pub fn after(told: Option<Ticket>, standing: Option<Ticket>) -> Self {
        if told.is_some() && told == standing {
            Self::Goes
        } else {
            Self::Stays
        }
    }
}

/// An exclusive claim is let go of at a clean end. Needs the gate only where the mark goes.
#[must_use]
pub fn finish(ticket: Ticket, mark: Mark) -> Vec<Write> {
    let mut writes = match mark {
        Mark::Stays => vec![],
        Mark::Goes => vec![Write::ForgetUnfinished],
    };
    writes.extend(let_go(ticket));
    writes
}

/// An exclusive claim becomes a shared one, under a new ticket.
///
/// `shared.claim.ticket` must be `gate.next`.
#[must_use]
pub fn downgrade(gate: Gate, shared: Record, exclusive: Ticket, mark: Mark) -> Vec<Write> {
    let mut writes = register(gate, shared);
    writes.extend(finish(exclusive, mark));
    writes
}

/// A session of a token pool leases more tokens, gives some back, or says what it could use.
///
/// One write, so that the ledger never shows half of it. To lease more the gate must be held; to give back it need not be.
#[must_use]
pub fn lease(record: Record) -> Vec<Write> {
    vec![Write::ReplaceRecord(record)]
}

/// A session of a token pool is granted its first tokens.
///
/// As [`grant`], but by another file: who waits for tokens looks when the folder was last changed.
#[must_use]
pub fn first_lease(gate: Gate, record: Record, now_unix_ms: u64) -> Vec<Write> {
    granted(gate, record, now_unix_ms, Write::ReplaceRecord)
}

/// The remains of a dead session are removed; `record` is what could be read of its record.
///
/// The lock file goes last: as long as it is there, the next to scan will try again.
#[must_use]
pub fn sweep(ticket: Ticket, record: Option<&Claim>) -> Vec<Write> {
    let unfinished = record.is_some_and(|c| c.mode == Mode::Exclusive && c.state == State::Granted);
    let record = if unfinished {
        Write::KeepUnfinished(ticket)
    } else {
        Write::RemoveRecord(ticket)
    };
    vec![record, Write::RemoveLock(ticket)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::RegistryId;
    use crate::record::tests::sample;

    #[test]
    fn registering_burns_the_ticket_before_its_files_appear() {
        let gate = Gate::new(RegistryId(1));
        let writes = register(gate, sample(1));
        assert!(matches!(writes[0], Write::Gate(g) if g.next == Ticket(2) && g.epoch == 1));
        assert_eq!(writes[1], Write::CreateLock(Ticket(1)));
        assert_eq!(writes[2], Write::CreateRecord(sample(1)));
    }

    #[test]
    fn a_grant_moves_the_marks_before_the_record_says_so() {
        let gate = Gate::new(RegistryId(1)).with_ticket_taken(Mode::Exclusive);
        let mut waiting = sample(1);
        waiting.claim.state = State::Waiting;
        let granted = Record {
            granted_unix_ms: Some(7),
            ..sample(1)
        };
        let writes = [
            Write::Gate(gate.with_grant(&granted.claim)),
            Write::RewriteRecord(granted),
        ];
        assert_eq!(grant(gate, waiting, 7), writes);
    }

    #[test]
    fn a_first_lease_is_a_grant_that_changes_the_folder() {
        let gate = Gate::new(RegistryId(1)).with_ticket_taken(Mode::Shared);
        let mut waiting = sample(1);
        (waiting.claim.state, waiting.claim.mode) = (State::Waiting, Mode::Shared);
        let granted = grant(gate, waiting.clone(), 7);
        let leased = first_lease(gate, waiting, 7);
        assert_eq!(leased[0], granted[0]);
        let Write::RewriteRecord(record) = granted[1].clone() else {
            panic!("{granted:?}")
        };
        assert_eq!(leased[1..], [Write::ReplaceRecord(record)]);
    }

    #[test]
    fn a_lease_is_one_write() {
        assert_eq!(lease(sample(1)), [Write::ReplaceRecord(sample(1))]);
    }

    #[test]
    fn what_takes_must_succeed_and_what_lets_go_goes_on() {
        let gate = Gate::new(RegistryId(1));
        assert!(register(gate, sample(1)).iter().all(|w| !w.may_fail()));
        assert!(grant(gate, sample(1), 0).iter().all(|w| !w.may_fail()));
        assert!(finish(Ticket(1), Mark::Goes).iter().all(Write::may_fail));
        // What was not kept as a mark must not be removed, or the mark would be lost.
        assert!(!Write::KeepUnfinished(Ticket(1)).may_fail());
    }

    #[test]
    fn letting_go_unregisters_first_and_frees_the_lock_before_it_tidies_up() {
        let ticket = Ticket(3);
        let writes = [
            Write::RemoveLock(ticket),
            Write::Unlock(ticket),
            Write::RemoveRecord(ticket),
        ];
        assert_eq!(let_go(ticket), writes);
    }

    #[test]
    fn a_downgrade_publishes_before_it_lets_go() {
        let mut gate = Gate::new(RegistryId(1));
        gate.next = Ticket(2);
        let mut shared = sample(2);
        shared.claim.mode = Mode::Shared;
        let writes = downgrade(gate, shared, Ticket(1), Mark::Goes);
        let place = |w: &Write| writes.iter().position(|x| x == w).unwrap();
        assert!(place(&Write::CreateLock(Ticket(2))) < place(&Write::RemoveLock(Ticket(1))));
    }

    #[test]
    fn a_clean_end_removes_only_the_mark_that_it_was_told_of() {
        let (first, second) = (Some(Ticket(1)), Some(Ticket(2)));
        assert_eq!(Mark::after(first, first), Mark::Goes);
        assert_eq!(Mark::after(first, second), Mark::Stays);
        assert_eq!(Mark::after(first, None), Mark::Stays);
        assert_eq!(Mark::after(None, second), Mark::Stays);
        assert_eq!(Mark::after(None, None), Mark::Stays);
        assert_eq!(finish(Ticket(3), Mark::Stays), let_go(Ticket(3)));
        assert_eq!(finish(Ticket(3), Mark::Goes)[0], Write::ForgetUnfinished);
        assert_eq!(finish(Ticket(3), Mark::Goes)[1..], let_go(Ticket(3)));
    }

    #[test]
    fn only_a_dead_mutator_that_held_the_lock_is_kept() {
        let mut claim = sample(1).claim;
        assert_eq!(
            sweep(claim.ticket, Some(&claim))[0],
            Write::KeepUnfinished(Ticket(1))
        );
        claim.state = State::Waiting;
        assert_eq!(
            sweep(claim.ticket, Some(&claim))[0],
            Write::RemoveRecord(Ticket(1))
        );
        claim.state = State::Granted;
        claim.mode = Mode::Shared;
        assert_eq!(
            sweep(claim.ticket, Some(&claim))[0],
            Write::RemoveRecord(Ticket(1))
        );
        assert_eq!(sweep(claim.ticket, None)[0], Write::RemoveRecord(Ticket(1)));
    }
}
