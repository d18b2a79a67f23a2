//! The pool on Windows, where a jobserver is a named semaphore.

use std::process::Command;

use process_tests::tokens::{Build, Load};

use crate::site;

#[test]
fn two_builds_together_run_no_more_jobs_than_one_and_without_the_pool_twice_as_many() {
    let pooled = site(4);
    let load = Load {
        workers: 8,
        length_ms: 20,
        count: 40,
    };
    for build in ["a", "b"].map(|name| pooled.build(name, &[], load)) {
        assert!(build.wait().success());
    }
    assert_eq!(pooled.log().most_at_once(), 4);
    assert_eq!(pooled.snapshot().entries.len(), 0);

    let apart = site(4);
    let builds = ["a", "b"].map(|name| {
        let own = jobserver::Client::new(3).unwrap();
        let mut words = apart.jobs(name, load).into_iter();
        let mut command = Command::new(words.next().unwrap());
        own.configure(command.args(words));
        (Build::start(&mut command), own)
    });
    for (build, _own) in builds {
        assert!(build.wait().success());
    }
    assert!(apart.log().most_at_once() > 4, "this shows nothing");
}

#[test]
fn the_tokens_of_a_killed_build_come_back() {
    let site = site(4);
    let endless = Load {
        workers: 8,
        length_ms: 20,
        count: 0,
    };
    let [killed, survivor] = ["killed", "survivor"].map(|name| site.build(name, &[], endless));
    site.until_started("killed", 4);
    site.until_started("survivor", 4);
    killed.kill();
    site.until("the survivor has all", || {
        site.log().most_at_once_of("survivor") == 4
    });
    assert_eq!(site.snapshot().entries.len(), 1);
    survivor.kill();
}
