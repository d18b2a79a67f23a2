//! Children that go on writing when the process that registered is gone.
#![cfg(unix)]

use buildlock::Mode::{Exclusive, Shared};
use buildlock::Process;
use process_tests::holder::{Bond, Patience};
use process_tests::scene::{play, play_with_control};

use crate::HOLDER;

#[test]
fn a_killed_holder_counts_as_alive_while_a_child_that_was_lent_its_lock_runs() {
    play_with_control(HOLDER, |scene| {
        let (driver, next) = (scene.start("driver"), scene.start("next"));
        let held = driver.acquire(Exclusive).expect_granted_at_once();
        let cargo = driver.start_child("cargo", Bond::Lent);
        driver.kill();
        assert_eq!(next.acquire(Exclusive).expect_waiting(), Some(held.ticket));
        let snapshot = scene.snapshot();
        assert_eq!(snapshot.entries[0].ticket.0, held.ticket);
        assert_eq!(snapshot.entries[0].process, Process::Gone);
        let writers: Vec<_> = snapshot.entries[0].writers.iter().map(|w| w.pid).collect();
        assert_eq!(writers, [cargo.pid()]);
        assert_eq!(snapshot.entries[1].process, Process::Running);
        let said = format!(
            "session {}: driver gone, still written to by holder (pid {})\n",
            held.ticket,
            cargo.pid()
        );
        assert!(snapshot.to_string().ends_with(&said), "{snapshot}");
        cargo.kill();
        assert_eq!(next.expect_granted().unfinished.as_deref(), Some("driver"));
        assert_eq!(
            scene.holds(),
            ["driver granted", "driver killed", "cargo killed", "next granted"]
        );
    });
}

#[test]
fn a_killed_holder_whose_child_only_bears_its_name_is_gone_at_once() {
    play_with_control(HOLDER, |scene| {
        let (driver, next) = (scene.start("driver"), scene.start("next"));
        driver.acquire(Exclusive).expect_granted_at_once();
        let _program = driver.start_child("program", Bond::Named);
        next.acquire(Exclusive).expect_waiting();
        driver.kill();
        next.expect_granted();
    });
}

#[test]
fn a_daemon_that_was_lent_the_lock_does_not_hold_a_session_that_was_released() {
    play(HOLDER, |scene| {
        let (driver, next) = (scene.start("driver"), scene.start("next"));
        driver.acquire(Exclusive).expect_granted_at_once();
        let daemon = driver.start_child("daemon", Bond::Lent);
        driver.release();
        next.acquire(Exclusive).expect_granted_at_once();
        // It is alive still: it answers.
        daemon.acquire_within(Shared, Patience::None).expect_refused();
    });
}

#[test]
fn breaking_an_orphaned_session_lets_the_next_in() {
    play_with_control(HOLDER, |scene| {
        let (driver, next) = (scene.start("driver"), scene.start("next"));
        let held = driver.acquire(Exclusive).expect_granted_at_once();
        let _cargo = driver.start_child("cargo", Bond::Lent);
        driver.kill();
        next.acquire(Exclusive).expect_waiting();
        let broken = scene
            .registry()
            .break_session(buildlock::Ticket(held.ticket))
            .unwrap();
        assert_eq!(broken.unwrap().record.unwrap().label, "driver");
        assert_eq!(next.expect_granted().unfinished.as_deref(), Some("driver"));
    });
}
