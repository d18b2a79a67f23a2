//! The ledger: who may hold how many tokens. Pure functions of the living sessions' leases.
//!
//! The pool's free tokens are nowhere stored: they are the capacity less what the living hold, so the tokens of a killed
//! session are back the moment its lock is. The rules:
//!
//! 1. **Shares.** Each session that wants a token is entitled to one. The others go, one after the other, to the session
//!    that is furthest below its weight's part of the pool and still wants more (Sainte-Laguë's method: no capacity or
//!    demand that grows takes anything from a session, and nothing that somebody wants is left over).
//! 2. **First tokens** are leased in the order of the tickets, before any further one.
//! 3. A session leases **up to its share**, if so many are free.
//! 4. A session above its share **gives back**, as its jobs end, as many as others lack to reach theirs. Never the last one:
//!    it belongs to the job that is its child itself.

use crate::queue::Ticket;
use crate::record::Lease;

/// A living session's entry in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its ticket in the pool.
    pub ticket: Ticket,
    /// What it holds and wants.
    pub lease: Lease,
}

impl Entry {
    /// The tokens that it could use now, within its cap.
    fn demand(&self) -> u32 {
        self.lease.wanted.min(self.lease.cap)
    }

    fn waits_for_its_first(&self) -> bool {
        self.lease.held == 0 && self.demand() > 0
    }
}

/// The tokens of a pool that nobody holds.
#[must_use]
pub fn free(capacity: u32, entries: &[Entry]) -> u32 {
    entries
        .iter()
        .fold(capacity, |free, entry| free.saturating_sub(entry.lease.held))
}

/// The capacity in force: that of the living session that joined first, or `own` where nobody is alive.
#[must_use]
pub fn capacity_in_force(entries: &[Entry], own: u32) -> u32 {
    entries
        .iter()
        .min_by_key(|e| e.ticket)
        .map_or(own, |e| e.lease.capacity)
        .max(1)
}

/// The fair share of each session, in the order of `entries`, which must be that of the tickets.
#[must_use]
pub fn fair_shares(capacity: u32, entries: &[Entry]) -> Vec<u32> {
    let mut shares = vec![0; entries.len()];
    let mut left = capacity;
    // Who holds a token keeps one, whatever came before it; then those that wait for theirs, in order.
    let holders = (0..entries.len()).filter(|&i| entries[i].lease.held > 0);
    let waiters = (0..entries.len()).filter(|&i| entries[i].waits_for_its_first());
    for i in holders.chain(waiters).take(capacity as usize) {
        shares[i] = 1;
        left -= 1;
    }
    while left > 0 {
        let hungry = (0..entries.len()).filter(|&i| shares[i] > 0 && shares[i] < entries[i].demand());
        // The least (2 * share + 1) / weight, compared without dividing; the lowest ticket among equals.
        let next = hungry.min_by(|&a, &b| {
            let height = |i: usize| 2 * u64::from(shares[i]) + 1;
            let weight = |i: usize| u64::from(entries[i].lease.weight.max(1));
            (height(a) * weight(b)).cmp(&(height(b) * weight(a)))
        });
        let Some(next) = next else { break };
        shares[next] += 1;
        left -= 1;
    }
    shares
}

/// How many tokens the session with ticket `me` may lease now, beside those that it holds.
#[must_use]
pub fn may_lease(capacity: u32, entries: &[Entry], me: Ticket) -> u32 {
    let Some(at) = entries.iter().position(|e| e.ticket == me) else {
        return 0;
    };
    let free = free(capacity, entries);
    let waiting = |e: &&Entry| e.waits_for_its_first() && e.ticket != me;
    if entries[at].lease.held == 0 {
        let ahead = entries.iter().filter(waiting).filter(|e| e.ticket < me).count();
        return u32::from(entries[at].demand() > 0 && ahead < free as usize);
    }
    let kept_for_firsts = u32::try_from(entries.iter().filter(waiting).count()).unwrap_or(u32::MAX);
    let below = fair_shares(capacity, entries)[at].saturating_sub(entries[at].lease.held);
    below.min(free.saturating_sub(kept_for_firsts))
}

/// How many tokens the session with ticket `me` should give back as soon as its jobs have returned them.
#[must_use]
pub fn should_return(capacity: u32, entries: &[Entry], me: Ticket) -> u32 {
    let shares = fair_shares(capacity, entries);
    let (mut above, mut lacking) = (0, 0u32);
    for (entry, share) in entries.iter().zip(shares) {
        if entry.ticket == me {
            above = entry.lease.held.saturating_sub(share.max(1));
        } else {
            lacking = lacking.saturating_add(share.saturating_sub(entry.lease.held));
        }
    }
    above.min(lacking.saturating_sub(free(capacity, entries)))
}

#[cfg(test)]
mod tests;
