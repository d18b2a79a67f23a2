//! What a killed `./x` leaves: nothing that stops the others, and a word about what may be half done.

use process_tests::project::Project;
use rustix::process::Signal;

#[test]
fn killing_the_holder_wakes_the_next_in_line() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let next = project.x(&["build"]);
    next.expect_waiting();
    build.signal(Signal::KILL);
    drop(build.end());
    // Its cargo was killed with it, but not what that had started, which may still write: the next waits for it.
    held.open();
    let said = next.succeeds().stderr;
    assert!(
        said.contains("did not finish") || said.contains("unfinished"),
        "{said}"
    );
    let status = project.x(&["lock", "status"]).succeeds().stdout;
    assert!(
        !status.contains("unfinished"),
        "a clean end clears the mark: {status}"
    );
}

#[test]
fn what_still_writes_for_a_killed_driver_is_named_and_breaking_its_session_says_what_it_risks() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    build.signal(Signal::KILL);
    drop(build.end());
    let status = project.x(&["lock", "status"]).succeeds().stdout;
    assert!(status.contains("driver gone, still written to by "), "{status}");
    let ticket = project.snapshot().entries[0].ticket.to_string();
    let said = project.x(&["lock", "break", &ticket, "--yes"]).succeeds().stderr;
    assert!(said.contains("what it still writes may damage"), "{said}");
    project.x(&["tidy"]).succeeds();
    held.open();
}

#[test]
fn killed_waiters_are_passed_over() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let doomed: Vec<_> = (0..3).map(|_| project.x(&["build"])).collect();
    for waiter in &doomed {
        waiter.expect_waiting();
    }
    let last = project.x(&["tidy"]);
    last.expect_waiting();
    for waiter in doomed {
        waiter.signal(Signal::KILL);
        drop(waiter.end());
    }
    held.open();
    build.succeeds();
    last.succeeds();
    assert_eq!(project.snapshot().entries.len(), 0);
    assert!(
        project
            .lock_files()
            .iter()
            .all(|f| !f.ends_with(".lock") || f == "cache.lock"),
        "{:?}",
        project.lock_files()
    );
}

#[test]
fn ctrl_c_stops_the_build_and_frees_the_lock() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    build.signal(Signal::INT);
    let ended = build.end();
    assert!(!ended.status.success());
    drop(held);
    assert_eq!(project.snapshot().entries.len(), 0);
    project.x(&["tidy"]).succeeds();
}

#[test]
fn a_garbage_record_of_a_dead_session_is_removed() {
    let project = Project::new();
    project.x(&["tidy"]).succeeds();
    std::fs::write(project.lock_dir().join("7.lock"), "").unwrap();
    std::fs::write(project.lock_dir().join("7.json"), "{\"ticket\": nonsense").unwrap();
    project.x(&["build", "quick"]).succeeds();
    assert!(!project.lock_dir().join("7.json").exists());
}

#[test]
fn a_registry_of_a_newer_version_is_refused_clearly() {
    let project = Project::new();
    project.x(&["tidy"]).succeeds();
    std::fs::write(
        project.lock_dir().join("gate"),
        "buildlock 99\nregistry of the future\n",
    )
    .unwrap();
    let said = project.x(&["tidy"]).end();
    assert!(!said.status.success());
    assert!(said.stderr.contains("newer"), "{}", said.stderr);
}
