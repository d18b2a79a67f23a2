//! Crashes come between any two writes: that no step of the search makes two.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use buildlock::queue::{Claim, Ticket};
use stateright::Model;

use crate::cast::Cast;
use crate::files::Files;
use crate::invariants;
use crate::numbers::Numbers;
use crate::search::{Action, Search};
use crate::state::State;
use crate::steps::Grain;

/// The most writes that a step makes while somebody can still be killed.
fn writes_of_a_step_max(notation: &str, grain: Grain) -> usize {
    let search = Search {
        cast: Cast::parse(notation),
        grain,
        kills: 1,
        give_ups: 1,
        fault: None,
        invariants: &invariants::ALL,
    };
    let mut most = 0;
    let mut known: HashSet<State> = HashSet::new();
    let mut open = search.init_states();
    while let Some(state) = open.pop() {
        let mut actions = Vec::new();
        search.actions(&state, &mut actions);
        for action in actions {
            let Some(next) = search.next_state(&state, action) else {
                continue;
            };
            // What the kernel does at a process's end is no write.
            if matches!(action, Action::Step(_) | Action::GiveUp(_)) && next.kills_left > 0 {
                most = most.max(writes_between(&state.files, &next.files));
            }
            if known.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    most
}

/// How many writes make the one folder of the other. Litter does not count: nobody looks at it but to remove it.
fn writes_between(before: &Files, after: &Files) -> usize {
    let litter = |t: &Ticket| !before.names.has(*t) && !after.names.has(*t);
    let changed = |a: Numbers, b: Numbers| -> HashSet<Ticket> {
        let either = a.without(b).and(b.without(a));
        either.tickets().filter(|t| !litter(t)).collect()
    };
    let names = changed(before.names, after.names);
    let locked = changed(before.locked, after.locked);
    let staged = changed(before.staged, after.staged);
    let records = changed_records(&before.records, &after.records);
    let records: HashSet<_> = records.into_iter().filter(|t| !litter(t)).collect();
    // A rename changes two names.
    let renamed = staged.intersection(&records).count();
    let mark = usize::from(before.unfinished != after.unfinished);
    let kept = mark.min(records.len() - renamed);
    let gate = usize::from(before.gate != after.gate);
    gate + names.len() + locked.len() + staged.len() + records.len() + mark - renamed - kept
}

fn changed_records(
    before: &BTreeMap<Ticket, Arc<Claim>>,
    after: &BTreeMap<Ticket, Arc<Claim>>,
) -> HashSet<Ticket> {
    let tickets = before.keys().chain(after.keys());
    tickets
        .filter(|t| before.get(t) != after.get(t))
        .copied()
        .collect()
}

#[test]
fn a_step_makes_one_write_at_most_while_somebody_can_be_killed() {
    for cast in [
        "E E",
        "SE Ed",
        "s El",
        "Skw(E) E",
        "SEdkw(S) S",
        "Edkw(S) E",
        "Ekdw(E)(E)",
    ] {
        for grain in [Grain::Write, Grain::Call] {
            assert_eq!(
                writes_of_a_step_max(cast, grain),
                1,
                "`{cast}` by every {grain:?}"
            );
        }
        let whole = writes_of_a_step_max(cast, Grain::Transition);
        assert!(whole > 2, "a transition of `{cast}` is more than {whole} writes");
    }
}
