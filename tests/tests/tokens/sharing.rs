//! How many jobs run at once, and whose.

use std::process::Command;

use process_tests::clock::now_ns;
use process_tests::tokens::{Build, Load, Site};

use crate::site;

const STYLES: [&[&str]; 2] = [&[], &["--fifo"]];

fn endless(workers: u32) -> Load {
    Load {
        workers,
        length_ms: 8,
        count: 0,
    }
}

/// Watches the builds until for a while each has as many jobs running on average as it should: at once on a machine that
/// does nothing else, and never if the pool is divided in another way.
#[track_caller]
fn settles<const N: usize>(site: &Site, shares: [(&str, f64); N]) {
    let means = || {
        let from = now_ns();
        for (name, _) in shares {
            site.until_started(name, 60);
        }
        let (to, log) = (now_ns(), site.log());
        shares.map(|(name, share)| (log.mean(name, from, to), share))
    };
    let mut seen = Vec::new();
    for _ in 0..50 {
        let means = means();
        if means.iter().all(|&(mean, share)| near(mean, share)) {
            return;
        }
        seen.push(means.map(|(mean, _)| mean));
    }
    panic!("{shares:?} were never seen: {seen:.1?}");
}

fn near(mean: f64, ideal: f64) -> bool {
    (mean - ideal).abs() <= ideal * 0.1
}

#[test]
fn two_builds_together_run_no_more_jobs_than_one() {
    for style in STYLES {
        let site = site(4);
        let load = Load {
            workers: 8,
            length_ms: 5,
            count: 60,
        };
        let builds = ["a", "b"].map(|name| site.build(name, style, load));
        assert!(
            builds
                .map(Build::wait)
                .iter()
                .all(std::process::ExitStatus::success)
        );
        let log = site.log();
        assert_eq!(log.most_at_once(), 4, "{style:?}");
        assert_eq!(site.snapshot().entries.len(), 0);
    }
}

#[test]
fn without_the_pool_two_builds_run_twice_as_many() {
    let site = site(4);
    let _alone = ["a", "b"].map(|name| {
        let own = jobserver::Client::new(3).unwrap();
        let mut words = site.jobs(name, endless(8)).into_iter();
        let mut command = Command::new(words.next().unwrap());
        own.configure_make(command.args(words));
        (Build::start(&mut command), own)
    });
    site.until("as many run as both have tokens for", || {
        site.log().most_at_once() == 8
    });
}

#[test]
fn a_build_alone_gets_the_whole_pool() {
    for style in STYLES {
        let site = site(6);
        let _build = site.build("a", style, endless(10));
        site.until("all are used", || site.log().most_at_once() == 6);
    }
}

#[test]
fn one_that_waits_gets_as_much_as_sixteen_that_wait() {
    for style in STYLES {
        let site = site(4);
        let _few = site.build("few", style, endless(2));
        let _many = site.build("many", style, endless(17));
        settles(&site, [("few", 2.0), ("many", 2.0)]);
        assert!(site.log().most_at_once() <= 4);
    }
}

#[test]
fn weights_divide_the_pool() {
    for style in STYLES {
        let site = site(8);
        let with = |weight| {
            ["--weight", weight]
                .into_iter()
                .chain(style.iter().copied())
                .collect::<Vec<_>>()
        };
        let (heavy, light) = (with("2"), with("1"));
        let _builds = [
            site.build("heavy", &heavy, endless(16)),
            site.build("light", &light, endless(16)),
            site.build("other", &light, endless(16)),
        ];
        settles(&site, [("heavy", 4.0), ("light", 2.0), ("other", 2.0)]);
        assert!(site.log().most_at_once() <= 8);
    }
}

#[test]
fn a_build_holds_no_more_than_its_jobs() {
    let site = site(6);
    let _build = site.build("a", &["--jobs-max", "2"], endless(10));
    site.until_started("a", 100);
    assert_eq!(site.log().most_at_once(), 2);
}

#[test]
fn who_arrives_at_a_full_pool_gets_a_further_token_within_a_jobs_length() {
    for style in STYLES {
        let site = site(4);
        let load = Load {
            length_ms: 200,
            ..endless(16)
        };
        let _old = site.build("old", style, load);
        site.until("the pool is full", || site.log().most_at_once() == 4);
        let arrive = |n: u32| {
            let name = format!("new{n}");
            site.until_started("old", 8);
            let _new = site.build(&name, style, load);
            site.until("it runs two jobs", || site.log().most_at_once_of(&name) >= 2);
            let log = site.log();
            log.ms_until(&name, 2, log.first_ns(&name).unwrap()).unwrap()
        };
        // From a fifo the broker does not get every token that comes back, as the children read from it, too; and the machine
        // may be busy.
        let took: Vec<_> = (0..6).map(arrive).take_while(|&ms| ms > 250.0).collect();
        assert!(took.len() < 6, "{took:.0?} ms {style:?}");
    }
}
