//! Who runs beside whom, and in which order.

use buildlock::{Mode, State};
use process_tests::project::Project;

#[test]
fn readers_run_beside_each_other() {
    let project = Project::new();
    let first = project.x_gated(&["check"]);
    let held = project.at_gate();
    // `tidy` needs nothing of cargo's, whose own lock the first still holds.
    project.x(&["tidy"]).succeeds();
    held.open();
    first.succeeds();
}

#[test]
fn a_reader_waits_for_a_mutator() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let mut tidy = project.x(&["tidy"]);
    tidy.expect_waiting();
    assert!(tidy.is_running());
    held.open();
    build.succeeds();
    tidy.succeeds();
}

#[test]
fn a_mutator_waits_for_a_reader() {
    let project = Project::new();
    let check = project.x_gated(&["check"]);
    let held = project.at_gate();
    let mut build = project.x(&["build"]);
    build.expect_waiting();
    assert!(build.is_running());
    held.open();
    check.succeeds();
    build.succeeds();
}

#[test]
fn a_reader_that_comes_later_does_not_pass_a_waiting_mutator() {
    let project = Project::new();
    let check = project.x_gated(&["check"]);
    let held = project.at_gate();
    let build = project.x(&["build"]);
    build.expect_waiting();
    let tidy = project.x(&["tidy"]);
    tidy.expect_waiting();
    let snapshot = project.snapshot();
    let states: Vec<_> = snapshot
        .entries
        .iter()
        .filter_map(|e| e.record.as_ref())
        .map(|r| (r.claim.mode, r.claim.state))
        .collect();
    let (shared, exclusive) = (Mode::Shared, Mode::Exclusive);
    assert_eq!(
        states,
        [
            (shared, State::Granted),
            (exclusive, State::Waiting),
            (shared, State::Waiting)
        ]
    );
    assert_eq!(snapshot.entries[2].waits_for, Some(snapshot.entries[1].ticket));
    held.open();
    check.succeeds();
    build.succeeds();
    tidy.succeeds();
}

#[test]
fn in_exclusive_mode_two_readers_take_turns() {
    let project = Project::new();
    project.configure("build.lock-mode = \"exclusive\"");
    let check = project.x_gated(&["check"]);
    let held = project.at_gate();
    let tidy = project.x(&["tidy"]);
    tidy.expect_waiting();
    held.open();
    check.succeeds();
    tidy.succeeds();
}

#[test]
fn with_locks_off_nobody_waits_and_it_is_said() {
    let project = Project::new();
    project.configure("build.lock-mode = \"off\"");
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    // The negative control of all the tests above: the same reader does not wait.
    let tidy = project.x(&["tidy"]).succeeds();
    assert!(tidy.stderr.contains("lock"), "{}", tidy.stderr);
    assert!(!tidy.stderr.contains("waiting for"), "{}", tidy.stderr);
    held.open();
    build.succeeds();
}

#[test]
fn the_bypass_flag_takes_no_lock_and_says_so() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let tidy = project.x(&["--bypass-bootstrap-lock", "tidy"]).succeeds();
    assert!(tidy.stderr.contains("lock"), "{}", tidy.stderr);
    held.open();
    build.succeeds();
}

#[test]
fn test_builds_as_a_mutator_and_runs_as_a_reader() {
    let project = Project::new();
    let test = project.x_gated(&["test", "quick"]);
    let held = project.at_gate();
    assert_eq!(held.who, "test");
    project.x(&["tidy"]).succeeds();
    let build = project.x(&["build"]);
    build.expect_waiting();
    held.open();
    test.succeeds();
    build.succeeds();
}

#[test]
fn run_lets_go_before_it_becomes_the_program() {
    let project = Project::new();
    project.x(&["build"]).succeeds();
    let mut command = project.command_gated(&["run", "held"]);
    command.env_remove("FIXTURE_ROUND");
    let run = process_tests::project::Running::start(command);
    let program = loop {
        let at = project.at_gate();
        if at.who == "program" {
            break at;
        }
        at.open();
    };
    assert_eq!(program.pid, run.pid(), "./x becomes the program");
    project.x(&["build"]).succeeds();
    program.open();
    assert_eq!(run.succeeds().stdout, "hello from held\n");
}
