//! Two real builds: side by side in one pool, side by side each for itself, with one plain jobserver, and in turn.

use std::process::Command;

use buildlock::tokens::capacity_of_this_process;
use process_tests::tokens::Site;

use crate::builds::{self, Seen};
use crate::{quantile, rounds, site};

const WAYS: [&str; 4] = ["pool", "each -j", "one jobserver", "in turn"];

pub(crate) fn run() {
    let processors = capacity_of_this_process();
    let site = site(processors);
    let roots = ["one", "two"].map(|name| site.path().join(name));
    roots.iter().for_each(|root| builds::write(root));
    let mut all: [Vec<Seen>; 4] = Default::default();
    for round in 0..rounds() {
        // Each round begins with another way, so that none is always the one that meets a warm or a busy machine.
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            all[way].push(measure(&site, &roots, way, processors));
        }
        // Rounds that were measured apart, because each takes a minute, can be put together.
        let took = all
            .iter()
            .map(|seen| format!("{:.2}", seen[round].took.as_secs_f64()));
        println!("  round {round}: {} s", took.collect::<Vec<_>>().join(" "));
    }
    println!(
        "makespan: two builds on {processors} processors, medians of {} rounds",
        rounds()
    );
    for (name, seen) in WAYS.iter().zip(&all) {
        // In pairs, so that what changes from round to round does not matter.
        let ratios = all[0]
            .iter()
            .zip(seen)
            .map(|(pool, seen)| seen.took.as_secs_f64() / pool.took.as_secs_f64());
        println!(
            "  {name:<14} {:>6.2} s ({:+.1} % beside the pool, median of pairs), at most {} compilers, {} MiB",
            median_s(seen),
            (quantile(&ratios.collect::<Vec<_>>(), 0.5) - 1.0) * 100.0,
            seen.iter().map(|s| s.compilers_max).max().unwrap_or(0),
            seen.iter().map(|s| s.memory_mib_max).max().unwrap_or(0),
        );
    }
}

fn median_s(seen: &[Seen]) -> f64 {
    let took: Vec<_> = seen.iter().map(|s| s.took.as_secs_f64()).collect();
    quantile(&took, 0.5)
}

fn measure(site: &Site, roots: &[std::path::PathBuf; 2], way: usize, processors: u32) -> Seen {
    let both = |make: &dyn Fn() -> Command| {
        roots
            .iter()
            .map(|root| builds::cargo(make(), root))
            .collect::<Vec<_>>()
    };
    let watch = |commands| builds::watch(site.path(), commands);
    match WAYS[way] {
        "pool" => watch(both(&|| {
            let mut command = site.pooled(&["--stop-compilers"]);
            command.arg("cargo");
            command
        })),
        "one jobserver" => {
            // Each build has one job that it never asks for.
            let shared =
                jobserver::Client::new(processors.saturating_sub(2).max(1) as usize).expect("a jobserver");
            watch(both(&|| {
                let mut command = builds::plain();
                shared.configure_make(&mut command);
                command
            }))
        }
        "in turn" => {
            let mut sum = Seen::default();
            for command in both(&builds::plain) {
                let seen = watch(vec![command]);
                sum.took += seen.took;
                sum.compilers_max = sum.compilers_max.max(seen.compilers_max);
                sum.memory_mib_max = sum.memory_mib_max.max(seen.memory_mib_max);
            }
            sum
        }
        _ => watch(both(&builds::plain)),
    }
}
