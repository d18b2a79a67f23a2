//! Which casts are searched, and how closely.

use crate::cast::Cast;
use crate::forests::{ALONE, four, up_to_three};
use crate::invariants;
use crate::search::Search;
use crate::steps::Grain;

/// A named search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub name: &'static str,
    casts: fn() -> Vec<String>,
    grain: Grain,
    kills: u8,
    give_ups: u8,
}

/// Searched by every test run, in less than a minute.
pub(crate) const SHORT: [Suite; 6] = [
    Suite {
        name: "every call, small casts",
        casts: small,
        grain: Grain::Call,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, a pair and a stranger",
        casts: a_pair_and_a_stranger,
        grain: Grain::Write,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, three trees",
        casts: three_small_trees,
        grain: Grain::Write,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every write, three deep",
        casts: three_deep,
        grain: Grain::Write,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every write, tries and orphans",
        casts: tries_and_orphans,
        grain: Grain::Write,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, two killed",
        casts: small,
        grain: Grain::Write,
        kills: 2,
        give_ups: 1,
    },
];

/// Searched on demand: `cargo test --release --test model -- --ignored`.
pub(crate) const LONG: [Suite; 14] = [
    Suite {
        name: "every write, two pairs",
        casts: two_pairs,
        grain: Grain::Write,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every call, a pair and a stranger",
        casts: a_pair_and_a_stranger,
        grain: Grain::Call,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, a tree of up to three and a stranger",
        casts: a_tree_and_a_stranger,
        grain: Grain::Write,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, a pair and a stranger, two killed",
        casts: a_pair_and_a_stranger,
        grain: Grain::Write,
        kills: 2,
        give_ups: 1,
    },
    Suite {
        name: "every call, tries and orphans, two killed",
        casts: tries_and_orphans,
        grain: Grain::Call,
        kills: 2,
        give_ups: 1,
    },
    Suite {
        name: "every write, a pair and two strangers",
        casts: a_pair_and_two_strangers,
        grain: Grain::Write,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, a pair and two strangers, one of whom upgrades",
        casts: a_pair_and_two_of_whom_one_upgrades,
        grain: Grain::Write,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every write, a pair and two strangers, one of whom downgrades",
        casts: a_pair_and_two_of_whom_one_downgrades,
        grain: Grain::Write,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every write, a tree of four",
        casts: a_tree_of_four,
        grain: Grain::Write,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every write, a tree of five",
        casts: a_tree_of_five,
        grain: Grain::Write,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every transition, every cast of up to three",
        casts: || up_to_three().collect(),
        grain: Grain::Transition,
        kills: 1,
        give_ups: 1,
    },
    Suite {
        name: "every transition, every tree of four",
        casts: || four(1).collect(),
        grain: Grain::Transition,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every transition, every cast of four in two trees",
        casts: || four(2).collect(),
        grain: Grain::Transition,
        kills: 1,
        give_ups: 0,
    },
    Suite {
        name: "every transition, every cast of four in three trees",
        casts: || four(3).collect(),
        grain: Grain::Transition,
        kills: 1,
        give_ups: 0,
    },
];

impl Suite {
    /// The searches, one a cast.
    pub(crate) fn searches(&self) -> impl Iterator<Item = Search> {
        (self.casts)().into_iter().map(move |notation| Search {
            cast: Cast::parse(&notation),
            grain: self.grain,
            kills: self.kills,
            give_ups: self.give_ups,
            fault: None,
            invariants: &invariants::ALL,
        })
    }
}

/// A parent and its child.
const PAIRS: [&str; 12] = [
    "Skw(S)", "Skw(E)", "Ekw(S)", "Ekw(E)", "Ekdw(S)", "Ekdw(E)", "Edkw(S)", "Edkw(E)", "SkEw(S)", "SkEw(E)",
    "SEdkw(S)", "SEdkw(E)",
];
/// A parent with two children, and a chain of three.
const TRIPLES: [&str; 14] = [
    "Skw(S)(E)",
    "Skw(E)(E)",
    "Skw(S)(S)",
    "Ekdw(S)(S)",
    "Ekdw(S)(E)",
    "Ekdw(E)(E)",
    "Skw(Skw(S))",
    "Skw(Skw(E))",
    "Skw(Ekw(S))",
    "Skw(Ekw(E))",
    "Ekdw(Skw(S))",
    "Ekdw(Skw(E))",
    "Ekdw(Ekw(S))",
    "Ekdw(Ekw(E))",
];
/// A parent with two children that upgrade.
const CROSSING: [&str; 3] = ["Skw(SE)(SE)", "Ekw(SE)(SE)", "Ekdw(SE)(SE)"];
/// A parent with three children, with a child and a child that has one, with a child that has two.
const FOURS: [&str; 28] = [
    "Skw(S)(E)(E)",
    "Skw(E)(E)(E)",
    "Ekdw(S)(S)(E)",
    "Ekdw(S)(E)(E)",
    "SkEw(S)(E)(E)",
    "SEdkw(S)(E)(E)",
    "Skw(Skw(E))(E)",
    "Skw(Ekw(S))(E)",
    "Skw(SkEw(E))(E)",
    "Skw(Edkw(E))(S)",
    "SkEw(Skw(E))(E)",
    "Ekdw(Skw(E))(S)",
    "Ekdw(Ekw(E))(E)",
    "Skw(Skw(E)(S))",
    "Skw(Skw(E)(E))",
    "Skw(Ekw(S)(E))",
    "Ekdw(Skw(E)(E))",
    "Ekdw(Ekw(S)(E))",
    "Skw(SE)(SE)(E)",
    "Ekw(SE)(SE)(S)",
    "Ekw(SE)(SE)(SE)",
    "Ekdw(SE)(SE)(E)",
    "SkEw(SE)(SE)(S)",
    "Skw(SEkw(E))(SE)",
    "Ekw(SEkw(E))(SE)",
    "Ekdw(SEkw(E))(SE)",
    "Ekw(Skw(E))(SE)",
    "Skw(Ekw(SE)(SE))",
];

/// Every unordered choice of two.
fn twice(trees: &[&str]) -> Vec<String> {
    let with = |i: usize| {
        trees[i..]
            .iter()
            .map(move |other| format!("{} {other}", trees[i]))
    };
    (0..trees.len()).flat_map(with).collect()
}

/// Every combination of one of each.
fn beside(trees: &[&str], others: &[&str]) -> Vec<String> {
    let with = |tree: &&str| {
        others
            .iter()
            .map(|other| format!("{tree} {other}"))
            .collect::<Vec<_>>()
    };
    trees.iter().flat_map(with).collect()
}

fn small() -> Vec<String> {
    let mut casts = twice(&ALONE);
    casts.extend(beside(&["Skw(E)", "Ekw(E)", "Edkw(S)", "Ekdw(E)"], &["S", "E"]));
    casts.push("Skw(E) Skw(E)".to_owned());
    casts
}

fn a_pair_and_a_stranger() -> Vec<String> {
    let mut casts = twice(&ALONE);
    casts.extend(beside(&PAIRS, &ALONE));
    casts
}

fn two_pairs() -> Vec<String> {
    twice(&PAIRS)
}

fn a_tree_and_a_stranger() -> Vec<String> {
    let mut casts = beside(&TRIPLES, &ALONE);
    casts.extend(beside(&CROSSING, &ALONE));
    casts
}

fn three_small_trees() -> Vec<String> {
    let mut casts = vec![];
    for strangers in twice(&["S", "E"]) {
        casts.extend(beside(
            &["S", "E", "SE", "Ed", "Skw(E)", "Ekdw(S)"],
            &[&strangers],
        ));
    }
    casts
}

fn a_pair_and_two_strangers() -> Vec<String> {
    beside(&PAIRS, &["S S", "S E", "E E"])
}

fn a_pair_and_two_of_whom_one_upgrades() -> Vec<String> {
    beside(&PAIRS, &["S SE", "E SE", "SE SE"])
}

fn a_pair_and_two_of_whom_one_downgrades() -> Vec<String> {
    beside(&PAIRS, &["S Ed", "E Ed", "SE Ed", "Ed Ed"])
}

fn a_tree_of_four() -> Vec<String> {
    FOURS.map(str::to_owned).to_vec()
}

fn a_tree_of_five() -> Vec<String> {
    let two = ["Skw(E)", "SEkw(E)", "SkEw(S)"];
    let below = |parent: &str| two.map(|pair| format!("{parent}({pair})({pair})"));
    ["Skw", "Ekw", "Ekdw"]
        .iter()
        .flat_map(|parent| below(parent))
        .collect()
}

fn three_deep() -> Vec<String> {
    beside(&TRIPLES, &["S", "E"])
}

fn tries_and_orphans() -> Vec<String> {
    let mut casts = twice(&["s", "e", "Se", "Sl", "El", "Eld", "E"]);
    casts.extend(beside(&["Sk(e)", "Elk(S)", "Slkw(E)", "Sk(Sk(E))"], &["e", "E"]));
    casts
}
