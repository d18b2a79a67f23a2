//! The check of an editor, which steps aside for a command that writes, starts over, and ends with the editor.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use process_tests::process::is_alive;
use process_tests::project::{Ended, Project, Running};
use rustix::process::Signal;

/// What the editor's settings say, in its shortest form.
const CHECK: [&str; 3] = ["check", "--preemptible", "--json-output"];

/// How often a check steps aside before it runs through; the driver's `preempt::TIMES_MAX`.
const TIMES_MAX: usize = 5;

const STUCK: Duration = Duration::from_secs(180);

/// A project in which the compiler warns of the build script of `held`, and so before that comes to the gate.
fn project_with_a_warning() -> Project {
    let project = Project::new();
    let script = "ws/held/build.rs";
    let text = std::fs::read_to_string(project.path(script)).expect("the fixture");
    project.write(script, &format!("{text}\nfn nobody_calls_this() {{}}\n"));
    project
}

fn lines_with<'a>(ended: &'a Ended, reason: &str) -> Vec<&'a str> {
    let start = format!("{{\"reason\":\"{reason}\"");
    ended
        .stdout
        .lines()
        .filter(|line| line.starts_with(&start))
        .collect()
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + STUCK;
    while !is_so() {
        assert!(Instant::now() < give_up, "it never comes true that {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_preemptible_check_steps_aside_for_a_build_and_starts_over() {
    let project = Project::new();
    let check = project.x_gated(&CHECK);
    let held = project.at_gate();
    // The gate stays shut: the build can only come to its end because the check was stopped.
    project.x(&["build"]).succeeds();
    check.expect_stderr("Displaced");
    drop(held);
    project.at_gate().open();
    check.succeeds();
}

#[test]
fn the_output_of_a_displaced_check_repeats_nothing_and_ends_once() {
    let project = project_with_a_warning();
    let check = project.x_gated(&CHECK);
    let held = project.at_gate();
    project.x(&["build"]).succeeds();
    check.expect_stderr("Displaced");
    drop(held);
    project.at_gate().open();
    let ended = check.succeeds();
    let messages = lines_with(&ended, "compiler-message");
    assert_eq!(
        messages
            .iter()
            .filter(|line| line.contains("nobody_calls_this"))
            .count(),
        1,
        "{}",
        ended.stdout
    );
    assert_eq!(lines_with(&ended, "build-finished").len(), 1, "{}", ended.stdout);
    assert!(
        ended
            .stdout
            .ends_with("{\"reason\":\"build-finished\",\"success\":true}\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_check_that_stepped_aside_often_enough_runs_through() {
    let project = Project::new();
    let check = project.x_gated(&CHECK);
    for _ in 0..TIMES_MAX {
        let held = project.at_gate();
        project.x(&["build"]).succeeds();
        drop(held);
    }
    let held = project.at_gate();
    let mut build = project.x(&["build"]);
    build.expect_waiting();
    assert!(build.is_running());
    held.open();
    let ended = check.succeeds();
    assert_eq!(
        ended.stderr.matches("Displaced").count(),
        TIMES_MAX,
        "{}",
        ended.stderr
    );
    build.succeeds();
}

#[test]
fn with_preempt_never_a_build_waits_for_the_check() {
    let project = Project::new();
    project.configure("build.preempt = \"never\"");
    let check = project.x_gated(&CHECK);
    let held = project.at_gate();
    let mut build = project.x(&["build"]);
    // The negative control of the tests above.
    build.expect_waiting();
    assert!(build.is_running());
    held.open();
    let ended = check.succeeds();
    assert!(!ended.stderr.contains("Displaced"), "{}", ended.stderr);
    build.succeeds();
}

#[test]
fn the_configured_patience_is_not_that_of_an_editors_check() {
    let project = Project::new();
    project.configure("build.lock-timeout = 0");
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let check = project.x(&CHECK);
    check.expect_waiting();
    let unwilling = [&CHECK[..], &["--no-wait"]].concat();
    project.x(&unwilling).fails_with(75);
    held.open();
    build.succeeds();
    check.succeeds();
}

#[test]
fn a_check_ends_with_the_process_that_started_it() {
    let project = Project::new();
    let x = project.command_gated(&["check", "--exit-with-parent"]);
    // A shell that is killed tells its children nothing. It must not become the check itself, hence the second command. And
    // what `nohup` has a check ignore is no reason to go on.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; \"$@\"; true", "sh"])
        .arg(x.get_program())
        .args(x.get_args());
    shell.current_dir(project.path("")).stdin(Stdio::null());
    for (name, value) in x.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let shell = Running::start(shell);
    let held = project.at_gate();
    let session = project.snapshot().entries.pop().expect("the check's session");
    let check = session.record.expect("its record").who.pid;
    shell.signal(Signal::KILL);
    drop(shell.end());
    until("the check is gone", || !is_alive(check));
    until("no session is left", || project.snapshot().entries.is_empty());
    drop(held);
}
