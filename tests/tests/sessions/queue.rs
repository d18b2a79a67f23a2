//! Strangers: first in, first out, and ways to give up.

use buildlock::Mode::{Exclusive, Shared};
use process_tests::holder::Patience;
use process_tests::scene::{play, play_with_control};

use crate::HOLDER;

#[test]
fn readers_hold_beside_each_other() {
    play(HOLDER, |scene| {
        let (a, b) = (scene.start("a"), scene.start("b"));
        let first = a.acquire(Shared).expect_granted_at_once();
        let second = b.acquire(Shared).expect_granted_at_once();
        assert_eq!(first.epoch, second.epoch, "both saw the same state");
    });
}

#[test]
fn a_reader_waits_for_a_mutator() {
    play_with_control(HOLDER, |scene| {
        let (mutator, reader) = (scene.start("mutator"), scene.start("reader"));
        let held = mutator.acquire(Exclusive).expect_granted_at_once();
        assert_eq!(reader.acquire(Shared).expect_waiting(), Some(held.ticket));
        mutator.release();
        assert_eq!(reader.expect_granted().epoch, held.epoch);
    });
}

#[test]
fn a_mutator_waits_for_a_reader() {
    play_with_control(HOLDER, |scene| {
        let (reader, mutator) = (scene.start("reader"), scene.start("mutator"));
        let held = reader.acquire(Shared).expect_granted_at_once();
        assert_eq!(mutator.acquire(Exclusive).expect_waiting(), Some(held.ticket));
        assert_eq!(reader.wanted_by(), ["mutator"]);
        reader.release();
        assert_eq!(mutator.expect_granted().epoch, held.epoch + 1);
    });
}

#[test]
fn twenty_waiters_are_served_in_the_order_they_came() {
    play_with_control(HOLDER, |scene| {
        let first = scene.start("first");
        first.acquire(Exclusive).expect_granted_at_once();
        let names: Vec<_> = (0..20).map(|n| format!("waiter {n:02}")).collect();
        let waiters: Vec<_> = names.iter().map(|name| scene.start(name)).collect();
        for waiter in &waiters {
            waiter.acquire(Exclusive).expect_waiting();
        }
        first.release();
        for waiter in &waiters {
            waiter.expect_granted();
            waiter.release();
        }
        let mut expected = vec!["first granted".to_owned(), "first lets go".to_owned()];
        for name in &names {
            expected.extend([format!("{name} granted"), format!("{name} lets go")]);
        }
        assert_eq!(scene.holds(), expected);
        assert_eq!(scene.files(), ["gate"]);
    });
}

#[test]
fn a_stream_of_readers_does_not_starve_a_mutator() {
    play_with_control(HOLDER, |scene| {
        let (first, mutator) = (scene.start("first"), scene.start("mutator"));
        first.acquire(Shared).expect_granted_at_once();
        mutator.acquire(Exclusive).expect_waiting();
        let names: Vec<_> = (0..5).map(|n| format!("late reader {n}")).collect();
        let late: Vec<_> = names.iter().map(|name| scene.start(name)).collect();
        for reader in &late {
            reader.acquire(Shared).expect_waiting();
        }
        first.release();
        mutator.expect_granted();
        mutator.release();
        for reader in &late {
            reader.expect_granted();
        }
        let holds = scene.holds();
        assert_eq!(
            holds[..4],
            [
                "first granted",
                "first lets go",
                "mutator granted",
                "mutator lets go"
            ]
        );
    });
}

#[test]
fn a_wait_that_times_out_leaves_no_trace_and_names_the_holder() {
    play_with_control(HOLDER, |scene| {
        let (holder, waiter, next) = (scene.start("holder"), scene.start("waiter"), scene.start("next"));
        let held = holder.acquire(Shared).expect_granted_at_once();
        waiter.acquire_within(Exclusive, Patience::Millis(50));
        let (kind, text) = waiter.expect_refused();
        assert_eq!(kind, "Timeout", "{text}");
        assert!(text.contains(&format!("pid {}", holder.pid())), "{text}");
        assert!(text.contains("after 0."), "{text}");
        // Nothing of the mutator is left for a reader to queue behind.
        next.acquire(Shared).expect_granted_at_once();
        let tickets: Vec<_> = scene.snapshot().entries.iter().map(|e| e.ticket.0).collect();
        assert_eq!(tickets, [held.ticket, held.ticket + 2]);
    });
}

#[test]
fn what_cannot_be_had_at_once_is_refused_without_a_trace() {
    play_with_control(HOLDER, |scene| {
        let (holder, hasty) = (scene.start("holder"), scene.start("hasty"));
        holder.acquire(Exclusive).expect_granted_at_once();
        let before = scene.files();
        hasty.acquire_within(Shared, Patience::None);
        let (kind, text) = hasty.expect_refused();
        assert_eq!(kind, "Timeout", "{text}");
        assert!(text.contains(&format!("pid {}", holder.pid())), "{text}");
        assert_eq!(scene.files(), before);
    });
}

#[test]
fn a_cancelled_wait_leaves_no_trace() {
    play_with_control(HOLDER, |scene| {
        let (holder, waiter, next) = (scene.start("holder"), scene.start("waiter"), scene.start("next"));
        holder.acquire(Shared).expect_granted_at_once();
        let before = scene.files();
        waiter.acquire(Exclusive).expect_waiting();
        next.acquire(Shared).expect_waiting();
        // Whoever waited for the one that gives up is woken by it.
        assert_eq!(waiter.cancel().expect_refused().0, "Cancelled");
        next.expect_granted();
        next.release();
        assert_eq!(scene.files(), before);
        // The same process may try again.
        holder.release();
        waiter.acquire(Exclusive).expect_granted();
    });
}

#[test]
fn a_downgrade_lets_readers_in_and_keeps_mutators_out() {
    play_with_control(HOLDER, |scene| {
        let (tester, reader) = (scene.start("tester"), scene.start("reader"));
        let mutator = scene.start("mutator");
        let built = tester.acquire(Exclusive).expect_granted_at_once();
        reader.acquire(Shared).expect_waiting();
        mutator.acquire(Exclusive).expect_waiting();
        tester.downgrade();
        assert_eq!(
            reader.expect_granted().epoch,
            built.epoch,
            "what was built is what is read"
        );
        reader.release();
        assert_eq!(scene.registry().snapshot().unwrap().entries.len(), 2);
        tester.release();
        assert_eq!(mutator.expect_granted().epoch, built.epoch + 1);
        let holds = scene.holds();
        assert_eq!(holds[holds.len() - 2..], ["tester lets go", "mutator granted"]);
    });
}

#[test]
fn a_mutator_that_came_first_still_waits_for_the_reader_that_a_downgrade_leaves() {
    play_with_control(HOLDER, |scene| {
        let (tester, mutator) = (scene.start("tester"), scene.start("mutator"));
        tester.acquire(Exclusive).expect_granted_at_once();
        mutator.acquire(Exclusive).expect_waiting();
        tester.downgrade();
        assert_eq!(tester.wanted_by(), ["mutator"]);
        tester.release();
        mutator.expect_granted();
        assert_eq!(
            scene.holds(),
            ["tester granted", "tester lets go", "mutator granted"]
        );
    });
}

#[test]
fn a_session_upgrades_its_own_hold_once_the_other_readers_have_gone() {
    play_with_control(HOLDER, |scene| {
        let (a, b) = (scene.start("a"), scene.start("b"));
        let held = a.acquire(Shared).expect_granted_at_once();
        b.acquire(Shared).expect_granted_at_once();
        a.upgrade().expect_waiting();
        b.release();
        let upgraded = a.expect_granted();
        assert_eq!((upgraded.session, upgraded.epoch), (held.session, held.epoch + 1));
        a.release();
        assert_eq!(scene.files(), ["gate"]);
    });
}
