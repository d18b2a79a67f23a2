//! Scanning: what is read of the registry, and in which order, to decide for a claim.
//!
//! Nothing is read here but through a [`View`]. The registry's own answers from a folder; the model in `tests/model` answers
//! the same calls from memory, one step at a time, with everything that other processes may do in between.
//!
//! What others do in between is only to let go and to die, because everything else needs the gate, which the one who scans
//! holds. So a session that was seen may be gone by the end of a scan, but none can have come, and none was granted. Only
//! [`may_be_over`] looks without the gate.

use std::ops::{Range, RangeInclusive};

use crate::gate::Gate;
use crate::protocol::{self, Write};
use crate::queue::{Claim, Decision, Mode, SessionId, State, Ticket, blocks_stranger, decide, may_have_kin};
use crate::record::Record;

/// More tickets than this are looked for in a listing of the folder, instead of one by one.
const PROBES_MAX: usize = 64;

/// One of so many readers lists the folder although it need not: what killed readers left must not pile up where no mutator
/// comes.
const READERS_PER_LISTING: u64 = 64;

/// The others look at those that came just before, for the same reason: at so many, or as far as this many in a row are gone.
const NEIGHBOURS: usize = 4;
const GONE_IN_A_ROW: usize = 2;

/// What the kernel says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// Its lock is held.
    Alive,
    /// Its lock file is there, but free.
    Dead,
    /// Its lock file is not there.
    Gone,
}

/// The registry, as seen by the one who holds its gate.
pub trait View {
    /// What can go wrong.
    type Error;
    /// A lock file, open.
    type Lock;

    /// The registered tickets, in ascending order. What is left of those that are not registered any more is removed.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    fn registered(&mut self) -> Result<Vec<Ticket>, Self::Error>;

    /// Opens a session's lock file, without asking for its lock; nothing where it is not registered.
    ///
    /// # Errors
    /// Where it is there but cannot be opened.
    fn open_lock(&mut self, ticket: Ticket) -> Result<Option<Self::Lock>, Self::Error>;

    /// Asks the kernel for the session whose lock file this is.
    ///
    /// # Errors
    /// Where its lock cannot be probed.
    fn liveness(&mut self, ticket: Ticket, lock: &Self::Lock) -> Result<Liveness, Self::Error>;

    /// Asks for a session without a record that makes sense. Who does not hold the gate must not ask the kernel: the lock
    /// file may have been made a moment ago, and to probe its lock would keep its session from taking it.
    ///
    /// # Errors
    /// Where its lock cannot be looked at.
    fn liveness_without_record(&mut self, ticket: Ticket) -> Result<Liveness, Self::Error>;

    /// Reads one session's record; nothing where there is none that makes sense.
    ///
    /// # Errors
    /// Where the file is there but cannot be read.
    fn record(&mut self, ticket: Ticket) -> Result<Option<Record>, Self::Error>;

    /// Removes the remains of a dead session.
    ///
    /// # Errors
    /// Where they cannot be removed.
    fn sweep(&mut self, writes: Vec<Write>) -> Result<(), Self::Error>;
}

/// A living session's place in the registry.
#[derive(Clone, Debug)]
pub struct Living {
    /// What the rule looks at.
    pub claim: Claim,
    /// Nothing where the record cannot be read: then the claim is the most cautious one, a granted exclusive hold.
    pub record: Option<Record>,
}

/// Who may stand in a waiting stranger's way, in ascending order: what it remembers from one look to the next, so that it
/// need not read the whole registry again.
pub type Ahead = Vec<Ticket>;

/// All living sessions, in order of their tickets. The remains of dead ones are removed.
///
/// # Errors
/// As the view's.
pub fn living<V: View>(view: &mut V) -> Result<Vec<Living>, V::Error> {
    let registered = view.registered()?;
    registered
        .into_iter()
        .filter_map(|ticket| probe(view, ticket).transpose())
        .collect()
}

/// Decides for a claim that is about to be registered. Also returns who is ahead of it, for [`again`].
///
/// # Errors
/// As the view's.
pub fn first<V: View>(view: &mut V, gate: &Gate, me: &Claim) -> Result<(Decision, Ahead), V::Error> {
    if may_have_kin(me) {
        return Ok((among_kin(view, me)?, Ahead::new()));
    }
    let mut ahead = if me.mode == Mode::Exclusive || me.ticket.0.is_multiple_of(READERS_PER_LISTING) {
        view.registered()?
    } else {
        sweep_just_before(view, gate.exclusive.0 + 1..me.ticket.0)?;
        // Of those that have come since the last mutator none is in a reader's way, however many they are.
        registered_in(view, gate.floor.0..=gate.exclusive.0)?
    };
    let decision = nearest_blocker(view, gate, me, &mut ahead)?;
    Ok((decision, ahead))
}

/// Decides for a claim that waits. Sessions that came after it cannot stand in its way unless they were granted, so those
/// that still wait behind it are not even looked at.
///
/// # Errors
/// As the view's.
pub fn again<V: View>(
    view: &mut V,
    gate: &Gate,
    me: &Claim,
    ahead: &mut Ahead,
) -> Result<Decision, V::Error> {
    if may_have_kin(me) {
        return among_kin(view, me);
    }
    let mut behind = registered_in(view, me.ticket.0 + 1..=gate.granted.0)?;
    match nearest_blocker(view, gate, me, &mut behind)? {
        Decision::Granted => nearest_blocker(view, gate, me, ahead),
        wait @ Decision::Wait(_) => Ok(wait),
    }
}

/// Whether the wait for `on`, whose lock was not freed, may be over all the same, or have to go on for somebody else. For a
/// look without the gate, at the tick: those for whom nothing changed must not crowd the gate.
///
/// Others may come, go and be granted meanwhile. So this is never more than a reason to enter the gate and to look
/// [`again`]; and a change that it came too early for is there at the next tick.
///
/// # Errors
/// As the view's.
pub fn may_be_over<V: View>(view: &mut V, me: &Claim, on: Ticket) -> Result<bool, V::Error> {
    if may_have_kin(me) {
        return Ok(among_kin(view, me)? != Decision::Wait(on));
    }
    // What stands in a stranger's way does so until it is gone; or until its record can be read, if it could not.
    let blocker = probe(view, on)?;
    Ok(blocker.is_none_or(|living| !blocks_stranger(&living.claim, me)))
}

/// Removes what the last of these left if they were killed, as an editor kills its checks.
fn sweep_just_before<V: View>(view: &mut V, readers: Range<u64>) -> Result<(), V::Error> {
    let mut gone = 0;
    for ticket in readers.rev().take(NEIGHBOURS).map(Ticket) {
        gone = if probe(view, ticket)?.is_some() {
            0
        } else {
            gone + 1
        };
        if gone == GONE_IN_A_ROW {
            break;
        }
    }
    Ok(())
}

/// The tickets of a range, or those of them that are registered.
fn registered_in<V: View>(view: &mut V, range: RangeInclusive<u64>) -> Result<Vec<Ticket>, V::Error> {
    if range.clone().nth(PROBES_MAX).is_none() {
        return Ok(range.map(Ticket).collect());
    }
    // While one waits, another's nested sessions may come and go by the thousand: then those that are left are few.
    let mut registered = view.registered()?;
    registered.retain(|t| range.contains(&t.0));
    Ok(registered)
}

fn among_kin<V: View>(view: &mut V, me: &Claim) -> Result<Decision, V::Error> {
    let claims: Vec<_> = living(view)?.into_iter().map(|l| l.claim).collect();
    Ok(decide(&claims, me))
}

/// The nearest of the sorted `tickets` that blocks a stranger. Those found dead or gone on the way are dropped from it.
fn nearest_blocker<V: View>(
    view: &mut V,
    gate: &Gate,
    me: &Claim,
    tickets: &mut Vec<Ticket>,
) -> Result<Decision, V::Error> {
    tickets.retain(|&t| gate.may_block(t, me));
    let mut harmless = Vec::new();
    let mut decision = Decision::Granted;
    while let Some(ticket) = tickets.pop() {
        let Some(living) = probe(view, ticket)? else {
            continue;
        };
        harmless.push(ticket);
        if blocks_stranger(&living.claim, me) {
            decision = Decision::Wait(ticket);
            break;
        }
    }
    tickets.extend(harmless.into_iter().rev());
    Ok(decision)
}

/// Looks at one session, and removes it if it is dead.
///
/// # Errors
/// As the view's.
pub fn probe<V: View>(view: &mut V, ticket: Ticket) -> Result<Option<Living>, V::Error> {
    // Who has no lock file will never have one again: most that are looked for are gone.
    let Some(lock) = view.open_lock(ticket)? else {
        return Ok(None);
    };
    // In this order. Letting go needs no gate, and removes the lock file before the record: so who is still registered after
    // no record was found has one that cannot be read. And who has a record has taken its lock.
    let record = view.record(ticket)?;
    let liveness = if record.is_some() {
        view.liveness(ticket, &lock)?
    } else {
        view.liveness_without_record(ticket)?
    };
    drop(lock);
    match liveness {
        Liveness::Gone => Ok(None),
        Liveness::Dead => {
            view.sweep(protocol::sweep(ticket, record.as_ref().map(|r| &r.claim)))?;
            Ok(None)
        }
        Liveness::Alive => {
            let claim = record
                .as_ref()
                .map_or_else(|| most_cautious_claim(ticket), |r| r.claim.clone());
            Ok(Some(Living { claim, record }))
        }
    }
}

/// What a session whose record cannot be read is taken for.
fn most_cautious_claim(ticket: Ticket) -> Claim {
    Claim {
        ticket,
        session: SessionId(ticket.0),
        ancestors: Vec::new(),
        mode: Mode::Exclusive,
        state: State::Granted,
    }
}

#[cfg(test)]
mod tests;
