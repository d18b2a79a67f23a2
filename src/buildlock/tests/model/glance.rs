//! The tick of a waiter: it looks without the gate whether its wait may be over.

use buildlock::queue::may_have_kin;

use crate::faults::Fault;
use crate::look::{Look, Paused};
use crate::state::{Doing, State};
use crate::steps::{Grain, World};

impl World<'_> {
    /// Whether the tick may come at any time, and what is seen then be out of date before it is acted on.
    ///
    /// Where reads are no steps of their own, a glance is one moment, which [`World::is_woken`] has; and what a stranger
    /// glances at is there or gone for ever, as for the one who is woken.
    pub(crate) fn can_glance(&self, state: &State, me: usize) -> bool {
        let process = &state.processes[me];
        self.grain == Grain::Call
            && process.doing == Doing::Waiting
            && process.waits().is_some_and(may_have_kin)
            && self.fault != Some(Fault::NoTickAmongKin)
    }

    /// The tick: begins to look without the gate.
    pub(crate) fn begin_glance(&self, state: &mut State, me: usize) {
        state.processes[me].doing = Doing::Glancing(Vec::new());
        self.glance(state, me);
    }

    pub(crate) fn glance(&self, state: &mut State, me: usize) {
        let mut budget = self.budget();
        let process = &mut state.processes[me];
        let request = process.request.as_ref().expect("who waits asks for something");
        let on = request.on.expect("who waits has been told for whom");
        let Doing::Glancing(seen) = &mut process.doing else {
            return;
        };
        let look = Look::new(&mut state.files, seen, &mut budget, self.fault);
        match look.may_be_over(&request.claim, on) {
            Ok(true) => process.doing = Doing::Alarmed,
            Ok(false) => process.doing = Doing::Waiting,
            Err(Paused) => {}
        }
    }
}
