//! The rule that says who holds the lock and who waits: a pure function of the records, without I/O and without a clock.
//!
//! The rule, in full (`docs/protocol.md` numbers each sentence and names the test that holds it):
//!
//! 1. [`Mode::Exclusive`] conflicts with everything, [`Mode::Shared`] with `Exclusive`. The records of my ancestors and of
//!    my own session never conflict with my request; those of my siblings do.
//! 2. A **stranger** (no living, granted ancestor) waits for a conflicting record that is granted, or that waits with a
//!    lower ticket. Hence the order is first in, first out.
//! 3. A **covered** request (a living ancestor holds at least the mode asked for) waits for conflicting granted records only,
//!    and not for shared ones outside the descendants of the nearest such ancestor: those were settled when it was granted.
//! 4. An **upgrade** (nested, but not covered) waits for conflicting granted records and for earlier waiting upgrades, not
//!    for waiting strangers: they may be waiting for its own ancestor.
//! 5. Every nested request passes a shared hold whose own tree has a later request for the exclusive hold that still waits:
//!    two trees that upgrade at once, be it below one mutator, would otherwise wait for each other for ever.
//!
//! Kinship goes by [`SessionId`], never by ticket: a session's record has a new ticket after a downgrade, and the session
//! is still its children's parent.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in the queue: a number that the registry hands out once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

impl Ticket {
    /// No registry lives to hand out this many: a higher number is nobody's ticket, and cannot overflow one that counts on.
    const MAX: u64 = u64::MAX / 2;

    /// Reads what `Display` writes, and no other spelling of it, so that each ticket has exactly one file of a kind.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number: u64 = text.parse().ok()?;
        let ticket = Self(number);
        (ticket.is_possible() && ticket.to_string() == text).then_some(ticket)
    }

    /// Whether a registry could ever have handed it out.
    pub(crate) fn is_possible(self) -> bool {
        (1..=Self::MAX).contains(&self.0)
    }
}

/// A session's name in one registry: its first ticket, kept over all its holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a session may do while it holds the lock. Ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Read beside other readers.
    Shared,
    /// Change things, alone but for one's own ancestors and descendants.
    Exclusive,
}

impl Mode {
    /// Whether holds of these two modes exclude each other, kinship aside.
    #[must_use]
    pub fn conflicts(self, other: Self) -> bool {
        self == Self::Exclusive || other == Self::Exclusive
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        })
    }
}

/// Whether a request has been granted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In the queue.
    Waiting,
    /// Holding. What is granted stays granted until its owner lets go or ends.
    Granted,
}

/// What the rule looks at in a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Its place in the queue.
    pub ticket: Ticket,
    /// The session it belongs to. A session that upgrades its own hold has two claims.
    pub session: SessionId,
    /// The sessions in whose environment this one was started, nearest last.
    pub ancestors: Vec<SessionId>,
    /// What it asks for, or holds.
    pub mode: Mode,
    /// Whether it holds it.
    pub state: State,
}

impl Claim {
    fn granted(&self) -> bool {
        self.state == State::Granted
    }

    /// Whether this claim is my own session's, or one of my ancestors'.
    fn is_of_kin(&self, me: &Self) -> bool {
        self.session == me.session || me.ancestors.contains(&self.session)
    }

    /// Whether this claim belongs to `session` or to a session below it.
    fn is_in_tree_of(&self, session: SessionId) -> bool {
        self.session == session || self.ancestors.contains(&session)
    }
}

/// The rule's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing stands in the way.
    Granted,
    /// Wait until the lock of this record, the nearest of all that stand in the way, is freed; then ask again.
    Wait(Ticket),
}

/// How a request stands towards the sessions that it is nested in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kinship {
    Stranger,
    /// Covered by the holds of these sessions.
    Covered(Vec<SessionId>),
    Upgrade,
}

impl Kinship {
    fn of(me: &Claim, claims: &[Claim]) -> Self {
        let (mut nested, mut cover) = (false, Vec::new());
        for claim in claims
            .iter()
            .filter(|c| c.granted() && c.ticket != me.ticket && c.is_of_kin(me))
        {
            nested = true;
            if claim.mode >= me.mode {
                cover.push(claim.session);
            }
        }
        match (nested, cover.is_empty()) {
            (false, _) => Self::Stranger,
            (true, false) => Self::Covered(cover),
            (true, true) => Self::Upgrade,
        }
    }
}

/// Decides whether `me`, which need not be among `claims` and is ignored there, may hold what it asks for now.
///
/// `claims` are all living records, in any order.
#[must_use]
pub fn decide(claims: &[Claim], me: &Claim) -> Decision {
    let kinship = Kinship::of(me, claims);
    let nearest = claims
        .iter()
        .filter(|other| blocks(other, me, &kinship, claims))
        .max_by_key(|c| c.ticket);
    nearest.map_or(Decision::Granted, |c| Decision::Wait(c.ticket))
}

/// Whether the answer for `me` can depend on kin: it was started under a session, or asks to upgrade its own.
///
/// If not, `me` is a stranger whatever the records say, each record blocks it or not by itself, and [`blocks_stranger`],
/// tried from the nearest record outward, gives the same answer as [`decide`] without reading the rest.
#[must_use]
pub fn may_have_kin(me: &Claim) -> bool {
    !me.ancestors.is_empty() || me.session.0 != me.ticket.0
}

/// Whether `other` stands in the way of `me`, a stranger. See [`may_have_kin`].
#[must_use]
pub fn blocks_stranger(other: &Claim, me: &Claim) -> bool {
    blocks(other, me, &Kinship::Stranger, &[])
}

/// All the claims that stand in the way of `me`, nearest first: who is ahead of a waiter, for people to read.
#[must_use]
pub fn blockers<'a>(claims: &'a [Claim], me: &Claim) -> Vec<&'a Claim> {
    let kinship = Kinship::of(me, claims);
    let mut ahead: Vec<_> = claims
        .iter()
        .filter(|other| blocks(other, me, &kinship, claims))
        .collect();
    ahead.sort_by_key(|c| Reverse(c.ticket));
    ahead
}

fn blocks(other: &Claim, me: &Claim, kinship: &Kinship, claims: &[Claim]) -> bool {
    if other.ticket == me.ticket || !other.mode.conflicts(me.mode) || other.is_of_kin(me) {
        return false;
    }
    if other.granted() {
        let shared = other.mode == Mode::Shared;
        let settled = match kinship {
            Kinship::Stranger => return true,
            // Who does not descend from all that cover me does not descend from the nearest.
            Kinship::Covered(by) => by.iter().any(|s| !other.ancestors.contains(s)),
            Kinship::Upgrade => false,
        };
        !shared || !settled && !lets_nested_pass(other, me, claims)
    } else {
        other.ticket < me.ticket
            && match kinship {
                Kinship::Stranger => true,
                Kinship::Covered(_) => false,
                Kinship::Upgrade => Kinship::of(other, claims) == Kinship::Upgrade,
            }
    }
}

/// Whether the tree of a shared hold has itself asked for the exclusive one, later than `me`, and so gave up its snapshot.
fn lets_nested_pass(hold: &Claim, me: &Claim, claims: &[Claim]) -> bool {
    claims.iter().any(|c| {
        !c.granted() && c.mode == Mode::Exclusive && c.ticket > me.ticket && c.is_in_tree_of(hold.session)
    })
}

#[cfg(test)]
mod tests;
