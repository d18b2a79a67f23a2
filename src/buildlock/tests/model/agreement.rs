//! Agreement with `rule_model.py`, the first search over the rule: on every cast that it knows, of the rule as it is and of
//! each fault that it can seed. `agreement.json` holds its verdicts; `agreement.py` writes it.
//!
//! The two share no code. `rule_model.py` knows neither files nor timeouts, so transitions are whole here, too.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cast::Cast;
use crate::faults::{Fault, RuleFault};
use crate::invariants;
use crate::search::Search;
use crate::steps::Grain;

/// `agreement.json`.
#[derive(Deserialize)]
struct Verdicts {
    /// What is seeded, by column; nothing in the first.
    faults: Vec<Option<String>>,
    /// A letter for each column: a dot where all is well.
    casts: BTreeMap<String, String>,
}

/// Compares the verdicts on the casts that `chosen` chooses, and returns how many.
fn compare(chosen: impl Fn(&Cast) -> bool) -> usize {
    let verdicts: Verdicts = serde_json::from_str(include_str!("agreement.json"))
        .expect("agreement.json is what agreement.py wrote");
    let faults: Vec<_> = verdicts
        .faults
        .iter()
        .map(|name| name.as_deref().map(by_name))
        .collect();
    let mut compared = 0;
    for (notation, letters) in &verdicts.casts {
        let cast = Cast::parse(notation);
        if !chosen(&cast) {
            continue;
        }
        for (fault, letter) in faults.iter().zip(letters.chars()) {
            let search = Search {
                cast: cast.clone(),
                grain: Grain::Transition,
                kills: 1,
                give_ups: 0,
                fault: *fault,
                invariants: &invariants::OF_RULE_MODEL,
            };
            let broken = search.run().broken;
            assert_eq!(
                broken.is_empty(),
                letter == '.',
                "of `{notation}` with {fault:?}, rule_model.py says `{letter}`, and the model {broken:#?}"
            );
            compared += 1;
        }
    }
    compared
}

fn by_name(name: &str) -> Fault {
    let known = RuleFault::OF_RULE_MODEL.iter().find(|(n, _)| *n == name);
    Fault::Rule(known.expect("every fault of rule_model.py is known").1)
}

#[test]
fn the_model_agrees_with_rule_model_py_on_its_casts_of_up_to_four() {
    let compared = compare(|cast| cast.members.len() <= 4);
    println!("{compared} verdicts agree");
    assert_eq!(compared, 260 * 7);
}

#[test]
#[ignore = "takes minutes; part of the long searches"]
fn the_model_agrees_with_rule_model_py_on_its_casts_of_five() {
    let compared = compare(|cast| cast.members.len() == 5);
    println!("{compared} verdicts agree");
    assert_eq!(compared, 232 * 7);
}

#[test]
#[ignore = "takes minutes; part of the long searches"]
fn the_model_agrees_with_rule_model_py_on_its_casts_of_six() {
    let compared = compare(|cast| cast.members.len() == 6);
    println!("{compared} verdicts agree");
    assert_eq!(compared, 156 * 7);
}
