//! How builds that wait for their first token are woken: a search for one that sleeps although a token is there for it.
//!
//! What is searched is the order of the steps in `tokens/alarm.rs` and `tokens/pool.rs`, each of which others may come
//! between: a build registers, hangs its bell, looks at the ledger under the gate, and sleeps until its bell is rung or a lock
//! is freed that it watches. A holder gives tokens back and rings afterwards, or ends, or is killed; who got its first token
//! takes its bell down and rings. There is no tick: whoever would need it sleeps for ever here.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// What is done wrong, to see that the search finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The bell is hung after the look.
    BellAfterLook,
    /// Who rings does so before the ledger says why.
    RingsBeforeGiving,
    /// Who got its first token does not ring for the next.
    NextNotRung,
    /// Who got its first token rings for the first in line, be it before it or behind it.
    FirstRungForNext,
    /// Those behind the first do not watch the one before them.
    OneBeforeNotWatched,
    /// The first in line does not watch those that hold.
    HoldersNotWatched,
}

/// Builds that hold so many tokens at first, nothing being for those that come later; their number is the ticket.
#[derive(Clone, Debug)]
struct Search {
    holds: Vec<u32>,
    capacity: u32,
    fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Build {
    stage: Stage,
    held: u32,
    /// Whether its bell hangs, and whether it was rung since it last looked.
    hangs: bool,
    rung: bool,
    /// Whose locks it watches, as tickets.
    watches: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Registered,
    /// About to look at the ledger.
    Awake,
    /// It has looked in vain, without a bell so far.
    Looked,
    Asleep,
    Running,
    /// It must ring, and then goes on: it gave a token back.
    Rings,
    /// The same for the one behind it: it got its first.
    RingsBehind,
    /// It has rung, and will give a token back.
    WillGive,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Hang(usize),
    Look(usize),
    Wake(usize),
    Give(usize),
    Ring(usize),
    End(usize),
}

impl Search {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn free(&self, builds: &[Build]) -> u32 {
        let held = builds
            .iter()
            .filter(|b| b.stage != Stage::Gone)
            .map(|b| b.held)
            .sum();
        self.capacity.saturating_sub(held)
    }

    /// Those that wait with a lower ticket.
    fn ahead(builds: &[Build], me: usize) -> impl DoubleEndedIterator<Item = usize> {
        (0..me).filter(|&i| builds[i].stage != Stage::Gone && builds[i].held == 0)
    }

    fn may_lease(&self, builds: &[Build], me: usize) -> bool {
        Self::ahead(builds, me).count() < self.free(builds) as usize
    }

    fn look(&self, builds: &mut [Build], me: usize) {
        builds[me].rung = false;
        if self.may_lease(builds, me) {
            builds[me].held = 1;
            builds[me].hangs = false;
            builds[me].watches.clear();
            builds[me].stage = if self.is(Fault::NextNotRung) {
                Stage::Running
            } else {
                Stage::RingsBehind
            };
            return;
        }
        let watches = match Self::ahead(builds, me).next_back() {
            Some(_) if self.is(Fault::OneBeforeNotWatched) => vec![],
            Some(before_me) => vec![before_me],
            None if self.is(Fault::HoldersNotWatched) => vec![],
            None => (0..builds.len())
                .filter(|&i| builds[i].held > 0 && builds[i].stage != Stage::Gone)
                .collect(),
        };
        builds[me].watches = watches;
        builds[me].stage = if builds[me].hangs {
            Stage::Asleep
        } else {
            Stage::Looked
        };
    }

    /// Rings the first bell from this ticket on.
    fn ring(builds: &mut [Build], from: usize) {
        if let Some(first) = builds[from..]
            .iter_mut()
            .find(|b| b.hangs && b.stage != Stage::Gone)
        {
            first.rung = true;
        }
    }

    /// Whether what it waits for has happened.
    fn is_woken(builds: &[Build], me: usize) -> bool {
        builds[me].rung || builds[me].watches.iter().any(|&w| builds[w].stage == Stage::Gone)
    }

    #[expect(clippy::ptr_arg, reason = "the model's state is a vector")]
    fn nobody_is_overlooked(&self, builds: &Vec<Build>) -> bool {
        // Whoever is up may be about to wake the others.
        let all_rest = (0..builds.len()).all(|i| match builds[i].stage {
            Stage::Running | Stage::Gone => true,
            Stage::Asleep => !Self::is_woken(builds, i),
            _ => false,
        });
        let overlooked = |i: usize| builds[i].stage == Stage::Asleep && self.may_lease(builds, i);
        !all_rest || !(0..builds.len()).any(overlooked)
    }

    fn broken(&self) -> bool {
        let checker = self
            .clone()
            .checker()
            .finish_when(HasDiscoveries::Any)
            .spawn_bfs()
            .join();
        assert!(checker.unique_state_count() > 10, "the search saw nothing");
        !checker.discoveries().is_empty()
    }
}

impl Model for Search {
    type State = Vec<Build>;
    type Action = Action;

    fn init_states(&self) -> Vec<Vec<Build>> {
        let build = |&held: &u32| Build {
            stage: if held > 0 {
                Stage::Running
            } else {
                Stage::Registered
            },
            held,
            hangs: false,
            rung: false,
            watches: vec![],
        };
        vec![self.holds.iter().map(build).collect()]
    }

    fn actions(&self, builds: &Vec<Build>, actions: &mut Vec<Action>) {
        for (i, build) in builds.iter().enumerate() {
            match build.stage {
                Stage::Registered if self.is(Fault::BellAfterLook) => actions.push(Action::Look(i)),
                Stage::Registered | Stage::Looked => actions.push(Action::Hang(i)),
                Stage::Awake => actions.push(Action::Look(i)),
                Stage::Asleep if Self::is_woken(builds, i) => {
                    actions.push(Action::Wake(i));
                }
                Stage::Running if build.held > 1 => actions.push(Action::Give(i)),
                Stage::WillGive => actions.push(Action::Give(i)),
                Stage::Rings | Stage::RingsBehind => actions.push(Action::Ring(i)),
                _ => {}
            }
            // Its end, and its death: also while it waits, and before it has rung.
            if build.stage != Stage::Gone {
                actions.push(Action::End(i));
            }
        }
    }

    fn next_state(&self, builds: &Vec<Build>, action: Action) -> Option<Vec<Build>> {
        let mut builds = builds.clone();
        let early = self.is(Fault::RingsBeforeGiving);
        match action {
            Action::Hang(i) => {
                let looked = builds[i].stage == Stage::Looked;
                builds[i].hangs = true;
                builds[i].stage = if looked { Stage::Asleep } else { Stage::Awake };
            }
            Action::Look(i) => self.look(&mut builds, i),
            Action::Wake(i) => builds[i].stage = Stage::Awake,
            Action::Give(i) if early && builds[i].stage == Stage::Running => {
                Self::ring(&mut builds, 0);
                builds[i].stage = Stage::WillGive;
            }
            Action::Give(i) => {
                builds[i].held -= 1;
                builds[i].stage = if early { Stage::Running } else { Stage::Rings };
            }
            Action::Ring(i) => {
                let behind = builds[i].stage == Stage::RingsBehind && !self.is(Fault::FirstRungForNext);
                Self::ring(&mut builds, if behind { i + 1 } else { 0 });
                builds[i].stage = Stage::Running;
            }
            Action::End(i) => {
                builds[i].stage = Stage::Gone;
                builds[i].held = 0;
            }
        }
        Some(builds)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "nobody sleeps beside a token that is its",
            Self::nobody_is_overlooked,
        )]
    }
}

fn searches() -> impl Iterator<Item = Search> {
    let casts = [
        (1, vec![1, 0, 0, 0]),
        (2, vec![1, 1, 0, 0]),
        (3, vec![3, 0, 0, 0]),
        (3, vec![2, 1, 0, 0]),
    ];
    casts.into_iter().map(|(capacity, holds)| Search {
        holds,
        capacity,
        fault: None,
    })
}

#[test]
fn nobody_sleeps_beside_a_token_that_is_there_for_it() {
    for search in searches() {
        assert!(!search.broken(), "{search:?}");
    }
}

#[test]
fn each_seeded_fault_of_the_waking_is_found() {
    for fault in [
        Fault::BellAfterLook,
        Fault::RingsBeforeGiving,
        Fault::NextNotRung,
        Fault::FirstRungForNext,
        Fault::OneBeforeNotWatched,
        Fault::HoldersNotWatched,
    ] {
        let found = searches().any(|search| {
            Search {
                fault: Some(fault),
                ..search
            }
            .broken()
        });
        assert!(found, "{fault:?}");
    }
}
