//! Kills: of builds, and of compilers inside a build.

use std::process::Command;

use process_tests::tokens::{Build, Load};
use rustix::process::{Pid, Signal, kill_process};

use crate::site;

const HUNGRY: Load = Load {
    workers: 16,
    length_ms: 4,
    count: 0,
};

#[test]
fn a_killed_builds_tokens_are_soon_the_survivors() {
    for style in [&[][..], &["--fifo"]] {
        let site = site(4);
        let _survivor = site.build("survivor", style, HUNGRY);
        let mut took = Vec::new();
        for round in 0..10 {
            let name = format!("victim{round}");
            let victim = site.build(&name, style, HUNGRY);
            site.until_started(&name, 10);
            let killed = victim.kill();
            let back = || site.log().ms_until("survivor", 4, killed);
            site.until("the survivor has all", || back().is_some());
            took.push(back().unwrap());
            let pool = site.snapshot();
            assert_eq!(pool.entries.len(), 1, "{pool:#?}");
            assert_eq!(pool.free + pool.entries[0].lease.held, 4, "{pool:#?}");
        }
        // On a machine that is busy with other things most may well take longer.
        took.sort_by(f64::total_cmp);
        println!("the survivor had all after {took:.1?} ms {style:?}");
        assert!(took[2] < 100.0, "{took:.1?} ms {style:?}");
    }
}

#[test]
fn a_plain_shared_jobserver_loses_the_tokens_of_killed_clients() {
    let site = site(4);
    let shared = jobserver::Client::new(4).unwrap();
    for round in 0..10 {
        let mut words = site.jobs(&format!("victim{round}"), HUNGRY).into_iter();
        let mut command = Command::new(words.next().unwrap());
        shared.configure_make(command.args(words));
        let victim = Build::start(&mut command);
        site.until_started(&format!("victim{round}"), 10);
        victim.kill();
    }
    let left = shared.available().unwrap();
    assert!(left < 4, "nothing was lost: the test of the pool shows nothing");
}

#[test]
fn what_killed_compilers_lose_is_back_when_their_build_ends() {
    let site = site(4);
    // A shell that starts a client, is told by a line that it may kill it, and then ends.
    let script = "\"$@\" & echo $!; read line; exit 0";
    let mut command = site.pooled(&[]);
    command
        .args(["sh", "-c", script, "sh"])
        .args(site.jobs("lossy", HUNGRY));
    command.stdin(std::process::Stdio::piped());
    let mut build = Build::start(&mut command);
    build.expect("joined");
    let compiler = build.line().parse().ok().and_then(Pid::from_raw).unwrap();
    site.until("all tokens are out", || site.log().most_at_once() == 4);
    kill_process(compiler, Signal::KILL).unwrap();
    assert!(
        site.snapshot().free < 3,
        "some of what the compiler held must be missing"
    );
    build.close_stdin();
    assert!(build.wait().success());
    let pool = site.snapshot();
    assert_eq!((pool.free, pool.entries.len()), (4, 0), "{pool:#?}");
}

#[test]
fn a_stopped_build_keeps_its_tokens_and_the_others_go_on() {
    let site = site(4);
    let stopped = site.build("stopped", &[], HUNGRY);
    let _other = site.build("other", &[], HUNGRY);
    site.until_started("other", 40);
    stopped.signal(Signal::STOP);
    site.until_started("other", 40);
    stopped.signal(Signal::CONT);
    site.until_started("stopped", 10);
    assert!(site.log().most_at_once() <= 4);
}

#[test]
fn the_fifo_of_a_killed_build_is_swept_away() {
    let site = site(2);
    let killed = site.build("killed", &["--fifo"], HUNGRY);
    let fifos = || {
        let listed = std::fs::read_dir(site.path().join("pool")).unwrap();
        listed
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|x| x == "fifo")
            })
            .count()
    };
    assert_eq!(fifos(), 1);
    killed.kill();
    // The first look sees the dead and removes its registration, the second what that left behind.
    site.until("it is swept", || {
        site.snapshot().entries.is_empty() && fifos() == 0
    });
}

#[test]
fn a_hundred_short_builds_leave_nothing_behind() {
    let site = site(2);
    for _ in 0..100 {
        let mut command = site.pooled(&[]);
        assert!(Build::start(command.arg("true")).wait().success());
    }
    let files = std::fs::read_dir(site.path().join("pool")).unwrap().count();
    assert_eq!(files, 1, "only the gate stays");
    assert!(site.snapshot().entries.is_empty());
}
