//! The search: every state that a cast can reach, by `stateright`.

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::cast::Cast;
use crate::faults::Fault;
use crate::invariants::Invariant;
use crate::state::State;
use crate::steps::{Grain, World};

/// What is searched.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub cast: Cast,
    pub grain: Grain,
    /// How many processes may be killed, and how many may give up waiting, at any moment.
    pub kills: u8,
    pub give_ups: u8,
    pub fault: Option<Fault>,
    /// What must be true.
    pub invariants: &'static [(&'static str, Invariant)],
}

/// A step of one process, named for a counter-example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Step(usize),
    Glance(usize),
    GiveUp(usize),
    Kill(usize),
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    pub states: usize,
    /// The invariants that were broken, each with a shortest way there.
    pub broken: Vec<(&'static str, String)>,
}

impl Search {
    fn world(&self) -> World<'_> {
        World {
            cast: &self.cast,
            grain: self.grain,
            fault: self.fault,
        }
    }

    /// Whether anybody can do something of its own accord.
    pub(crate) fn can_go_on(&self, state: &State) -> bool {
        let world = self.world();
        (0..state.processes.len()).any(|member| world.can_step(state, member))
    }

    /// Searches all states, or until something broken was found.
    pub(crate) fn run(self) -> Found {
        let checker = self
            .checker()
            .finish_when(HasDiscoveries::Any)
            .timeout(Duration::from_secs(3600))
            .spawn_bfs()
            .join();
        let way = |path: Path<State, Action>| {
            let last = format!("{:#?}", path.last_state());
            let steps: Vec<_> = path.into_actions().iter().map(|a| format!("{a:?}")).collect();
            format!(
                "`{}` by {}\n{last}",
                checker.model().cast.notation,
                steps.join(", ")
            )
        };
        let broken = checker
            .discoveries()
            .into_iter()
            .map(|(name, path)| (name, way(path)))
            .collect();
        Found {
            states: checker.unique_state_count(),
            broken,
        }
    }
}

impl Model for Search {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.cast, self.kills, self.give_ups)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let world = self.world();
        for member in 0..state.processes.len() {
            if world.can_step(state, member) {
                actions.push(Action::Step(member));
            }
            if world.can_glance(state, member) {
                actions.push(Action::Glance(member));
            }
            if world.can_give_up(state, member) {
                actions.push(Action::GiveUp(member));
            }
            if world.can_be_killed(state, member) {
                actions.push(Action::Kill(member));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let world = self.world();
        let mut next = state.clone();
        match action {
            Action::Step(member) => world.step(&mut next, member),
            Action::Glance(member) => world.begin_glance(&mut next, member),
            Action::GiveUp(member) => world.give_up(&mut next, member),
            Action::Kill(member) => world.kill(&mut next, member),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.invariants
            .iter()
            .map(|&(name, holds)| Property::always(name, holds))
            .collect()
    }
}
