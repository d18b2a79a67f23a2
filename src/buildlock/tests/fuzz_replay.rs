//! Replays the corpus of the fuzz targets, as it is and with random changes, without a fuzzer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../fuzz/properties.rs"]
mod properties;

/// Holds a property against every file of a corpus, and against `changed` random changes of each, from a fixed seed.
#[track_caller]
fn replay(target: &str, changed: u64, property: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus)
        .expect("a corpus")
        .map(|entry| entry.expect("a file of the corpus").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    let originals: Vec<_> = files
        .iter()
        .map(|file| fs::read(file).expect("a file of the corpus"))
        .collect();
    for (original, file) in originals.iter().zip(&files) {
        hold(property, original, &file.display().to_string());
        for seed in 0..changed {
            let bytes = change(original, &originals, seed);
            hold(
                property,
                &bytes,
                &format!("{}, changed with seed {seed}", file.display()),
            );
        }
    }
}

#[track_caller]
fn hold(property: fn(&[u8]), bytes: &[u8], what: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| property(bytes)));
    assert!(held.is_ok(), "{what}: {:?}", String::from_utf8_lossy(bytes));
}

/// Some bytes changed, removed, doubled, or taken from another file.
fn change(original: &[u8], others: &[Vec<u8>], seed: u64) -> Vec<u8> {
    // Spread out: after a small seed the first numbers would be small, too.
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut chance = move |end: usize| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end.max(1) as u64) as usize
    };
    let mut bytes = original.to_vec();
    for _ in 0..=chance(4) {
        let at = chance(bytes.len());
        let end = (at + chance(16)).min(bytes.len());
        match chance(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance(8),
            1 if !bytes.is_empty() => bytes[at] = b"0123456789{}[]\",:;=\n\x00\xff"[chance(22)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(at),
            _ => {
                let other = &others[chance(others.len())];
                let from = chance(other.len());
                bytes.splice(
                    at..end,
                    other[from..(from + chance(64)).min(other.len())].iter().copied(),
                );
            }
        }
    }
    bytes
}

#[test]
fn any_bytes_of_a_gate_file() {
    replay("gate", 3000, properties::gate);
}

#[test]
fn any_bytes_of_a_record_file() {
    replay("record", 2000, properties::record);
}

#[test]
fn any_text_in_the_environment() {
    replay("environment", 2000, properties::environment);
}

#[test]
fn any_folder() {
    replay("folder", 60, properties::folder);
}
