//! A build is killed two hundred times while another goes on; and the same with one plain jobserver for both.

use std::process::Command;

use process_tests::tokens::{Build, Load};

use crate::{quantile, site};

/// Logs are read often, so each holds only so many kills.
const BATCHES: usize = 20;
const KILLS: usize = 10;
const CAPACITY: u32 = 8;
const HUNGRY: Load = Load {
    workers: 16,
    length_ms: 4,
    count: 0,
};

pub(crate) fn run() {
    for (style, options) in [("pipe", &[][..]), ("fifo", &["--fifo"])] {
        let took: Vec<_> = (0..BATCHES).flat_map(|_| recoveries(options)).collect();
        let at = |part| quantile(&took, part);
        println!(
            "storm, {style}: {} kills, all tokens accounted for after each; survivor at full capacity after p50 {:.1} ms, \
             p99 {:.1} ms, max {:.1} ms",
            took.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    let shared = jobserver::Client::new(CAPACITY as usize).expect("a jobserver");
    let left: Vec<_> = (0..BATCHES).map(|_| left_of(&shared)).collect();
    println!("storm, one plain jobserver of {CAPACITY} for all: tokens left after each ten kills: {left:?}");
}

/// How long the survivor took, after each kill, to run as many jobs as there are tokens; in milliseconds.
fn recoveries(options: &[&str]) -> Vec<f64> {
    let site = site(CAPACITY);
    let _survivor = site.build("survivor", options, HUNGRY);
    let recover = |round| {
        let name = format!("victim{round}");
        let victim = site.build(&name, options, HUNGRY);
        site.until_started(&name, 10);
        let killed = victim.kill();
        let back = || site.log().ms_until("survivor", CAPACITY.cast_signed(), killed);
        site.until("the survivor has all", || back().is_some());
        let pool = site.snapshot();
        let held: u32 = pool.entries.iter().map(|e| e.lease.held).sum();
        assert_eq!((pool.entries.len(), pool.free + held), (1, CAPACITY), "{pool}");
        back().expect("a recovery")
    };
    (0..KILLS).map(recover).collect()
}

/// Kills clients of a plain jobserver, and returns how many tokens are left in it.
fn left_of(shared: &jobserver::Client) -> usize {
    let site = site(CAPACITY);
    for round in 0..KILLS {
        let name = format!("victim{round}");
        let mut words = site.jobs(&name, HUNGRY).into_iter();
        let mut command = Command::new(words.next().expect("a program"));
        shared.configure_make(command.args(words));
        let victim = Build::start(&mut command);
        site.until_started(&name, 10);
        victim.kill();
    }
    shared.available().expect("an answer")
}
