//! How long commands take beside each other, for the benchmarks.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a command that must succeed.
///
/// # Panics
/// If it does not.
pub fn time(command: &mut Command) -> Duration {
    let start = Instant::now();
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
    start.elapsed()
}

/// Plays the commands in turn, so that a busy moment meets all of them, and prints a table: what each takes, and over the first.
/// `ROUNDS=n` in the environment sets how often; `rounds` unless set.
///
/// # Panics
/// If one of them fails.
pub fn print(commands: &mut [(&str, Command)], rounds: usize) {
    let set = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok());
    let rounds = set.unwrap_or(rounds);
    let mut times = vec![Vec::new(); commands.len()];
    for _ in 0..rounds {
        for ((_, command), times) in commands.iter_mut().zip(&mut times) {
            times.push(time(command).as_secs_f64() * 1e3);
        }
    }
    for times in &mut times {
        times.sort_unstable_by(f64::total_cmp);
    }
    let at = |times: &[f64], percent: usize| times[(times.len() - 1) * percent / 100];
    let (first, base) = (commands[0].0, at(&times[0], 50));
    println!("| command | p10 ms | p50 ms | p90 ms | over {first} | times {first} |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for ((name, _), times) in commands.iter().zip(&times) {
        let [p10, p50, p90] = [10, 50, 90].map(|percent| at(times, percent));
        println!(
            "| {name} | {p10:.2} | {p50:.2} | {p90:.2} | {:.2} | {:.1} |",
            p50 - base,
            p50 / base
        );
    }
}
