//! What must be true in every state. Worded anew here, not taken from the code that is under test.

use buildlock::Mode;
use buildlock::queue::{State as ClaimState, Ticket};
use buildlock::scan;

use crate::files::Files;
use crate::look::{Budget, Look};
use crate::search::Search;
use crate::state::{Process, State, Wrong};

/// Whether a state is as it must be.
pub(crate) type Invariant = fn(&Search, &State) -> bool;

pub(crate) const EXCLUSION: &str =
    "no exclusive hold beside another outside its ancestry that did not let it pass";
pub(crate) const PROGRESS: &str = "whoever waits is granted, or somebody can go on";
pub(crate) const FIRST_COME: &str = "no stranger passes an earlier request that conflicts with its own";
pub(crate) const KEEPS: &str = "what is granted stays registered, locked and granted";
pub(crate) const TICKETS: &str = "no ticket is handed out twice";
pub(crate) const LOCKABLE: &str = "a new lock file can be locked at once";
pub(crate) const REFUSALS: &str = "nobody is refused at once without a conflict";
pub(crate) const MARK_KEPT: &str = "a mutator that died leaves its mark, until another comes to a clean end";
pub(crate) const MARK_TRUE: &str = "a mark that is there was left by a mutator that died";
pub(crate) const EMPTY: &str = "the folder comes back to empty";

pub(crate) const ALL: [(&str, Invariant); 10] = [
    (EXCLUSION, holds_exclude_each_other),
    (PROGRESS, somebody_can_go_on),
    (FIRST_COME, |_, state| {
        state.wrong != Some(Wrong::PassedAnEarlierRequest)
    }),
    (KEEPS, holds_are_kept),
    (TICKETS, |_, state| state.wrong != Some(Wrong::ReusedATicket)),
    (LOCKABLE, |_, state| {
        state.wrong != Some(Wrong::FoundANewLockTaken)
    }),
    (REFUSALS, |_, state| {
        state.wrong != Some(Wrong::RefusedWithoutReason)
    }),
    (MARK_KEPT, a_dead_mutator_is_marked),
    (MARK_TRUE, the_mark_is_true),
    (EMPTY, the_folder_is_empty_in_the_end),
];

/// Those that `rule_model.py` knows, in its words.
pub(crate) const OF_RULE_MODEL: [(&str, Invariant); 2] = [
    (EXCLUSION, holds_exclude_each_other_but_for_upgrades),
    (PROGRESS, somebody_can_go_on),
];

fn holds_exclude_each_other(search: &Search, state: &State) -> bool {
    state.wrong != Some(Wrong::PassedAHold)
        && mutators_are_alone(search, state, |mutator, other| mutator.passed.has(other))
}

/// Weaker: an upgrade may pass any shared hold, also one that has asked for none itself.
fn holds_exclude_each_other_but_for_upgrades(search: &Search, state: &State) -> bool {
    mutators_are_alone(search, state, |mutator, _| mutator.upgraded)
}

/// Whether beside each mutator there are only its kin, and readers that it may have passed.
fn mutators_are_alone(search: &Search, state: &State, may_pass: impl Fn(&Process, usize) -> bool) -> bool {
    let processes = || state.processes.iter().enumerate();
    processes()
        .filter(|(_, p)| p.holds(Mode::Exclusive))
        .all(|(member, mutator)| {
            processes().all(|(other, process)| match process.mode() {
                None => true,
                Some(_) if search.cast.are_kin(member, other) => true,
                Some(Mode::Shared) => may_pass(mutator, other),
                Some(Mode::Exclusive) => false,
            })
        })
}

fn somebody_can_go_on(search: &Search, state: &State) -> bool {
    state.wrong != Some(Wrong::WaitsForTheDead)
        && (search.can_go_on(state) || state.all_have_ended(&search.cast))
}

fn holds_are_kept(_: &Search, state: &State) -> bool {
    state.processes.iter().all(|process| {
        let Some(mode) = process.mode() else { return true };
        let stands = |hold: Ticket| state.files.is_alive(hold) && process.locks.has(hold);
        state.files.records.values().any(|claim| {
            process.session == Some(claim.session)
                && claim.state == ClaimState::Granted
                && claim.mode >= mode
                && stands(claim.ticket)
        })
    })
}

fn a_dead_mutator_is_marked(_: &Search, state: &State) -> bool {
    let files = &state.files;
    let to_be_swept = |ticket: Ticket| !files.locked.has(ticket) && files.is_mutating(ticket);
    state.unfinished.is_empty() || files.unfinished.is_some() || files.names.tickets().any(to_be_swept)
}

fn the_mark_is_true(_: &Search, state: &State) -> bool {
    let mark = state.files.unfinished.as_ref();
    mark.is_none_or(|claim| state.unfinished.has(claim.ticket))
}

/// Once all have ended, the next to look finds nothing, or removes what the killed left.
fn the_folder_is_empty_in_the_end(search: &Search, state: &State) -> bool {
    if !state.all_have_ended(&search.cast) {
        return true;
    }
    let mut files = state.files.clone();
    if state.kills_left < search.kills {
        // The first sweeps the dead. What they had half renamed has no lock file from then on, and goes with the second.
        for _ in 0..2 {
            let (mut seen, mut budget) = (Vec::new(), Budget::Unbounded);
            let mut look = Look::new(&mut files, &mut seen, &mut budget, search.fault);
            if scan::living(&mut look).is_err() {
                return false;
            }
        }
    } else if files.unfinished.is_some() {
        return false;
    }
    let empty = Files {
        gate: files.gate,
        unfinished: files.unfinished.clone(),
        ..Files::new()
    };
    files == empty
}
