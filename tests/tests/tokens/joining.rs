//! First tokens, idle builds, nesting, and opinions about the capacity.

use std::process::{Command, Stdio};

use buildlock::tokens::{Joining, MemoryLimits, TokenPool};
use buildlock::{Cancel, ErrorKind, Timeout};
use process_tests::tokens::{Build, Load, Site};

use crate::site;

/// A build whose child waits until its stdin is closed.
fn idle(site: &Site, options: &[&str]) -> Build {
    let mut command = site.pooled(options);
    command.args(["cat"]).stdin(Stdio::piped());
    Build::start(&mut command)
}

#[test]
fn with_more_builds_than_tokens_the_later_ones_wait_in_order() {
    let site = site(2);
    let mut first = [idle(&site, &[]), idle(&site, &[])];
    for build in &mut first {
        build.expect("joined");
    }
    let mut later = Vec::new();
    for n in 3..=5 {
        later.push(idle(&site, &[]));
        site.until("it has registered", || site.snapshot().entries.len() == n);
    }
    assert!(site.snapshot().entries[2..].iter().all(|e| e.lease.held == 0));
    let waiting = || {
        site.snapshot()
            .entries
            .iter()
            .filter(|e| e.lease.held == 0)
            .count()
    };
    let mut holding: Vec<_> = first.into();
    for (n, mut next) in later.into_iter().enumerate() {
        holding.remove(0).kill();
        next.expect("joined");
        assert_eq!(waiting(), 2 - n, "only the first in line got it");
        holding.push(next);
    }
}

#[test]
fn a_build_whose_child_starts_nothing_holds_one_token() {
    let site = site(4);
    let mut build = idle(&site, &[]);
    build.expect("joined");
    let holding = || site.snapshot().entries[0].lease.held;
    site.until("a spare is lent for trial", || holding() == 2);
    site.until("and is back", || holding() == 1);
    let looks: Vec<_> = (0..200)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            holding()
        })
        .collect();
    let spare = looks.iter().filter(|&&held| held > 1).count();
    assert!(spare < 120 && looks.iter().all(|&held| held <= 2), "{looks:?}");
}

#[test]
fn a_nested_build_uses_the_server_of_the_one_around_it() {
    for style in [&[][..], &["--fifo"]] {
        let site = site(2);
        let mut nested = site.pooled(style);
        nested.args(["cat"]);
        let mut command = site.pooled(style);
        command
            .arg(nested.get_program())
            .args(nested.get_args())
            .stdin(Stdio::piped());
        let mut build = Build::start(&mut command);
        build.expect("joined");
        build.expect("joined");
        assert_eq!(site.snapshot().entries.len(), 1);
        build.close_stdin();
        assert!(build.wait().success());
    }
}

#[test]
fn a_nested_build_that_does_not_see_the_server_is_the_one_job_of_the_build_around_it() {
    for style in [&[][..], &["--fifo"]] {
        let site = site(1);
        let nested = site.pooled(style);
        let mut command = site.pooled(style);
        command.args(["env", "-u", "MAKEFLAGS", "-u", "CARGO_MAKEFLAGS"]);
        command
            .arg(nested.get_program())
            .args(nested.get_args())
            .arg("cat")
            .stdin(Stdio::piped());
        let mut build = Build::start(&mut command);
        build.expect("joined");
        build.expect("joined");
        assert_eq!(site.snapshot().entries.len(), 1);
        build.close_stdin();
        assert!(build.wait().success());
        assert_eq!(
            std::fs::read_dir(site.pool().path()).unwrap().count(),
            1,
            "only the gate stays"
        );
    }
}

#[test]
fn a_broken_outer_jobserver_is_reported_and_not_obeyed() {
    let site = site(2);
    for broken in [
        "--jobserver-auth=977,978",
        "--jobserver-auth=fifo:/nowhere/fifo",
        "--jobserver-auth=0,1",
    ] {
        let mut command = site.pooled(&[]);
        let file = std::fs::File::open("/dev/null").unwrap();
        command
            .args(["sh", "-c", "echo $MAKEFLAGS"])
            .env("MAKEFLAGS", broken)
            .stdin(file);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert!(
            err.starts_with("broken: the jobserver in MAKEFLAGS"),
            "{broken}: {err}"
        );
        assert!(
            out.contains("--jobserver-auth=") && !out.contains(broken),
            "{broken}: {out}"
        );
    }
}

#[test]
fn a_jobserver_whose_server_is_gone_is_broken() {
    let site = site(2);
    let (read, write) = std::io::pipe().unwrap();
    let mut probe = site.pooled(&[]);
    probe.args(["true"]).stdin(read);
    drop(write);
    let output = probe.env("MAKEFLAGS", "--jobserver-auth=0,1").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("no process serves its pipe any more"), "{err}");
}

#[test]
fn the_first_fixes_the_capacity_and_the_others_are_told() {
    let site = site(3);
    let _first = site.build(
        "first",
        &[],
        Load {
            workers: 8,
            length_ms: 5,
            count: 0,
        },
    );
    let other = TokenPool::open(site.pool().path(), 8).unwrap();
    let member = other.join(Joining::new("other")).unwrap();
    assert_eq!(member.other_capacity(), Some(3));
    assert_eq!(other.snapshot(&MemoryLimits::OFF).unwrap().capacity, 3);
    let agreeing = site.pool().join(Joining::new("agreeing")).unwrap();
    assert_eq!(agreeing.other_capacity(), None);
}

#[test]
fn of_a_larger_pool_a_build_takes_no_more_than_it_would_have_had_itself() {
    let site = site(8);
    let _first = site.pool().join(Joining::new("first")).unwrap();
    let small = TokenPool::open(site.pool().path(), 2).unwrap();
    let mut member = small
        .join(Joining::new("small").memory_limits(MemoryLimits::OFF))
        .unwrap();
    assert_eq!(member.other_capacity(), Some(8));
    assert_eq!(member.lease_up_to(8).unwrap(), 2);
}

#[test]
fn waiting_for_a_token_times_out_and_can_be_cancelled_and_says_for_whom() {
    let site = site(1);
    let holder = site.pool().join(Joining::new("holder")).unwrap();
    let error = site
        .pool()
        .join(Joining::new("late").timeout(Timeout::AtOnce))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.holder().unwrap().label, "holder");
    assert!(
        error
            .to_string()
            .starts_with("timed out waiting for a token: all 1 are in use by "),
        "{error}"
    );
    let cancel = Cancel::new();
    let mut told = None;
    let joining = Joining::new("late")
        .notice_after(std::time::Duration::ZERO)
        .cancel(&cancel)
        .on_wait(|wait| {
            told = Some(wait.clone());
            cancel.cancel();
        });
    assert_eq!(
        site.pool().join(joining).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    let told = told.unwrap();
    assert_eq!((told.capacity, told.ahead, told.holders.len()), (1, 0, 1));
    assert_eq!(site.snapshot().entries.len(), 1, "those that gave up are gone");
    holder.leave().unwrap();
    assert!(
        site.pool()
            .join(Joining::new("next").timeout(Timeout::AtOnce))
            .is_ok()
    );
}

#[test]
fn the_users_own_flags_for_make_survive() {
    let site = site(2);
    let mut command: Command = site.pooled(&[]);
    command
        .args(["sh", "-c", "echo $MAKEFLAGS"])
        .env("MAKEFLAGS", "k -j9 -- CC=gcc");
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let flags = out.lines().nth(1).unwrap();
    assert!(
        flags.starts_with("k -j --jobserver-auth=") && flags.ends_with(" -- CC=gcc"),
        "{flags}"
    );
}

#[test]
fn a_builds_own_threads_are_leased_at_once_and_up_to_its_share() {
    let site = site(4);
    let pool = site.pool();
    let mut alone = pool
        .join(Joining::new("alone").memory_limits(MemoryLimits::OFF))
        .unwrap();
    assert_eq!(alone.lease_up_to(3).unwrap(), 3);
    assert_eq!(site.snapshot().free, 1);
    let mut late = pool
        .join(Joining::new("late").memory_limits(MemoryLimits::OFF))
        .unwrap();
    assert_eq!(
        late.lease_up_to(4).unwrap(),
        1,
        "none is free, and what runs goes on"
    );
    alone.leave().unwrap();
    assert_eq!(late.lease_up_to(9).unwrap(), 4);
}
