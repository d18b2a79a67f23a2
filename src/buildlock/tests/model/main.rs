//! The proof of the queue: a search through everything that a few processes can do to each other.
//!
//! The processes of a cast ([`cast`]) run their scripts against a folder in memory ([`files`]). What they decide by is the
//! crate's own: [`buildlock::queue`] is the rule, [`buildlock::scan`] says what is read in which order ([`look`] answers it),
//! [`buildlock::protocol`] what is written. Only the way in which `session.rs` puts these together is written anew
//! ([`steps`]). Between any two calls another process may do its next, one may be killed, and a waiter may give up. A waiter
//! looks again only when the lock that it blocks on is freed or, while kin of it lives, at the tick.
//!
//! In every state that can be reached, the [`invariants`] must hold. That they can fail is shown by seeding faults
//! ([`faulty`]); that the search misses nothing, by agreement with another one ([`agreement`]) and by counting its states:
//! a change of `states.txt` must be meant.

mod agreement;
mod bell;
mod cast;
mod crashes;
mod faults;
mod faulty;
mod files;
mod forests;
mod glance;
mod invariants;
mod look;
mod numbers;
mod pool;
mod rule;
mod search;
mod state;
mod steps;
mod suites;

use std::time::Instant;

use suites::{LONG, SHORT, Suite};

/// How many states each suite has, a line each. To change it on purpose, copy what the tests print.
const EXPECTED: &str = include_str!("states.txt");

#[test]
fn nothing_goes_wrong_in_any_short_search() {
    explore(&SHORT);
}

/// Each long search is a test of its own: `cargo test --release --test model -- --ignored --nocapture`.
mod long {
    use super::{LONG, explore};

    fn search(name: &str) {
        let at = LONG.iter().position(|suite| suite.name == name);
        let at = at.expect("a long search");
        explore(&LONG[at..=at]);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_between_two_pairs() {
        search("every write, two pairs");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_any_call_of_a_pair_and_a_stranger() {
        search("every call, a pair and a stranger");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_between_a_tree_of_up_to_three_and_a_stranger() {
        search("every write, a tree of up to three and a stranger");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_where_two_of_a_pair_and_a_stranger_are_killed() {
        search("every write, a pair and a stranger, two killed");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_any_call_where_two_who_try_or_have_orphans_are_killed() {
        search("every call, tries and orphans, two killed");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_between_a_pair_and_two_strangers() {
        search("every write, a pair and two strangers");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_between_a_pair_and_two_strangers_one_of_whom_upgrades() {
        search("every write, a pair and two strangers, one of whom upgrades");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_between_a_pair_and_two_strangers_one_of_whom_downgrades() {
        search("every write, a pair and two strangers, one of whom downgrades");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_a_tree_of_four() {
        search("every write, a tree of four");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_a_tree_of_five() {
        search("every write, a tree of five");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_any_cast_of_up_to_three() {
        search("every transition, every cast of up to three");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_any_tree_of_four() {
        search("every transition, every tree of four");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_any_two_trees_of_four() {
        search("every transition, every cast of four in two trees");
    }

    #[test]
    #[ignore = "takes minutes"]
    fn nothing_goes_wrong_in_any_three_trees_of_four() {
        search("every transition, every cast of four in three trees");
    }
}

#[expect(clippy::print_stdout, reason = "the number of states is for people to see")]
fn explore(suites: &[Suite]) {
    let mut unexpected = Vec::new();
    for suite in suites {
        let start = Instant::now();
        let (mut casts, mut states) = (0, 0);
        for search in suite.searches() {
            let found = search.run();
            assert!(found.broken.is_empty(), "{}: {:#?}", suite.name, found.broken);
            casts += 1;
            states += found.states;
        }
        let line = format!("{}: {casts} casts, {states} states", suite.name);
        println!("{line}, in {:.1} s", start.elapsed().as_secs_f64());
        if !EXPECTED.lines().any(|expected| expected == line) {
            unexpected.push(line);
        }
    }
    assert!(
        unexpected.is_empty(),
        "these searches are not the ones that they were, see states.txt: {unexpected:#?}"
    );
}
