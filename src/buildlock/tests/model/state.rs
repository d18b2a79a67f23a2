//! A state of the search: the folder, the processes, and what the invariants need to remember.

use std::sync::Arc;

use buildlock::Mode;
use buildlock::queue::{Claim, SessionId, Ticket};
use buildlock::scan::Ahead;

use crate::cast::{Cast, Op};
use crate::files::{Call, Files};
use crate::look::Seen;
use crate::numbers::Numbers;

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub files: Files,
    pub processes: Vec<Process>,
    /// How many more may be killed, and how many more may give up waiting.
    pub kills_left: u8,
    pub give_ups_left: u8,
    /// The tickets that were ever taken, and those of them that were taken to ask for the exclusive hold.
    pub issued: Numbers,
    pub issued_exclusive: Numbers,
    /// The claims of mutators that were killed, as long as none that was told of it has come to a clean end.
    pub unfinished: Numbers,
    /// What a transition did that it must not do.
    pub wrong: Option<Wrong>,
}

/// What no transition may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// Grants a stranger past a conflicting request that came before.
    PassedAnEarlierRequest,
    /// Grants an exclusive hold beside a shared one that has not let it pass.
    PassedAHold,
    /// Hands out a ticket a second time.
    ReusedATicket,
    /// Cannot lock the file that it made, because somebody probes it.
    FoundANewLockTaken,
    /// Decides to wait for a lock, woken by its being free: it would look again and again.
    WaitsForTheDead,
    /// Refuses at once what nothing stands in the way of.
    RefusedWithoutReason,
}

/// A process of the cast.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// The next operation of its script.
    pub at: usize,
    pub doing: Doing,
    /// What its environment names, once it was started.
    pub ancestors: Arc<[SessionId]>,
    pub session: Option<SessionId>,
    /// What it believes it holds: from the moment that it is told so until it begins to let go.
    pub holds: Vec<Hold>,
    /// What it asks for.
    pub request: Option<Request>,
    /// The locks that the kernel keeps for it, and those of them that a child inherited.
    pub locks: Numbers,
    pub lent: Numbers,
    /// The members whose shared holds let its exclusive one pass.
    pub passed: Numbers,
    /// Whether it was an upgrade, or nested in one: all that `rule_model.py` remembers of them. Kept for whole transitions.
    pub upgraded: bool,
    /// The mark that it was told of when it was granted, and all the dead mutators for which that one stood.
    pub told: Option<Ticket>,
    pub vouches_for: Numbers,
}

/// A hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hold {
    pub ticket: Ticket,
    pub mode: Mode,
}

/// A request that was not granted yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub claim: Arc<Claim>,
    pub ahead: Ahead,
    /// The lock that it is blocked on; nothing before it was decided for the first time.
    pub on: Option<Ticket>,
}

/// What a process is in the middle of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    /// Not started yet.
    Nothing,
    /// Its script's next operation is to come.
    Script,
    /// Reads the registry, under the gate.
    Looking(Looking),
    /// Writes, the next call last.
    Writing { calls: Vec<Call>, then: Then },
    /// Blocked on the lock of another.
    Waiting,
    /// Woken by the tick while it waits: looks at the registry without the gate, and has seen this so far.
    Glancing(Vec<Seen>),
    /// Saw that its wait may be over: will look again, under the gate.
    Alarmed,
    /// Killed, while a child lives on that inherited its locks.
    Orphaned,
    /// Ended or killed.
    Over,
}

/// A look at the registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Looking {
    pub seen: Vec<Seen>,
    /// As the registry was when the gate was entered: whether somebody of its kin held, and whose shared holds it may pass.
    pub nested: bool,
    pub may_pass: Numbers,
    /// Whether the lock that it was blocked on was free.
    pub freed: bool,
}

/// What comes after some writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    /// It waits.
    Wait,
    /// It holds what it asked for; the look that found so.
    Hold { nested: bool, may_pass: Numbers },
    /// The next operation.
    Continue,
}

impl Process {
    pub(crate) fn new(is_root: bool) -> Self {
        Self {
            at: 0,
            doing: if is_root { Doing::Script } else { Doing::Nothing },
            ancestors: Arc::new([]),
            session: None,
            holds: Vec::new(),
            request: None,
            locks: Numbers::default(),
            lent: Numbers::default(),
            passed: Numbers::default(),
            upgraded: false,
            told: None,
            vouches_for: Numbers::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.doing == Doing::Over
    }

    /// Whether it can still do something of its own accord: it was started, and neither ended nor killed.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.doing, Doing::Nothing | Doing::Over | Doing::Orphaned)
    }

    /// Whether it has the lock of a claim for a moment, because it looks without the gate whether that one is alive.
    pub(crate) fn probes(&self, ticket: Ticket) -> bool {
        matches!(&self.doing, Doing::Glancing(seen) if seen.last() == Some(&Seen::Probing(ticket)))
    }

    pub(crate) fn mode(&self) -> Option<Mode> {
        self.holds.iter().map(|h| h.mode).max()
    }

    pub(crate) fn holds(&self, mode: Mode) -> bool {
        self.holds.iter().any(|h| h.mode == mode)
    }

    /// The claim with which it stands in the queue.
    pub(crate) fn waits(&self) -> Option<&Claim> {
        let request = self.request.as_ref().filter(|r| r.on.is_some())?;
        Some(&request.claim)
    }

    /// Ends, and leaves nothing that would make two states of one.
    pub(crate) fn end(&mut self) {
        *self = Self {
            doing: Doing::Over,
            ..Self::new(true)
        };
    }
}

impl State {
    pub(crate) fn new(cast: &Cast, kills: u8, give_ups: u8) -> Self {
        Self {
            files: Files::new(),
            processes: cast
                .members
                .iter()
                .map(|m| Process::new(m.parent.is_none()))
                .collect(),
            kills_left: kills,
            give_ups_left: give_ups,
            issued: Numbers::default(),
            issued_exclusive: Numbers::default(),
            unfinished: Numbers::default(),
            wrong: None,
        }
    }

    /// Whether a member has ended, or will never be started.
    pub(crate) fn has_ended(&self, cast: &Cast, member: usize) -> bool {
        let process = &self.processes[member];
        let never_starts = || {
            process.doing == Doing::Nothing
                && cast.members[member]
                    .parent
                    .is_some_and(|p| self.has_ended(cast, p))
        };
        process.is_over() || never_starts()
    }

    pub(crate) fn all_have_ended(&self, cast: &Cast) -> bool {
        (0..self.processes.len()).all(|m| self.has_ended(cast, m))
    }

    /// Whether a member's parent may start it now.
    pub(crate) fn may_be_started(&self, cast: &Cast, member: usize) -> bool {
        cast.members[member].parent.is_some_and(|parent| {
            let process = &self.processes[parent];
            let so_far = &cast.members[parent].script[..process.at];
            process.is_alive() && !process.holds.is_empty() && so_far.contains(&Op::Admit)
        })
    }
}
