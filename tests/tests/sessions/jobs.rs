//! Children on Windows: nothing of a killed process's lock is left to them, so they end with it.

use buildlock::Mode::{Exclusive, Shared};
use process_tests::holder::Bond;
use process_tests::scene::play_with_control;

use crate::HOLDER;

#[test]
fn a_killed_holder_takes_along_the_children_that_work_for_it() {
    play_with_control(HOLDER, |scene| {
        let (driver, next) = (scene.start("driver"), scene.start("next"));
        driver.acquire(Exclusive).expect_granted_at_once();
        let cargo = driver.start_child("cargo", Bond::Lent);
        let rustc = cargo.start_child("rustc", Bond::Lent);
        cargo.acquire(Shared).expect_granted_at_once();
        rustc.acquire(Shared).expect_granted_at_once();
        next.acquire(Exclusive).expect_waiting();
        driver.kill();
        // While one of the children lived, its own shared hold would keep the next waiting.
        assert_eq!(next.expect_granted().unfinished.as_deref(), Some("driver"));
    });
}
