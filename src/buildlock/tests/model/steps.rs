//! What a process does next: the transitions of a session, put together as `session.rs` does, out of the same parts.

use std::sync::Arc;

use buildlock::Mode;
use buildlock::protocol::{Mark, Write};
use buildlock::queue::{Claim, Decision, SessionId, State as ClaimState, Ticket, may_have_kin};

use crate::cast::{Cast, Op};
use crate::faults::{Fault, Protocol};
use crate::files::{Call, record};
use crate::look::{Budget, Look};
use crate::numbers::Numbers;
use crate::state::{Doing, Hold, Looking, Process, Request, State, Then, Wrong};

/// What a step of the search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grain {
    /// Every call of the operating system, also those that only read.
    Call,
    /// Every call that writes. What is read under the gate is read at one moment.
    ///
    /// Once nobody can be killed any more, all writes under the gate are one step: only a crash can come between them,
    /// because nobody looks without the gate.
    Write,
    /// A transition as a whole, as in `rule_model.py`.
    Transition,
}

/// One cast's world: what does not change from state to state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World<'a> {
    pub cast: &'a Cast,
    pub grain: Grain,
    pub fault: Option<Fault>,
}

impl World<'_> {
    /// Whether a member can do something now.
    pub(crate) fn can_step(&self, state: &State, me: usize) -> bool {
        let process = &state.processes[me];
        match &process.doing {
            Doing::Nothing => state.may_be_started(self.cast, me),
            Doing::Script => match self.upcoming(state, me).1 {
                Next::Blocked => false,
                Next::Acquire(..) => state.files.gate_holder.is_none(),
                Next::Downgrade => {
                    let publishes = process.holds.len() == 1;
                    !publishes && process.told.is_none() || state.files.gate_holder.is_none()
                }
                Next::LetGo => process.told.is_none() || state.files.gate_holder.is_none(),
            },
            Doing::Glancing(_) | Doing::Looking(_) | Doing::Writing { .. } | Doing::Orphaned => true,
            Doing::Waiting => state.files.gate_holder.is_none() && self.is_woken(state, me),
            Doing::Alarmed => state.files.gate_holder.is_none(),
            Doing::Over => false,
        }
    }

    /// Does it.
    pub(crate) fn step(&self, state: &mut State, me: usize) {
        let mut budget = self.budget();
        let alarmed = state.processes[me].doing == Doing::Alarmed;
        match &state.processes[me].doing {
            Doing::Nothing => return self.start(state, me),
            Doing::Orphaned => return end_orphan(state, me),
            Doing::Script => self.begin(state, me),
            Doing::Waiting | Doing::Alarmed => self.enter(state, me),
            Doing::Glancing(_) => return self.glance(state, me),
            _ => {}
        }
        if self.grain == Grain::Write && state.kills_left == 0 && state.files.gate_holder == Some(me) {
            budget = Budget::Unbounded;
        }
        if alarmed && self.fault == Some(Fault::GlanceBelieved) {
            self.conclude_look(state, me, Decision::Granted);
        }
        if matches!(state.processes[me].doing, Doing::Looking(_)) {
            self.look(state, me, &mut budget);
        }
        self.write(state, me, &mut budget);
    }

    /// SIGKILL: the kernel frees the locks, but for those that a child inherited. The files stay.
    pub(crate) fn kill(&self, state: &mut State, me: usize) {
        state.kills_left -= 1;
        if state.files.gate_holder == Some(me) {
            state.files.gate_holder = None;
        }
        let process = &mut state.processes[me];
        let (locks, lent) = (process.locks, process.lent);
        if lent.is_empty() {
            process.end();
        } else {
            process.request = None;
            process.locks = lent;
            process.holds.retain(|h| lent.has(h.ticket));
            process.doing = Doing::Orphaned;
        }
        free(state, locks.without(lent));
    }

    /// A timeout, or a cancel: the request is withdrawn, and the process ends.
    pub(crate) fn give_up(&self, state: &mut State, me: usize) {
        let mut budget = self.budget();
        state.give_ups_left -= 1;
        let request = state.processes[me]
            .request
            .take()
            .expect("who gives up has waited");
        let process = &mut state.processes[me];
        process.at = self.cast.members[me].script.len();
        process.doing = Doing::Writing {
            calls: last_first(Protocol(self.fault).let_go(request.claim.ticket)),
            then: Then::Continue,
        };
        self.write(state, me, &mut budget);
    }

    pub(crate) fn budget(&self) -> Budget {
        match self.grain {
            Grain::Call => Budget::OneCall,
            Grain::Write => Budget::OneWrite,
            Grain::Transition => Budget::Unbounded,
        }
    }

    pub(crate) fn can_be_killed(&self, state: &State, me: usize) -> bool {
        let process = &state.processes[me];
        // Killing a process that has nothing is as if it had never been.
        let has_something = !process.locks.is_empty() || state.files.gate_holder == Some(me);
        state.kills_left > 0 && process.is_alive() && has_something
    }

    pub(crate) fn can_give_up(&self, state: &State, me: usize) -> bool {
        state.give_ups_left > 0 && state.processes[me].doing == Doing::Waiting
    }

    fn start(&self, state: &mut State, me: usize) {
        let parent = self.cast.members[me].parent.expect("only a child is started");
        let mut ancestors = state.processes[parent].ancestors.to_vec();
        ancestors.extend(state.processes[parent].session);
        state.processes[me].ancestors = ancestors.into();
        state.processes[me].doing = Doing::Script;
        self.settle(state, me);
    }

    /// The next operation that is the registry's business or must wait, and where in the script it stands.
    fn upcoming(&self, state: &State, me: usize) -> (usize, Next) {
        let process = &state.processes[me];
        let member = &self.cast.members[me];
        let mut at = process.at;
        let next = loop {
            match member.script.get(at) {
                None => break Next::LetGo,
                // Who holds exclusively already has nothing to ask for, and who does not has nothing to turn into less.
                Some(Op::Acquire(mode) | Op::TryAcquire(mode)) if !process.holds(Mode::Exclusive) => {
                    break Next::Acquire(*mode);
                }
                Some(Op::Downgrade) if process.holds(Mode::Exclusive) => break Next::Downgrade,
                Some(Op::Await) if !member.children.iter().all(|&c| state.has_ended(self.cast, c)) => {
                    break Next::Blocked;
                }
                Some(_) => at += 1,
            }
        };
        (at, next)
    }

    /// Passes over what is none of the registry's business, and ends with the script.
    fn settle(&self, state: &mut State, me: usize) {
        let (at, next) = self.upcoming(state, me);
        let process = &mut state.processes[me];
        if self.cast.members[me].script[process.at..at].contains(&Op::Lend) {
            process.lent = process.locks;
        }
        process.at = at;
        if matches!(next, Next::LetGo) && process.holds.is_empty() {
            process.end();
        }
    }

    /// Begins the next operation.
    fn begin(&self, state: &mut State, me: usize) {
        self.settle(state, me);
        match self.upcoming(state, me).1 {
            Next::Blocked => unreachable!("a process that must wait for its children takes no step"),
            Next::Acquire(mode) => {
                let process = &mut state.processes[me];
                let ticket = state.files.gate.next;
                let session = process.session.unwrap_or(SessionId(ticket.0));
                let mut ancestors = process.ancestors.to_vec();
                if self.grain == Grain::Transition {
                    // As in `rule_model.py`, where a record names only those that are there.
                    ancestors.retain(|a| state.files.living().any(|c| c.session == *a));
                }
                let claim = Claim {
                    ticket,
                    session,
                    ancestors,
                    mode,
                    state: ClaimState::Waiting,
                };
                process.request = Some(Request {
                    claim: Arc::new(claim),
                    ahead: Vec::new(),
                    on: None,
                });
                self.enter(state, me);
            }
            Next::Downgrade => self.downgrade(state, me),
            Next::LetGo => self.let_go(state, me),
        }
    }

    fn let_go(&self, state: &mut State, me: usize) {
        let process = &mut state.processes[me];
        process.at = self.cast.members[me].script.len();
        let hold = process.holds.pop().expect("a process without holds is over");
        let writes = match hold.mode {
            Mode::Exclusive => self.finish(state, me, hold),
            Mode::Shared => Protocol(self.fault).let_go(hold.ticket),
        };
        state.processes[me].doing = Doing::Writing {
            calls: last_first(writes),
            then: Then::Continue,
        };
    }

    /// A clean end of an exclusive hold. Takes the gate where a mark may have to go.
    fn finish(&self, state: &mut State, me: usize, hold: Hold) -> Vec<Write> {
        if state.processes[me].told.is_some() {
            state.files.gate_holder = Some(me);
        }
        state.processes[me].passed = Numbers::default();
        Protocol(self.fault).finish(hold.ticket, self.mark(state, me))
    }

    fn mark(&self, state: &mut State, me: usize) -> Mark {
        let standing = state.files.unfinished.as_ref().map(|claim| claim.ticket);
        let told = state.processes[me].told.take();
        Protocol(self.fault).mark(told, standing)
    }

    fn downgrade(&self, state: &mut State, me: usize) {
        let process = &mut state.processes[me];
        process.at += 1;
        let hold = process.holds.pop().expect("who downgrades holds");
        let writes = if process.holds.is_empty() {
            process.passed = Numbers::default();
            let shared = Claim {
                ticket: state.files.gate.next,
                mode: Mode::Shared,
                ..(*state.files.records[&hold.ticket]).clone()
            };
            process.holds.push(Hold {
                ticket: shared.ticket,
                mode: Mode::Shared,
            });
            state.files.gate_holder = Some(me);
            let mark = self.mark(state, me);
            Protocol(self.fault).downgrade(state.files.gate, record(shared), hold.ticket, mark)
        } else {
            // An upgrade of its own shared hold is taken back: that hold still stands.
            self.finish(state, me, hold)
        };
        state.processes[me].doing = Doing::Writing {
            calls: last_first(writes),
            then: Then::Continue,
        };
    }

    /// Takes the gate to look at the registry.
    fn enter(&self, state: &mut State, me: usize) {
        let request = state.processes[me]
            .request
            .as_ref()
            .expect("who looks asks for something");
        let is_kin = |c: &&Arc<Claim>| {
            c.session == request.claim.session || request.claim.ancestors.contains(&c.session)
        };
        let granted = |c: &&Arc<Claim>| c.state == ClaimState::Granted;
        let nested = state.files.living().filter(is_kin).any(|c| granted(&c));
        let may_pass = if nested && request.claim.mode == Mode::Exclusive {
            self.may_pass(state, me, &request.claim)
        } else {
            Numbers::default()
        };
        let freed = request.on.is_some_and(|on| !state.files.is_alive(on));
        state.files.gate_holder = Some(me);
        state.processes[me].doing = Doing::Looking(Looking {
            seen: Vec::new(),
            nested,
            may_pass,
            freed,
        });
    }

    /// The members whose shared holds a nested request for the exclusive hold may pass: those whose own tree waits for a
    /// later upgrade, and those that let pass the holds it is nested in.
    fn may_pass(&self, state: &State, me: usize, claim: &Claim) -> Numbers {
        let mut may_pass = Numbers::default();
        let later_upgrade = |c: &&Arc<Claim>| {
            c.state == ClaimState::Waiting && c.mode == Mode::Exclusive && c.ticket > claim.ticket
        };
        let upgrades: Vec<_> = state.files.living().filter(later_upgrade).collect();
        for (other, process) in state.processes.iter().enumerate() {
            let is_above = |session, c: &Claim| c.session == session || c.ancestors.contains(&session);
            if process
                .session
                .is_some_and(|s| upgrades.iter().any(|c| is_above(s, c)))
            {
                may_pass.add(other);
            }
            if self.cast.members[me].ancestors.contains(&other) {
                may_pass = may_pass.and(process.passed);
            }
        }
        may_pass
    }

    fn look(&self, state: &mut State, me: usize, budget: &mut Budget) {
        let process = &mut state.processes[me];
        let Doing::Looking(looking) = &mut process.doing else {
            return;
        };
        let request = process.request.as_mut().expect("who looks asks for something");
        let first = request.on.is_none();
        let mut look = Look::new(&mut state.files, &mut looking.seen, budget, self.fault);
        let decided = if first {
            look.first(&request.claim)
        } else {
            let mut ahead = request.ahead.clone();
            look.again(&request.claim, &mut ahead)
                .map(|decision| (decision, ahead))
        };
        if let Ok((decision, ahead)) = decided {
            request.ahead = ahead;
            self.conclude_look(state, me, decision);
        }
    }

    /// Writes what was decided.
    fn conclude_look(&self, state: &mut State, me: usize, decision: Decision) {
        let process = &mut state.processes[me];
        let Doing::Looking(looking) = &process.doing else {
            return;
        };
        let request = process.request.as_mut().expect("who looks asks for something");
        let first = request.on.is_none();
        let then = match decision {
            Decision::Granted => Then::Hold {
                nested: looking.nested,
                may_pass: looking.may_pass,
            },
            Decision::Wait(on) if first && self.only_tries(process.at, me) => {
                return self.refuse(state, me, on);
            }
            Decision::Wait(on) => {
                if looking.freed && request.on == Some(on) {
                    state.wrong = Some(Wrong::WaitsForTheDead);
                }
                request.on = Some(on);
                Then::Wait
            }
        };
        let mut claim = (*request.claim).clone();
        let protocol = Protocol(self.fault);
        let writes = if first {
            process.session = Some(claim.session);
            if decision == Decision::Granted {
                claim.state = ClaimState::Granted;
            }
            protocol.register(state.files.gate, record(claim))
        } else if decision == Decision::Granted {
            protocol.grant(state.files.gate, record(claim))
        } else {
            Vec::new()
        };
        let calls = last_first(writes);
        process.doing = Doing::Writing { calls, then };
        if self.fault == Some(Fault::GateLeftBeforeRegistering) {
            state.files.gate_holder = None;
        }
    }

    fn only_tries(&self, at: usize, me: usize) -> bool {
        matches!(self.cast.members[me].script[at], Op::TryAcquire(_))
    }

    /// What cannot be had at once is not asked for: nothing is written, and the process ends.
    fn refuse(&self, state: &mut State, me: usize, on: Ticket) {
        let process = &mut state.processes[me];
        let asked = process.request.take().expect("who is refused has asked");
        if asked.claim.mode == Mode::Shared && !state.issued_exclusive.has(on) {
            state.wrong = Some(Wrong::RefusedWithoutReason);
        }
        process.at = self.cast.members[me].script.len();
        process.doing = Doing::Script;
        state.files.gate_holder = None;
        self.settle(state, me);
    }

    fn write(&self, state: &mut State, me: usize, budget: &mut Budget) {
        loop {
            let Doing::Writing { calls, .. } = &mut state.processes[me].doing else {
                return;
            };
            if *budget == Budget::Spent {
                return;
            }
            if let Some(call) = calls.pop() {
                self.make(state, me, &call);
                if *budget != Budget::Unbounded {
                    *budget = Budget::Spent;
                }
            }
            let Doing::Writing { calls, then } = &state.processes[me].doing else {
                return;
            };
            if calls.is_empty() {
                let then = then.clone();
                self.conclude(state, me, then);
                return;
            }
        }
    }

    fn make(&self, state: &mut State, me: usize, call: &Call) {
        let process = &mut state.processes[me];
        match call {
            Call::CreateLock(ticket) => {
                if state.issued.has(*ticket) {
                    state.wrong = Some(Wrong::ReusedATicket);
                }
                state.issued.add(*ticket);
                // Remembered only for the sake of those who may be refused.
                let exclusive = process
                    .request
                    .as_ref()
                    .is_some_and(|r| r.claim.mode == Mode::Exclusive);
                if exclusive && self.cast.somebody_tries() {
                    state.issued_exclusive.add(*ticket);
                }
            }
            Call::TakeLock(ticket) => {
                process.locks.add(*ticket);
                if state.processes.iter().any(|p| p.probes(*ticket)) {
                    state.wrong = Some(Wrong::FoundANewLockTaken);
                }
            }
            Call::Unlock(ticket) => {
                process.locks.remove(*ticket);
                process.lent.remove(*ticket);
            }
            // The first write of a clean end.
            Call::ForgetUnfinished => vouch(&mut state.unfinished, process),
            Call::RemoveLock(ticket) if process.locks.has(*ticket) => vouch(&mut state.unfinished, process),
            _ => {}
        }
        state.files.make(call);
    }

    /// The writes are done: leaves the gate, and goes on.
    fn conclude(&self, state: &mut State, me: usize, then: Then) {
        if state.files.gate_holder == Some(me) {
            state.files.gate_holder = None;
        }
        match then {
            Then::Wait => state.processes[me].doing = Doing::Waiting,
            Then::Hold { nested, may_pass } => self.hold(state, me, nested, may_pass),
            Then::Continue => {
                state.processes[me].doing = Doing::Script;
                self.settle(state, me);
            }
        }
    }

    fn hold(&self, state: &mut State, me: usize, nested: bool, may_pass: Numbers) {
        let request = state.processes[me]
            .request
            .take()
            .expect("who is granted has asked");
        let claim = &request.claim;
        let mut passed = Numbers::default();
        for (other, process) in state.processes.iter().enumerate() {
            if self.cast.are_kin(me, other) {
                continue;
            }
            let waits_before = |c: &Claim| c.ticket < claim.ticket && c.mode.conflicts(claim.mode);
            if !nested && process.waits().is_some_and(waits_before) {
                state.wrong = Some(Wrong::PassedAnEarlierRequest);
            }
            if claim.mode == Mode::Exclusive && process.holds(Mode::Shared) {
                passed.add(other);
            }
        }
        if !passed.without(may_pass).is_empty() {
            state.wrong = Some(Wrong::PassedAHold);
        }
        let told = state.files.unfinished.as_ref().map(|claim| claim.ticket);
        let vouches_for = state.unfinished.without(state.files.names);
        let covers = |&above: &usize| {
            let process = &state.processes[above];
            process.holds(Mode::Exclusive) && !process.upgraded
        };
        let upgraded = nested && !self.cast.members[me].ancestors.iter().any(covers);
        let process = &mut state.processes[me];
        process.passed = process.passed.and(passed);
        if claim.mode == Mode::Exclusive {
            process.upgraded = upgraded && self.grain == Grain::Transition;
            (process.told, process.vouches_for) = (told, vouches_for);
        }
        process.holds.push(Hold {
            ticket: claim.ticket,
            mode: claim.mode,
        });
        process.at += 1;
        process.doing = Doing::Script;
        self.settle(state, me);
    }

    /// Whether a waiter looks again: the lock that it blocks on is free, or was gone before it could block on it, or a
    /// relative lives and the tick shows something new.
    ///
    /// A tick that changes nothing is left out, so that whoever can only tick is seen to be stuck. So is the tick that a
    /// stranger has, as a net, in earnest.
    fn is_woken(&self, state: &State, me: usize) -> bool {
        let request = state.processes[me]
            .request
            .as_ref()
            .expect("who waits asks for something");
        let on = request.on.expect("who waits has been told for whom");
        if !state.files.is_alive(on) {
            return true;
        }
        if !may_have_kin(&request.claim) || self.fault == Some(Fault::NoTickAmongKin) {
            return false;
        }
        let is_kin = |c: &Arc<Claim>| {
            c.ticket != request.claim.ticket
                && (c.session == request.claim.session || request.claim.ancestors.contains(&c.session))
        };
        state.files.living().any(is_kin) && {
            let mut files = state.files.clone();
            let (mut seen, mut budget) = (Vec::new(), Budget::Unbounded);
            let look = Look::new(&mut files, &mut seen, &mut budget, self.fault);
            look.may_be_over(&request.claim, on).is_ok_and(|over| over)
        }
    }
}

/// What the script wants next of the registry.
enum Next {
    /// Its children must end first.
    Blocked,
    Acquire(Mode),
    Downgrade,
    LetGo,
}

/// The child that kept a killed session alive ends.
fn end_orphan(state: &mut State, me: usize) {
    let process = &mut state.processes[me];
    let locks = process.locks;
    process.end();
    free(state, locks);
}

/// The kernel frees locks because the last process that had them is gone.
fn free(state: &mut State, locks: Numbers) {
    for ticket in locks.tickets() {
        if state.files.is_mutating(ticket) {
            state.unfinished.add(ticket);
        }
    }
    state.files.locked = state.files.locked.without(locks);
}

/// A mutator has come to a clean end: what died before it was granted is made good.
fn vouch(unfinished: &mut Numbers, process: &mut Process) {
    *unfinished = unfinished.without(process.vouches_for);
    process.vouches_for = Numbers::default();
}

fn last_first(writes: Vec<Write>) -> Vec<Call> {
    let mut calls = Call::sequence(writes);
    calls.reverse();
    calls
}
