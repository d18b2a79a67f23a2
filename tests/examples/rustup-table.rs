//! Plays what goes wrong around one rustup, with and without shims, and prints how often it does.
//!
//! `cargo run --package process-tests --example rustup-table [ROUNDS [NAME]]`: only what has NAME in its name, if it is given.

#![expect(clippy::print_stdout, reason = "a table is what this is for")]

#[cfg(unix)]
fn main() {
    use process_tests::rustup::{Home, SCENARIOS, Stands, installed};

    if installed().is_none() {
        println!("skipped: no rustup is installed");
        return;
    }
    let rounds: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    let named = std::env::args().nth(2).unwrap_or_default();
    println!("failed rounds of {rounds}\n");
    println!("| scenario | rustup alone | with shims |\n| --- | ---: | ---: |");
    let mut reasons = Vec::new();
    for scenario in SCENARIOS.iter().filter(|s| s.name.contains(&named)) {
        let failures = [Stands::Nothing, Stands::Shims].map(|stands| {
            let failed = (0..rounds).filter_map(|_| (scenario.play)(&Home::new(stands)).err());
            let failed: Vec<_> = failed.collect();
            if let Some(first) = failed.first() {
                reasons.push(format!("{}, {stands:?}: {first}", scenario.name));
            }
            failed.len()
        });
        println!("| {} | {} | {} |", scenario.name, failures[0], failures[1]);
    }
    println!("\nThe first failure of each:\n");
    for reason in reasons {
        println!("{reason}\n");
    }
}

#[cfg(not(unix))]
fn main() {
    println!("skipped: the tools of these releases are shell scripts");
}
