//! The token pool: a search through everything that a few builds can do to each other's tokens.
//!
//! What they decide by is the crate's own: [`ledger`] says who may lease and who should give back. The rest is what
//! `tokens/broker.rs` and `tokens/pool.rs` do: whoever joins or looks holds the gate from reading the ledger to publishing
//! what follows; a token is used only after its lease was published, and a smaller lease is published only when its tokens
//! are idle; giving back takes no gate. Between any two of these another build may do its next, or be killed.
//!
//! Every build has only so many jobs, so every way ends, and "for ever" is where one ends too early.

use std::time::Duration;

use buildlock::tokens::ledger::{self, Entry};
use buildlock::{Lease, Ticket};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// What is done wrong, to see that the search finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The record of a killed build counts until somebody has removed it, and nobody does.
    DeadRecordsCount,
    /// The gate is left between reading the ledger and publishing.
    GateLeftBeforePublishing,
    /// Builds that wait for their first token are not served before others get a further one.
    FirstTokensNotKept,
    /// A smaller lease is published while its tokens are in use.
    PublishedBeforeReturned,
}

/// What is searched.
#[derive(Clone, Debug)]
struct Search {
    capacity: u32,
    /// How many jobs each build has beside the one that is its child, which ends when they have; and its weight.
    builds: Vec<(u32, u32)>,
    kills: u32,
    fault: Option<Fault>,
}

/// A build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Build {
    stage: Stage,
    held: u32,
    wanted: u32,
    /// How many of its jobs run. The first is its child.
    running: u32,
    /// How many have not begun.
    left: u32,
    ticket: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Absent,
    /// It waits for its first token.
    Waiting,
    Running,
    /// It ended, or was killed: its lock is free.
    Gone,
    /// The same, and its record is still there.
    Killed,
}

/// A build that holds the gate, and what it read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Looking {
    who: usize,
    more: u32,
    owed: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    builds: Vec<Build>,
    looking: Vec<Looking>,
    tickets: u64,
    kills: u32,
    /// Whether somebody got its first token although those that had come earlier would have needed it.
    passed: bool,
}

impl World {
    /// What the living hold.
    fn held(&self) -> u32 {
        self.builds.iter().filter(|b| b.is_alive()).map(|b| b.held).sum()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Join(usize),
    Read(usize),
    Publish(usize),
    StartJob(usize),
    EndJob(usize),
    GiveBack(usize),
    End(usize),
    Kill(usize),
}

impl Build {
    fn is_alive(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Running)
    }

    /// What it could use now.
    fn demand(&self) -> u32 {
        (self.running + self.left).max(1)
    }
}

impl Search {
    /// The ledger, as whoever reads it sees it.
    fn entries(&self, world: &World) -> Vec<Entry> {
        let counts = |b: &Build| {
            b.is_alive() || b.stage == Stage::Killed && self.fault == Some(Fault::DeadRecordsCount)
        };
        let mut entries: Vec<_> = world
            .builds
            .iter()
            .enumerate()
            .filter(|(_, b)| counts(b))
            .map(|(i, b)| Entry {
                ticket: Ticket(b.ticket),
                lease: Lease {
                    held: b.held,
                    wanted: b.wanted,
                    cap: u32::MAX,
                    weight: self.builds[i].1,
                    capacity: self.capacity,
                },
            })
            .collect();
        entries.sort_by_key(|e| e.ticket);
        entries
    }

    /// What a build decides that reads the ledger now: how many to lease, how many are owed.
    fn decide(&self, world: &World, who: usize) -> Looking {
        let me = Ticket(world.builds[who].ticket);
        let mut entries = self.entries(world);
        for entry in entries.iter_mut().filter(|e| e.ticket == me) {
            entry.lease.wanted = world.builds[who].demand();
        }
        if self.fault == Some(Fault::FirstTokensNotKept) {
            entries.retain(|e| e.ticket == me || e.lease.held > 0);
        }
        let wants = world.builds[who].demand().saturating_sub(world.builds[who].held);
        Looking {
            who,
            more: ledger::may_lease(self.capacity, &entries, me).min(wants),
            owed: ledger::should_return(self.capacity, &entries, me),
        }
    }

    fn idle(build: &Build) -> u32 {
        build.held.saturating_sub(build.running.max(1))
    }

    /// What a look would change; nothing where it would not.
    fn outcome(&self, build: &Build, looking: &Looking) -> Option<(u32, u32)> {
        let may_pay = match self.fault {
            Some(Fault::PublishedBeforeReturned) => build.held.saturating_sub(1),
            _ => Self::idle(build),
        };
        let held = build.held + looking.more - looking.owed.min(may_pay);
        let after = (held, build.demand().max(held));
        (after != (build.held, build.wanted)).then_some(after)
    }

    /// In the ledger of the living, nothing is missing and nothing is there twice.
    fn adds_up(&self, world: &World) -> bool {
        let held = world.held();
        held <= self.capacity && ledger::free(self.capacity, &self.entries(world)) + held == self.capacity
    }

    fn no_more_run_than_there_are_tokens(&self, world: &World) -> bool {
        let running: u32 = world
            .builds
            .iter()
            .filter(|b| b.is_alive())
            .map(|b| b.running)
            .sum();
        running <= self.capacity
    }

    fn broken(&self) -> Vec<&'static str> {
        let checker = self
            .clone()
            .checker()
            .finish_when(HasDiscoveries::Any)
            .timeout(Duration::from_secs(600))
            .spawn_bfs()
            .join();
        assert!(checker.unique_state_count() > 10, "the search saw nothing");
        checker.discoveries().into_keys().collect()
    }
}

impl Model for Search {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let absent = |&(jobs, _): &(u32, u32)| Build {
            stage: Stage::Absent,
            held: 0,
            wanted: 1,
            running: 0,
            left: jobs,
            ticket: 0,
        };
        vec![World {
            builds: self.builds.iter().map(absent).collect(),
            looking: Vec::new(),
            tickets: 0,
            kills: self.kills,
            passed: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let gate_is_free = world.looking.is_empty() || self.fault == Some(Fault::GateLeftBeforePublishing);
        for (i, build) in world.builds.iter().enumerate() {
            let looks = world.looking.iter().any(|l| l.who == i);
            if looks {
                actions.push(Action::Publish(i));
            }
            if build.is_alive() && world.kills > 0 {
                actions.push(Action::Kill(i));
            }
            match build.stage {
                Stage::Absent if world.looking.is_empty() => actions.push(Action::Join(i)),
                // A look that changes nothing leads nowhere.
                Stage::Waiting | Stage::Running
                    if gate_is_free && !looks && self.outcome(build, &self.decide(world, i)).is_some() =>
                {
                    actions.push(Action::Read(i));
                }
                _ => {}
            }
            // A broker does one thing after the other; its jobs do not wait for it.
            if build.stage == Stage::Running {
                if build.left > 0 && build.running < build.held {
                    actions.push(Action::StartJob(i));
                }
                if build.running > 1 || build.left > 0 {
                    actions.push(Action::EndJob(i));
                }
                if build.running == 1 && build.left == 0 && !looks {
                    actions.push(Action::End(i));
                }
                if !looks && build.left == 0 && Self::idle(build) > 0 {
                    actions.push(Action::GiveBack(i));
                }
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Join(i) => {
                next.tickets += 1;
                next.builds[i].ticket = next.tickets;
                next.builds[i].stage = Stage::Waiting;
            }
            Action::Read(i) => next.looking.push(self.decide(world, i)),
            Action::Publish(i) => {
                let at = world.looking.iter().position(|l| l.who == i)?;
                let looking = next.looking.remove(at);
                let build = world.builds[i];
                if let Some((held, wanted)) = self.outcome(&build, &looking) {
                    (next.builds[i].held, next.builds[i].wanted) = (held, wanted);
                }
                if build.stage == Stage::Waiting && next.builds[i].held > 0 {
                    let earlier = |b: &&Build| b.stage == Stage::Waiting && b.ticket < build.ticket;
                    let ahead = world.builds.iter().filter(earlier).count();
                    next.passed |= ahead >= (self.capacity - world.held()) as usize;
                    (next.builds[i].stage, next.builds[i].running) = (Stage::Running, 1);
                }
            }
            Action::StartJob(i) => {
                next.builds[i].running += 1;
                next.builds[i].left -= 1;
            }
            // The last one that runs is followed by the next: the child does not end before all have.
            Action::EndJob(i) if world.builds[i].running == 1 => next.builds[i].left -= 1,
            Action::EndJob(i) => next.builds[i].running -= 1,
            Action::GiveBack(i) => {
                next.builds[i].held -= Self::idle(&world.builds[i]);
                next.builds[i].wanted = next.builds[i].held;
            }
            Action::End(i) => next.builds[i].stage = Stage::Gone,
            Action::Kill(i) => {
                next.kills -= 1;
                next.builds[i].stage = Stage::Killed;
                // The kernel frees the gate, too.
                next.looking.retain(|l| l.who != i);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("leases fit the pool, and the dead have none", |s: &Self, w| {
                s.adds_up(w)
            }),
            Property::always("no more run than there are tokens", |s: &Self, w| {
                s.no_more_run_than_there_are_tokens(w)
            }),
            Property::always("first tokens come in order", |_, w: &World| !w.passed),
        ];
        properties.push(Property::eventually("everybody is served", |_, w: &World| {
            w.builds
                .iter()
                .all(|b| matches!(b.stage, Stage::Gone | Stage::Killed))
        }));
        properties
    }
}

/// Pools from too small to large enough for three builds, equal and not.
fn searches() -> impl Iterator<Item = Search> {
    let casts = [
        vec![(2, 1), (1, 1)],
        vec![(3, 1), (3, 1)],
        vec![(2, 4), (2, 1)],
        vec![(1, 1), (1, 1), (1, 1)],
        vec![(2, 1), (1, 4), (1, 1)],
        vec![(0, 1), (2, 1), (2, 1)],
    ];
    (1..=4).flat_map(move |capacity| {
        casts.clone().into_iter().map(move |builds| Search {
            capacity,
            builds,
            kills: 1,
            fault: None,
        })
    })
}

#[test]
fn tokens_are_never_lost_nor_doubled_and_everybody_is_served() {
    for search in searches() {
        let broken = search.broken();
        assert!(broken.is_empty(), "{search:?}: {broken:?}");
    }
}

#[test]
fn each_seeded_fault_of_the_pool_is_found() {
    for fault in [
        Fault::DeadRecordsCount,
        Fault::GateLeftBeforePublishing,
        Fault::FirstTokensNotKept,
        Fault::PublishedBeforeReturned,
    ] {
        let found = searches().any(|search| {
            let faulty = Search {
                fault: Some(fault),
                ..search
            };
            !faulty.broken().is_empty()
        });
        assert!(found, "{fault:?}");
    }
}
