//! What the broker costs: its own time while building and while idle, and a build's time with and without it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use buildlock::tokens::capacity_of_this_process;
use process_tests::tokens::{Build, Load};

use crate::{builds, quantile, rounds, site};

/// How long to watch a broker.
const WHILE: Duration = Duration::from_secs(5);

pub(crate) fn run() {
    let processors = capacity_of_this_process();
    let busy = Load {
        workers: processors + 4,
        length_ms: 50,
        count: 0,
    };
    println!("cost of the broker, in per cent of one processor");
    for (style, options) in [("pipe", &[][..]), ("fifo", &["--fifo"])] {
        let alone = site(processors);
        let build = alone.build("a", options, busy);
        println!("  {style}, busy, alone: {:.3} %", cost(&build));
        let other = alone.build("b", options, busy);
        println!("  {style}, busy, beside another: {:.3} %", cost(&build));
        drop((build, other));
        let idle = site(processors);
        let mut command = idle.pooled(options);
        let mut build = Build::start(command.arg("cat").stdin(Stdio::piped()));
        build.expect("joined");
        // Until it has seen that nothing is asked for.
        std::thread::sleep(Duration::from_secs(10));
        println!("  {style}, idle: {:.3} %", cost(&build));
    }
    let site = site(processors);
    let root = site.path().join("one");
    builds::write(&root);
    let plain = || builds::plain();
    let pooled = || {
        let mut command = site.pooled(&["--stop-compilers"]);
        command.arg("cargo");
        command
    };
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..rounds() {
        // Each round begins with the other one: what comes second may meet warmer caches.
        for turn in 0..2 {
            let way = (round + turn) % 2;
            let command = if way == 0 { plain() } else { pooled() };
            let seen = builds::watch(site.path(), vec![builds::cargo(command, &root)]);
            took[way].push(seen.took.as_secs_f64());
        }
    }
    let ratios: Vec<_> = took[0]
        .iter()
        .zip(&took[1])
        .map(|(plain, pooled)| pooled / plain)
        .collect();
    let [plain, pooled] = took.map(|took| quantile(&took, 0.5));
    println!(
        "  one build: {plain:.2} s plain, {pooled:.2} s in the pool; {:+.1} % ({:+.1} to {:+.1}), medians of {} pairs",
        (quantile(&ratios, 0.5) - 1.0) * 100.0,
        (quantile(&ratios, 0.0) - 1.0) * 100.0,
        (quantile(&ratios, 1.0) - 1.0) * 100.0,
        rounds()
    );
}

/// What a build's own process, which does nothing but to run the broker, uses.
fn cost(build: &Build) -> f64 {
    let (start, before) = (Instant::now(), build.own_time());
    std::thread::sleep(WHILE);
    let used = build.own_time() - before;
    used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0
}
