//! Sessions that are started by sessions: the case that deadlocks elsewhere.

use buildlock::Mode::{Exclusive, Shared};
use process_tests::holder::Bond;
use process_tests::scene::{play, play_with_control};

use crate::HOLDER;

#[test]
fn a_child_that_wants_to_write_while_its_parent_reads_passes_at_once() {
    play(HOLDER, |scene| {
        let parent = scene.start("parent");
        parent.acquire(Shared).expect_granted_at_once();
        let child = parent.start_child("child", Bond::Named);
        child.acquire(Exclusive).expect_granted_at_once();
    });
}

#[test]
fn a_child_passes_those_that_wait_for_its_parent() {
    play_with_control(HOLDER, |scene| {
        let (parent, stranger) = (scene.start("parent"), scene.start("stranger"));
        parent.acquire(Shared).expect_granted_at_once();
        stranger.acquire(Exclusive).expect_waiting();
        let reader = parent.start_child("reading child", Bond::Named);
        reader.acquire(Shared).expect_granted_at_once();
        reader.release();
        let writer = parent.start_child("writing child", Bond::Named);
        writer.acquire(Exclusive).expect_granted_at_once();
        writer.release();
        parent.release();
        stranger.expect_granted();
    });
}

#[test]
fn a_grandchild_is_covered_by_the_root_of_its_tree() {
    play_with_control(HOLDER, |scene| {
        let (root, stranger) = (scene.start("root"), scene.start("stranger"));
        root.acquire(Exclusive).expect_granted_at_once();
        let child = root.start_child("child", Bond::Named);
        child.acquire(Shared).expect_granted_at_once();
        let grandchild = child.start_child("grandchild", Bond::Named);
        grandchild.acquire(Exclusive).expect_granted_at_once();
        stranger.acquire(Shared).expect_waiting();
        grandchild.release();
        child.release();
        root.release();
        stranger.expect_granted();
    });
}

#[test]
fn two_trees_whose_children_both_want_to_write_finish_one_after_the_other() {
    play_with_control(HOLDER, |scene| {
        let (left, right) = (scene.start("left"), scene.start("right"));
        left.acquire(Shared).expect_granted_at_once();
        right.acquire(Shared).expect_granted_at_once();
        let left_child = left.start_child("left child", Bond::Named);
        let right_child = right.start_child("right child", Bond::Named);
        // The first to ask waits for the other tree's root, until that tree asks, too, and so lets it pass.
        left_child.acquire(Exclusive).expect_waiting();
        right_child.acquire(Exclusive).expect_waiting();
        left_child.expect_granted();
        left_child.release();
        // The second needs the first tree to end, as its snapshot was not given up.
        left.release();
        right_child.expect_granted();
        right_child.release();
        right.release();
        assert_eq!(
            scene.holds()[2..],
            [
                "left child granted",
                "left child lets go",
                "left lets go",
                "right child granted",
                "right child lets go",
                "right lets go"
            ]
        );
        assert_eq!(scene.files(), ["gate"]);
    });
}

#[test]
fn a_tree_whose_child_is_killed_while_it_waits_blocks_nobody() {
    play_with_control(HOLDER, |scene| {
        let (left, right) = (scene.start("left"), scene.start("right"));
        left.acquire(Shared).expect_granted_at_once();
        right.acquire(Shared).expect_granted_at_once();
        let left_child = left.start_child("left child", Bond::Named);
        let right_child = right.start_child("right child", Bond::Named);
        left_child.acquire(Exclusive).expect_waiting();
        left_child.kill();
        right_child.acquire(Exclusive).expect_waiting();
        left.release();
        right_child.expect_granted();
    });
}

#[test]
fn a_grandchild_that_outlives_its_tree_queues_like_a_stranger() {
    play_with_control(HOLDER, |scene| {
        let (root, stranger) = (scene.start("root"), scene.start("stranger"));
        root.acquire(Shared).expect_granted_at_once();
        let child = root.start_child("child", Bond::Named);
        child.acquire(Shared).expect_granted_at_once();
        let grandchild = child.start_child("grandchild", Bond::Named);
        let mutator = stranger.acquire(Exclusive);
        mutator.expect_waiting();
        child.kill();
        root.kill();
        let held = mutator.expect_granted();
        assert_eq!(grandchild.acquire(Shared).expect_waiting(), Some(held.ticket));
        mutator.release();
        grandchild.expect_granted();
    });
}

#[test]
fn a_nested_session_stays_protected_when_its_parent_dies() {
    play_with_control(HOLDER, |scene| {
        let (parent, stranger) = (scene.start("parent"), scene.start("stranger"));
        parent.acquire(Exclusive).expect_granted_at_once();
        let child = parent.start_child("child", Bond::Named);
        let held = child.acquire(Shared).expect_granted_at_once();
        parent.kill();
        assert_eq!(stranger.acquire(Exclusive).expect_waiting(), Some(held.ticket));
        child.release();
        assert_eq!(stranger.expect_granted().unfinished.as_deref(), Some("parent"));
    });
}

#[test]
fn siblings_that_both_write_go_one_after_the_other() {
    play_with_control(HOLDER, |scene| {
        let parent = scene.start("parent");
        parent.acquire(Exclusive).expect_granted_at_once();
        let first = parent.start_child("first", Bond::Named);
        let second = parent.start_child("second", Bond::Named);
        let held = first.acquire(Exclusive).expect_granted_at_once();
        assert_eq!(second.acquire(Exclusive).expect_waiting(), Some(held.ticket));
        first.release();
        second.expect_granted();
        assert_eq!(
            scene.holds(),
            [
                "parent granted",
                "first granted",
                "first lets go",
                "second granted"
            ]
        );
    });
}

#[test]
fn two_readers_below_one_mutator_that_both_want_to_write_go_one_after_the_other() {
    play_with_control(HOLDER, |scene| {
        let parent = scene.start("parent");
        parent.acquire(Exclusive).expect_granted_at_once();
        let first = parent.start_child("first", Bond::Named);
        let second = parent.start_child("second", Bond::Named);
        first.acquire(Shared).expect_granted_at_once();
        second.acquire(Shared).expect_granted_at_once();
        // The first waits for the second's snapshot, until the second asks as well, and so gives it up.
        first.upgrade().expect_waiting();
        second.upgrade().expect_waiting();
        first.expect_granted();
        first.release();
        second.expect_granted();
    });
}

#[test]
fn a_name_that_nobody_alive_bears_makes_a_stranger() {
    play_with_control(HOLDER, |scene| {
        let (parent, stranger) = (scene.start("parent"), scene.start("stranger"));
        let held = parent.acquire(Exclusive).expect_granted_at_once();
        let registry = scene.snapshot().registry;
        let environment = format!("{registry}={},{}", held.session + 7, held.session + 8);
        let stale = stranger.start_child("stale", Bond::Environment(environment));
        assert_eq!(stale.acquire(Shared).expect_waiting(), Some(held.ticket));
        parent.release();
        stale.expect_granted();
    });
}

#[test]
fn a_name_in_another_registry_makes_a_stranger() {
    play_with_control(HOLDER, |scene| {
        let (parent, stranger) = (scene.start("parent"), scene.start("stranger"));
        let held = parent.acquire(Exclusive).expect_granted_at_once();
        let environment = format!("00000000deadbeef={}", held.session);
        let elsewhere = stranger.start_child("elsewhere", Bond::Environment(environment));
        assert_eq!(elsewhere.acquire(Shared).expect_waiting(), Some(held.ticket));
        parent.release();
        elsewhere.expect_granted();
    });
}

#[test]
fn kinship_outlasts_a_downgrade_of_the_parent() {
    play_with_control(HOLDER, |scene| {
        let (parent, stranger) = (scene.start("parent"), scene.start("stranger"));
        parent.acquire(Exclusive).expect_granted_at_once();
        let child = parent.start_child("child", Bond::Named);
        parent.downgrade();
        stranger.acquire(Exclusive).expect_waiting();
        child.acquire(Shared).expect_granted_at_once();
        child.release();
        parent.release();
        stranger.expect_granted();
    });
}
