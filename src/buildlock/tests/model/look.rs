//! Looking at the registry call by call.
//!
//! [`buildlock::scan`] reads through a [`View`]. Here the view pauses the scan whenever it has used up the calls of one step,
//! by an error. The next step runs the scan anew: what was seen already is answered from memory, the next call is made on the
//! files as they are by then.

use std::sync::Arc;

use buildlock::Record;
use buildlock::protocol::Write;
use buildlock::queue::{Claim, Decision, Ticket, decide};
use buildlock::scan::{self, Ahead, Liveness, View};

use crate::faults::{Fault, Protocol};
use crate::files::{Call, Files, record};
use crate::numbers::Numbers;
use crate::rule;

/// How many calls a step may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// One, be it to read or to write.
    OneCall,
    /// One that writes, and any that only read.
    OneWrite,
    /// Any.
    Unbounded,
    /// No more.
    Spent,
}

/// The answer to a call that was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Tickets(Numbers),
    Yes(bool),
    /// This lock is free. Who asked has it, beside others who ask, until the next call.
    Probing(Ticket),
    Record(Option<Arc<Claim>>),
    Done,
}

/// The step's calls are used up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused;

/// The registry as one process sees it.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub files: &'a mut Files,
    pub seen: &'a mut Vec<Seen>,
    pub budget: &'a mut Budget,
    pub fault: Option<Fault>,
    /// How many of the answers in memory were used.
    replayed: usize,
    /// By a fault: what the kernel said before the record was read.
    asked_early: Option<(Ticket, Liveness)>,
}

impl<'a> Look<'a> {
    pub(crate) fn new(
        files: &'a mut Files,
        seen: &'a mut Vec<Seen>,
        budget: &'a mut Budget,
        fault: Option<Fault>,
    ) -> Self {
        Self {
            files,
            seen,
            budget,
            fault,
            replayed: 0,
            asked_early: None,
        }
    }

    pub(crate) fn first(&mut self, me: &Claim) -> Result<(Decision, Ahead), Paused> {
        let gate = self.files.gate;
        match self.fault {
            Some(Fault::Rule(_)) => Ok((self.by_faulty_rule(me)?, Ahead::new())),
            _ => scan::first(self, &gate, me),
        }
    }

    pub(crate) fn again(&mut self, me: &Claim, ahead: &mut Ahead) -> Result<Decision, Paused> {
        let mut gate = self.files.gate;
        match self.fault {
            Some(Fault::Rule(_)) => return self.by_faulty_rule(me),
            Some(Fault::GrantedBehindOverlooked) => gate.granted = me.ticket,
            _ => {}
        }
        scan::again(self, &gate, me, ahead)
    }

    /// Looks without the gate whether a wait may be over.
    pub(crate) fn may_be_over(self, me: &Claim, on: Ticket) -> Result<bool, Paused> {
        let fault = self.fault;
        let mut glance = Glance(self);
        match fault {
            Some(Fault::Rule(_)) => Ok(glance.0.by_faulty_rule(me)? != Decision::Wait(on)),
            Some(Fault::GlanceAtOneOnly) => Ok(scan::probe(&mut glance, on)?.is_none()),
            Some(Fault::GlanceBelieved) => {
                let claims: Vec<_> = scan::living(&mut glance)?.into_iter().map(|l| l.claim).collect();
                Ok(decide(&claims, me) == Decision::Granted)
            }
            _ => scan::may_be_over(&mut glance, me, on),
        }
    }

    fn by_faulty_rule(&mut self, me: &Claim) -> Result<Decision, Paused> {
        let Some(Fault::Rule(fault)) = self.fault else {
            unreachable!("only asked for a faulty rule")
        };
        let claims: Vec<_> = scan::living(self)?.into_iter().map(|l| l.claim).collect();
        Ok(rule::decide(&claims, me, Some(fault)))
    }

    fn read(&mut self, call: impl FnOnce(&mut Files) -> Seen) -> Result<Seen, Paused> {
        self.call(*self.budget == Budget::OneCall, call)
    }

    fn call(&mut self, costs: bool, call: impl FnOnce(&mut Files) -> Seen) -> Result<Seen, Paused> {
        if self.replayed == self.seen.len() {
            if *self.budget == Budget::Spent {
                return Err(Paused);
            }
            if costs {
                *self.budget = Budget::Spent;
            }
            let seen = call(self.files);
            self.seen.push(seen);
        }
        self.replayed += 1;
        Ok(self.seen[self.replayed - 1].clone())
    }

    /// Lists the tickets, once `tidy` was done.
    fn list(&mut self, tidy: impl FnOnce(&mut Files)) -> Result<Vec<Ticket>, Paused> {
        let list = |files: &mut Files| {
            tidy(files);
            Seen::Tickets(files.names)
        };
        match self.read(list)? {
            Seen::Tickets(tickets) => Ok(tickets.tickets().collect()),
            other => unreachable!("a replay answers {other:?} to a listing"),
        }
    }

    fn yes(&mut self, call: impl FnOnce(&Files) -> bool) -> Result<bool, Paused> {
        match self.read(|files| Seen::Yes(call(files)))? {
            Seen::Yes(yes) => Ok(yes),
            other => unreachable!("a replay answers {other:?} to a question for yes or no"),
        }
    }
}

impl View for Look<'_> {
    type Error = Paused;
    type Lock = ();

    fn registered(&mut self) -> Result<Vec<Ticket>, Paused> {
        self.list(Files::remove_leftovers)
    }

    fn open_lock(&mut self, ticket: Ticket) -> Result<Option<()>, Paused> {
        Ok(self.yes(|files| files.names.has(ticket))?.then_some(()))
    }

    fn liveness(&mut self, ticket: Ticket, (): &()) -> Result<Liveness, Paused> {
        if let Some((asked, liveness)) = self.asked_early.take()
            && asked == ticket
        {
            return Ok(liveness);
        }
        let probe = |files: &mut Files| match files.locked.has(ticket) {
            true => Seen::Yes(true),
            false => Seen::Probing(ticket),
        };
        if self.read(probe)? == Seen::Yes(true) || self.fault == Some(Fault::DeadRecordsKept) {
            return Ok(Liveness::Alive);
        }
        if self.fault == Some(Fault::FreedNameNotDoubted) || self.yes(|files| files.names.has(ticket))? {
            Ok(Liveness::Dead)
        } else {
            Ok(Liveness::Gone)
        }
    }

    fn liveness_without_record(&mut self, ticket: Ticket) -> Result<Liveness, Paused> {
        if let Some((asked, liveness)) = self.asked_early.take()
            && asked == ticket
        {
            return Ok(liveness);
        }
        match self.open_lock(ticket)? {
            Some(()) => self.liveness(ticket, &()),
            None => Ok(Liveness::Gone),
        }
    }

    fn record(&mut self, ticket: Ticket) -> Result<Option<Record>, Paused> {
        if self.fault == Some(Fault::RecordReadLast) {
            self.asked_early = Some((ticket, self.liveness(ticket, &())?));
        }
        match self.read(|files| Seen::Record(files.records.get(&ticket).cloned()))? {
            Seen::Record(Some(claim)) => Ok(Some(record((*claim).clone()))),
            Seen::Record(None) => Ok(None),
            other => unreachable!("a replay answers {other:?} to the reading of a record"),
        }
    }

    fn sweep(&mut self, writes: Vec<Write>) -> Result<(), Paused> {
        for call in Call::sequence(Protocol(self.fault).sweep(writes)) {
            let bounded = *self.budget != Budget::Unbounded;
            self.call(bounded, |files| {
                files.make(&call);
                Seen::Done
            })?;
        }
        Ok(())
    }
}

/// The registry as one sees it who does not hold the gate, and removes nothing.
struct Glance<'a>(Look<'a>);

impl View for Glance<'_> {
    type Error = Paused;
    type Lock = ();

    fn registered(&mut self) -> Result<Vec<Ticket>, Paused> {
        self.0.list(|_| {})
    }

    fn open_lock(&mut self, ticket: Ticket) -> Result<Option<()>, Paused> {
        self.0.open_lock(ticket)
    }

    fn liveness(&mut self, ticket: Ticket, (): &()) -> Result<Liveness, Paused> {
        self.0.liveness(ticket, &())
    }

    fn liveness_without_record(&mut self, ticket: Ticket) -> Result<Liveness, Paused> {
        if self.0.fault == Some(Fault::GlanceProbesWithoutRecord) {
            return self.0.liveness(ticket, &());
        }
        let registered = self.0.yes(|files| files.names.has(ticket))?;
        Ok(if registered {
            Liveness::Alive
        } else {
            Liveness::Gone
        })
    }

    fn record(&mut self, ticket: Ticket) -> Result<Option<Record>, Paused> {
        self.0.record(ticket)
    }

    fn sweep(&mut self, _writes: Vec<Write>) -> Result<(), Paused> {
        Ok(())
    }
}
