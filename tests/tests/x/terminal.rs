//! A terminal: what is shown in place, what is asked, and Ctrl-C as a terminal sends it, to everybody in front.

use std::process::{Command, Stdio};

use process_tests::process::is_alive;
use process_tests::project::Project;
use rexpect::session::{PtySession, spawn_command};

/// After this long a test gives up on what it waits for.
const STUCK_MS: u64 = 180_000;

/// Back to the first column, and clear what stands there.
const CLEAR: &str = "\r\u{1b}[K";

/// `./x` on a terminal of its own.
#[track_caller]
fn on_a_terminal(project: &Project, args: &[&str]) -> PtySession {
    start(project.command(args))
}

#[track_caller]
fn start(mut command: Command) -> PtySession {
    command.stdin(Stdio::inherit());
    spawn_command(command, Some(STUCK_MS)).expect("./x starts on a terminal")
}

/// Waits until it shows this; returns what it showed before.
#[track_caller]
fn expect(terminal: &mut PtySession, text: &str) -> String {
    terminal
        .exp_string(text)
        .unwrap_or_else(|e| panic!("no {text:?}: {e}"))
}

/// Waits until it ends, and says how, as `Exited(PID, CODE)` or `Signaled(PID, SIGNAL, …)`.
#[track_caller]
fn end(mut terminal: PtySession) -> String {
    terminal.exp_eof().expect("it closes the terminal");
    format!("{:?}", terminal.process().wait().expect("it ends"))
}

#[track_caller]
fn interrupt(mut terminal: PtySession) {
    terminal.send_control('c').expect("a terminal that listens");
    let status = end(terminal);
    assert!(
        status.starts_with("Signaled") && status.contains("SIGINT"),
        "{status}"
    );
}

#[test]
fn the_waiting_line_is_kept_up_to_date_in_place_and_gone_afterwards() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let mut tidy = on_a_terminal(&project, &["tidy"]);
    expect(&mut tidy, &format!("{CLEAR}waiting for ./x"));
    let rest = expect(&mut tidy, &format!("{CLEAR}waiting for ./x"));
    assert!(!rest.contains('\n'), "the line stays where it is: {rest:?}");
    held.open();
    expect(&mut tidy, CLEAR);
    build.succeeds();
    let status = end(tidy);
    assert!(
        status.starts_with("Exited") && status.ends_with(" 0)"),
        "{status}"
    );
}

#[test]
fn ctrl_c_gives_up_the_wait_and_the_place_in_the_queue() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let before = project.lock_files();
    let mut tidy = on_a_terminal(&project, &["tidy"]);
    expect(&mut tidy, "waiting for ./x");
    interrupt(tidy);
    assert_eq!(project.lock_files(), before);
    held.open();
    build.succeeds();
}

#[test]
fn ctrl_c_in_a_build_ends_all_of_it_and_frees_the_lock() {
    let project = Project::new();
    let build = start(project.command_gated(&["build"]));
    let held = project.at_gate();
    let script = held.pid;
    interrupt(build);
    assert!(!is_alive(script), "the build script has ended");
    project.x(&["tidy", "--no-wait"]).succeeds();
}

#[test]
fn a_question_keeps_nobody_waiting() {
    let project = Project::new();
    let mut setup = on_a_terminal(&project, &["setup", "editor"]);
    expect(&mut setup, "Which editor's settings");
    project.x(&["build", "--no-wait"]).succeeds();
    interrupt(setup);
}
