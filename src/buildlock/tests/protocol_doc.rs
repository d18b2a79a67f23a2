//! `docs/protocol.md` stays in step with the code: its sentences are numbered without gaps, and what each names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A numbered sentence: its number, and the names in its brackets.
struct Sentence {
    number: usize,
    held_by: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sentences() -> Vec<Sentence> {
    let path = root().join("docs/protocol.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let sentence = |line: &str| {
        let (number, rest) = line.strip_prefix('P')?.split_once(". ")?;
        let number = number.parse().ok()?;
        let held_by = rest
            .strip_suffix(']')
            .and_then(|rest| rest.rsplit_once(" ["))
            .map(|(_, names)| names);
        let held_by = held_by.unwrap_or_else(|| panic!("P{number} does not say in brackets what holds it"));
        Some(Sentence {
            number,
            held_by: held_by.split(", ").map(str::to_owned).collect(),
        })
    };
    text.lines().filter_map(sentence).collect()
}

/// The names of all tests of the repository, and of the model's invariants.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![root().join("src/buildlock"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources can be listed") {
            let path = entry.expect("a folder of sources can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = fs::read_to_string(&path).expect("sources are text");
                names.extend(tests_in(&source));
                if path.ends_with("model/invariants.rs") {
                    names.extend(constants_in(&source));
                }
            }
        }
    }
    names
}

/// The functions behind `#[test]`, with other attributes between.
fn tests_in(source: &str) -> Vec<String> {
    let mut tests = vec![];
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            tests.extend(rest.split_once('(').map(|(name, _)| name.to_owned()));
            is_test = false;
        }
    }
    tests
}

fn constants_in(source: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, kind) = line.strip_prefix("pub(crate) const ")?.split_once(": ")?;
        kind.starts_with("&str").then(|| name.to_owned())
    };
    source.lines().filter_map(name).collect()
}

#[test]
fn the_sentences_of_the_protocol_are_numbered_without_gaps() {
    let numbers: Vec<_> = sentences().iter().map(|s| s.number).collect();
    assert!(!numbers.is_empty());
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

#[test]
fn every_sentence_of_the_protocol_is_held_by_a_test_that_exists() {
    let names = names();
    let missing: Vec<_> = sentences()
        .into_iter()
        .flat_map(|s| s.held_by.into_iter().map(move |name| (s.number, name)))
        .filter(|(_, name)| !names.contains(name))
        .map(|(number, name)| format!("P{number} names `{name}`"))
        .collect();
    assert!(
        missing.is_empty(),
        "no test and no invariant is called so: {missing:#?}"
    );
}
