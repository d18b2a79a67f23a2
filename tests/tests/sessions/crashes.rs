//! `kill -9`: no code of the victim runs, and nobody is left waiting for it.

use buildlock::Mode::{Exclusive, Shared};
use process_tests::scene::play_with_control;

use crate::HOLDER;

#[test]
fn killing_the_holder_wakes_the_next_in_line() {
    play_with_control(HOLDER, |scene| {
        let (holder, next, last) = (scene.start("holder"), scene.start("next"), scene.start("last"));
        holder.acquire(Exclusive).expect_granted_at_once();
        next.acquire(Exclusive).expect_waiting();
        last.acquire(Shared).expect_waiting();
        holder.kill();
        let grant = next.expect_granted();
        assert_eq!(grant.unfinished.as_deref(), Some("holder"));
        next.release();
        let grant = last.expect_granted();
        assert_eq!(grant.unfinished, None, "a clean end clears the mark");
        last.release();
        assert_eq!(scene.files(), ["gate"]);
    });
}

#[test]
fn killing_a_reader_leaves_no_mark() {
    play_with_control(HOLDER, |scene| {
        let (reader, mutator) = (scene.start("reader"), scene.start("mutator"));
        reader.acquire(Shared).expect_granted_at_once();
        mutator.acquire(Exclusive).expect_waiting();
        reader.kill();
        assert_eq!(mutator.expect_granted().unfinished, None);
    });
}

#[test]
fn waiters_that_are_killed_in_the_middle_of_the_queue_are_passed_over() {
    play_with_control(HOLDER, |scene| {
        let first = scene.start("first");
        first.acquire(Exclusive).expect_granted_at_once();
        let names: Vec<_> = (0..8).map(|n| format!("waiter {n}")).collect();
        let waiters: Vec<_> = names.iter().map(|name| scene.start(name)).collect();
        for waiter in &waiters {
            waiter.acquire(Exclusive).expect_waiting();
        }
        for victim in [3, 4, 0, 6] {
            waiters[victim].kill();
        }
        first.release();
        for survivor in [1, 2, 5, 7] {
            let grant = waiters[survivor].expect_granted();
            assert_eq!(grant.unfinished, None, "a waiter had changed nothing");
            waiters[survivor].release();
        }
        let granted: Vec<_> = scene
            .holds()
            .into_iter()
            .filter(|m| m.ends_with("granted"))
            .collect();
        assert_eq!(
            granted,
            [
                "first granted",
                "waiter 1 granted",
                "waiter 2 granted",
                "waiter 5 granted",
                "waiter 7 granted"
            ]
        );
        assert_eq!(scene.files(), ["gate"]);
    });
}

#[test]
#[cfg_attr(
    windows,
    ignore = "where a removed file keeps its name until it is closed, as in wine, its folder cannot be removed"
)]
fn removing_the_folder_under_a_waiter_ends_its_wait_with_an_error_that_says_so() {
    play_with_control(HOLDER, |scene| {
        let (holder, waiter) = (scene.start("holder"), scene.start("waiter"));
        holder.acquire(Exclusive).expect_granted_at_once();
        waiter.acquire(Shared).expect_waiting();
        std::fs::remove_dir_all(scene.folder()).unwrap();
        holder.release();
        let (kind, text) = waiter.expect_refused();
        assert_eq!(kind, "Lost", "{text}");
    });
}

#[test]
#[cfg_attr(
    windows,
    ignore = "where a removed file keeps its name until it is closed, as in wine, its folder cannot be removed"
)]
fn a_waiter_does_not_mistake_a_new_registry_in_the_same_place_for_its_own() {
    play_with_control(HOLDER, |scene| {
        let (holder, waiter) = (scene.start("holder"), scene.start("waiter"));
        let (newcomer, second) = (scene.start("newcomer"), scene.start("second"));
        holder.acquire(Exclusive).expect_granted_at_once();
        waiter.acquire(Shared).expect_waiting();
        std::fs::remove_dir_all(scene.folder()).unwrap();
        drop(scene.registry());
        // The new registry hands out the same tickets again.
        newcomer.acquire(Exclusive).expect_granted_at_once();
        second.acquire(Exclusive).expect_waiting();
        let (kind, text) = waiter.expect_refused();
        assert_eq!(kind, "Lost", "{text}");
        holder.release();
        let tickets: Vec<_> = scene.snapshot().entries.iter().map(|e| e.ticket.0).collect();
        assert_eq!(
            tickets,
            [1, 2],
            "those who lost their registry remove nothing from the new one"
        );
        newcomer.release();
        second.expect_granted();
    });
}
