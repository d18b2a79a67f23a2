//! Faults that are seeded into the model, each of which a search must find.

use buildlock::Record;
use buildlock::gate::Gate;
use buildlock::protocol::{self, Mark, Write};
use buildlock::queue::Ticket;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// The rule is replaced by a faulty one.
    Rule(RuleFault),
    /// A downgrade lets go of the exclusive claim before it publishes the shared one.
    ReleaseBeforePublish,
    /// A record is believed although its lock is free.
    DeadRecordsKept,
    /// The ticket is written to the gate after the files that it names.
    TicketBurnedLate,
    /// Letting go frees the lock before the session is unregistered.
    UnlockBeforeUnregistering,
    /// Sweeping removes the lock file before the record is kept.
    LockSweptBeforeRecord,
    /// A dead mutator's record is removed like any other.
    UnfinishedNotKept,
    /// A waiter does not look at those behind it that were granted meanwhile.
    GrantedBehindOverlooked,
    /// Every grant raises the floor, not only an exclusive one to a stranger.
    FloorRaisedByEveryGrant,
    /// The gate is not told of those that ask for exclusivity.
    MutatorsNotMarked,
    /// The gate is left between deciding and registering.
    GateLeftBeforeRegistering,
    /// Nobody looks again without a lock having been freed.
    NoTickAmongKin,
    /// At the tick, a waiter looks only whether the one that it waits for is gone, also among kin.
    GlanceAtOneOnly,
    /// Who saw without the gate that nothing stands in its way takes the gate only to be granted.
    GlanceBelieved,
    /// Every clean end removes the mark, also of those that died since it was granted.
    EveryMarkRemoved,
    /// Who looks asks for a lock before it reads the record.
    RecordReadLast,
    /// Who looks without the gate asks for the lock of a claim that has no record.
    GlanceProbesWithoutRecord,
    /// A lock that is free is taken for a dead session's although its name is gone.
    FreedNameNotDoubted,
}

/// What is wrong with the rule. The first six are those of `rule_model.py`, under its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RuleFault {
    /// A session waits for its own ancestors.
    Ancestors,
    /// Siblings do not exclude each other.
    Siblings,
    /// An upgrade queues behind waiting strangers.
    Strangers,
    /// Two trees that upgrade at once do not let each other pass.
    Cross,
    /// A covered request waits for holds that were settled when its cover was granted.
    Cover,
    /// Nobody waits for those that wait.
    Fifo,
    /// Two trees below one mutator that upgrade at once do not let each other pass.
    CrossBelowCover,
    /// A covered request waits for holds that were settled when the nearest cover was granted, if another cover is above them.
    OuterCover,
    /// Kinship goes by a record's ticket instead of the session's id.
    KinshipByTicket,
}

impl RuleFault {
    /// The faults that `rule_model.py` knows, by its names.
    pub(crate) const OF_RULE_MODEL: [(&str, Self); 6] = [
        ("ancestors", Self::Ancestors),
        ("siblings", Self::Siblings),
        ("strangers", Self::Strangers),
        ("cross", Self::Cross),
        ("cover", Self::Cover),
        ("fifo", Self::Fifo),
    ];
}

/// The protocol's lists of writes, with at most one fault in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol(pub(crate) Option<Fault>);

impl Protocol {
    pub(crate) fn register(self, gate: Gate, record: Record) -> Vec<Write> {
        let claim = record.claim.clone();
        let mut writes = self.with_floor(protocol::register(gate, record), &claim);
        if self.0 == Some(Fault::MutatorsNotMarked)
            && let Some(Write::Gate(after)) = writes.first_mut()
        {
            after.exclusive = gate.exclusive;
        }
        if self.0 == Some(Fault::TicketBurnedLate) {
            writes.rotate_left(1);
        }
        writes
    }

    pub(crate) fn grant(self, gate: Gate, record: Record) -> Vec<Write> {
        let claim = record.claim.clone();
        self.with_floor(protocol::grant(gate, record, 0), &claim)
    }

    fn with_floor(self, mut writes: Vec<Write>, claim: &buildlock::queue::Claim) -> Vec<Write> {
        if self.0 == Some(Fault::FloorRaisedByEveryGrant)
            && let Some(Write::Gate(gate)) = writes.first_mut()
            && gate.granted == claim.ticket
        {
            gate.floor = claim.ticket;
        }
        writes
    }

    pub(crate) fn let_go(self, ticket: Ticket) -> Vec<Write> {
        self.with_unlocking(protocol::let_go(ticket))
    }

    pub(crate) fn finish(self, ticket: Ticket, mark: Mark) -> Vec<Write> {
        self.with_unlocking(protocol::finish(ticket, mark))
    }

    fn with_unlocking(self, mut writes: Vec<Write>) -> Vec<Write> {
        if self.0 == Some(Fault::UnlockBeforeUnregistering) {
            let last = writes.len() - 3;
            writes.swap(last, last + 1);
        }
        writes
    }

    pub(crate) fn downgrade(self, gate: Gate, shared: Record, exclusive: Ticket, mark: Mark) -> Vec<Write> {
        let mut writes = protocol::downgrade(gate, shared, exclusive, mark);
        if self.0 == Some(Fault::ReleaseBeforePublish) {
            writes.rotate_left(3);
        }
        writes
    }

    /// What becomes of the mark at a clean end.
    pub(crate) fn mark(self, told: Option<Ticket>, standing: Option<Ticket>) -> Mark {
        match self.0 {
            Some(Fault::EveryMarkRemoved) => Mark::Goes,
            _ => Mark::after(told, standing),
        }
    }

    /// Faults in a list that [`buildlock::scan`] made.
    pub(crate) fn sweep(self, mut writes: Vec<Write>) -> Vec<Write> {
        match self.0 {
            Some(Fault::LockSweptBeforeRecord) => writes.reverse(),
            Some(Fault::UnfinishedNotKept) => {
                for write in &mut writes {
                    if let Write::KeepUnfinished(ticket) = *write {
                        *write = Write::RemoveRecord(ticket);
                    }
                }
            }
            _ => {}
        }
        writes
    }
}
