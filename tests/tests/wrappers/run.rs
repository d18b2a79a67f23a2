//! `buildlock run`: exit codes, signals, stepping aside, and ending with one's parent.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use buildlock::{Mode, Registry, Request, Session};
use process_tests::program::buildlock;
use process_tests::script::{Gate, Running, until_one_waits};
use rustix::process::Signal;
use tempfile::TempDir;

/// A lock folder, and gates for scripts.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> std::path::PathBuf {
        self.0.path().join("session")
    }

    fn registry(&self) -> Registry {
        Registry::open(self.folder()).unwrap()
    }

    fn gate(&self, name: &str) -> Gate {
        Gate::new(self.0.path(), name)
    }

    /// `buildlock run FLAGS -- sh -c SCRIPT`.
    fn command(&self, flags: &[&str], script: &str) -> Command {
        let mut command = Command::new(buildlock());
        command.arg("run").arg("--dir").arg(self.folder()).args(flags);
        command.args(["--", "sh", "-c", script]);
        command.env_remove(buildlock::SESSION_VARIABLE);
        command
    }

    fn start(&self, flags: &[&str], script: &str) -> Running {
        Running::start(self.command(flags, script))
    }

    /// The exit code, or the signal, of a script.
    fn end_of(&self, flags: &[&str], script: &str) -> (Option<i32>, Option<i32>) {
        let status = self.command(flags, script).status().unwrap();
        (status.code(), status.signal())
    }

    #[track_caller]
    fn expect_free(&self) {
        let request = Request::new(Mode::Exclusive, "test");
        assert!(
            Session::try_acquire(&self.registry(), request).unwrap().is_some(),
            "{}",
            self.registry().snapshot().unwrap()
        );
    }
}

#[test]
fn the_commands_end_is_that_of_run() {
    let scene = Scene::new();
    for flags in [["--shared"], ["--exclusive"]] {
        assert_eq!(scene.end_of(&flags, "exit 0"), (Some(0), None));
        assert_eq!(scene.end_of(&flags, "exit 77"), (Some(77), None));
        assert_eq!(scene.end_of(&flags, "kill -TERM $$"), (None, Some(15)));
        assert_eq!(scene.end_of(&flags, "kill -KILL $$"), (None, Some(9)));
    }
    scene.expect_free();
}

#[test]
fn what_goes_wrong_before_the_command_has_codes_of_its_own() {
    let scene = Scene::new();
    let code = |program: &str, flags: &[&str]| {
        let mut run = Command::new(buildlock());
        run.arg("run")
            .arg("--dir")
            .arg(scene.folder())
            .args(flags)
            .args(["--", program]);
        run.output().unwrap().status.code()
    };
    assert_eq!(code("/nowhere/to/be/found", &["--shared"]), Some(127));
    assert_eq!(code("/etc/passwd", &["--shared"]), Some(126));
    assert_eq!(code("true", &["--shared", "--timeout", "soon"]), Some(125));
    let held = Session::acquire(&scene.registry(), Request::new(Mode::Exclusive, "test")).unwrap();
    assert_eq!(code("true", &["--shared", "--no-wait"]), Some(75));
    assert_eq!(code("true", &["--shared", "--timeout", "0.01"]), Some(75));
    held.release().unwrap();
    assert_eq!(code("true", &["--shared", "--no-wait"]), Some(0));
}

#[test]
fn rules_whose_lock_folder_cannot_be_told_say_which_variables_are_not_set() {
    let mut run = Command::new(buildlock());
    run.args(["run", "--rules", "rustup", "--", "rustup", "show"]);
    run.env_remove("RUSTUP_HOME").env_remove("HOME");
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("needs RUSTUP_HOME or HOME to be set; "), "{said}");
}

#[test]
fn a_signal_is_handed_on_and_gives_up_a_wait() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let holder = scene.start(&["--exclusive"], &format!("trap 'exit 9' TERM; {}", gate.stop()));
    gate.arrived().unwrap();
    let waiter = scene.start(&["--exclusive"], "exit 3");
    until_one_waits(&scene.registry(), Mode::Exclusive).unwrap();
    waiter.signal(Signal::TERM);
    assert_eq!(waiter.end_anyhow().unwrap().0.signal(), Some(15));
    holder.signal(Signal::TERM);
    assert_eq!(holder.end_anyhow().unwrap().0.code(), Some(9));
    scene.expect_free();
}

#[test]
fn a_preemptible_command_steps_aside_with_all_that_it_started_and_starts_over() {
    let scene = Scene::new();
    for flags in [&["--shared", "--preemptible"], &["--exclusive", "--preemptible"]] {
        let gate = scene.gate(flags[0]);
        let background = scene.gate(&format!("background{}", flags[0]));
        // What it leaves running in the background is its own parent's child no more.
        let script = format!("(setsid sh -c \"{}\" &) ; {}", background.stop(), gate.stop());
        let check = scene.start(flags, &script);
        gate.arrived().unwrap();
        background.arrived().unwrap();
        scene.start(&["--exclusive"], "true").end().unwrap();
        // Started over: it is here again.
        gate.arrived().unwrap();
        background.arrived().unwrap();
        gate.open();
        background.open();
        let said = check.end().unwrap();
        assert!(said.contains("stepped aside for sh -c true"), "{said}");
        // One of each was killed at its gate, so nobody takes a second pass.
        gate.open();
        background.open();
        scene.expect_free();
    }
}

#[test]
fn without_preemptible_the_mutator_waits() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let check = scene.start(&["--shared"], &gate.stop());
    gate.arrived().unwrap();
    let mut build = scene.start(&["--exclusive"], "true");
    until_one_waits(&scene.registry(), Mode::Exclusive).unwrap();
    assert!(!build.has_ended());
    gate.open();
    check.end().unwrap();
    build.end().unwrap();
}

#[test]
fn two_preemptible_commands_do_not_step_aside_for_each_other() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let flags = ["--exclusive", "--preemptible"];
    let first = scene.start(&flags, &gate.stop());
    gate.arrived().unwrap();
    let second = scene.start(&flags, "true");
    until_one_waits(&scene.registry(), Mode::Exclusive).unwrap();
    gate.open();
    let said = first.end().unwrap();
    assert!(!said.contains("stepped aside"), "{said}");
    second.end().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn of_a_command_that_is_stopped_the_status_and_who_waits_say_so() {
    use std::os::unix::process::CommandExt;

    use buildlock::Process;
    use process_tests::script::until;

    let scene = Scene::new();
    let gate = scene.gate("gate");
    // In a group of its own, as a shell's jobs are: the tests' may have no number here.
    let mut command = scene.command(&["--exclusive"], &gate.stop());
    command.process_group(0);
    let holder = Running::start(command);
    gate.arrived().unwrap();
    holder.signal(Signal::STOP);
    let snapshot = || scene.registry().snapshot().unwrap();
    until("it to be stopped", || {
        snapshot().entries[0].process == Process::Stopped
    })
    .unwrap();
    let waiter = scene.start(&["--shared"], "true");
    until("the other to wait", || {
        waiter.said().contains(", exclusive, but stopped); 1 ahead")
    })
    .unwrap();
    let shown = snapshot();
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["entries"][0]["process"], "stopped");
    assert_eq!(json["entries"][1]["process"], "running");
    let group = holder.pid();
    let said = format!(
        "\nsession {}: its process is stopped (Ctrl-Z?); `fg` or `kill -CONT -{group}` lets it go on\n",
        shown.entries[0].ticket
    );
    assert!(shown.to_string().ends_with(&said), "{shown}");
    holder.signal(Signal::CONT);
    gate.open();
    holder.end().unwrap();
    waiter.end().unwrap();
}

#[test]
fn what_is_said_of_a_session_that_was_broken_is_true_of_one_that_lives() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let holder = scene.start(&["--exclusive"], &gate.stop());
    gate.arrived().unwrap();
    let registry = scene.registry();
    let ticket = registry.snapshot().unwrap().entries[0].ticket;
    registry.break_session(ticket).unwrap().unwrap();
    let wanted = "did not finish: it died, or its session was broken";
    let status = registry.snapshot().unwrap().to_string();
    assert!(status.contains(wanted), "{status}");
    let said = scene.start(&["--exclusive"], "true").end().unwrap();
    assert!(said.contains(wanted), "{said}");
    gate.open();
    holder.end().unwrap();
}

/// A shell that starts a command under a session, and is killed while the command stops at a gate.
fn orphaned(scene: &Scene, flags: &[&str]) -> Gate {
    let gate = scene.gate("gate");
    let run = scene.command(flags, &gate.stop());
    let mut shell = Command::new("sh");
    // Not its last command: a shell becomes that.
    shell
        .args(["-c", "\"$@\"; true", "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    let mut parent = Running::start(shell);
    gate.arrived().unwrap();
    parent.kill();
    gate
}

#[test]
fn a_command_that_exits_with_its_parent_does() {
    let scene = Scene::new();
    let _gate = orphaned(&scene, &["--exclusive", "--exit-with-parent"]);
    let request = Request::new(Mode::Exclusive, "test");
    Session::acquire(&scene.registry(), request)
        .unwrap()
        .release()
        .unwrap();
}

#[test]
fn a_command_that_does_not_goes_on() {
    let scene = Scene::new();
    let gate = orphaned(&scene, &["--exclusive"]);
    let request = Request::new(Mode::Exclusive, "test");
    assert!(
        Session::try_acquire(&scene.registry(), request)
            .unwrap()
            .is_none()
    );
    gate.open();
    let request = Request::new(Mode::Exclusive, "test");
    Session::acquire(&scene.registry(), request)
        .unwrap()
        .release()
        .unwrap();
}

#[test]
fn a_daemon_that_a_command_leaves_behind_holds_nothing() {
    let scene = Scene::new();
    let gate = scene.gate("daemon");
    let leave = format!("(setsid sh -c \"{}\" >/dev/null 2>&1 &)", gate.stop());
    scene.start(&["--exclusive"], &leave).end().unwrap();
    gate.arrived().unwrap();
    scene.expect_free();
    gate.open();
}

#[test]
fn a_daemon_that_closed_what_it_inherited_does_not_keep_a_killed_session() {
    let scene = Scene::new();
    let gate = scene.gate("daemon");
    // As daemons do: every descriptor is closed but the three that it knows.
    let become_a_daemon =
        "import os, sys; os.closerange(3, 256); os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])";
    let daemon = format!("exec python3 -c \"{become_a_daemon}\" \"{}\"", gate.stop());
    let mut run = scene.start(&["--exclusive"], &daemon);
    gate.arrived().unwrap();
    run.kill();
    let next = Session::acquire(&scene.registry(), Request::new(Mode::Exclusive, "test")).unwrap();
    assert!(next.unfinished().is_some());
    gate.open();
}

#[test]
fn what_a_killed_run_started_keeps_the_lock() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let mut run = scene.start(&["--exclusive"], &gate.stop());
    gate.arrived().unwrap();
    run.kill();
    let request = Request::new(Mode::Exclusive, "test");
    assert!(
        Session::try_acquire(&scene.registry(), request)
            .unwrap()
            .is_none()
    );
    gate.open();
    let request = Request::new(Mode::Exclusive, "test");
    let next = Session::acquire(&scene.registry(), request).unwrap();
    assert!(
        next.unfinished().is_some(),
        "nobody saw it end, so it may be half done"
    );
}

#[test]
fn a_command_that_needs_no_lock_takes_our_place() {
    let scene = Scene::new();
    let mut run = Command::new(buildlock());
    run.args(["run", "--rules", "cargo", "--", "sh", "-c", "echo $$"]);
    run.current_dir(scene.0.path());
    let run = Running::start(run);
    let pid = run.pid();
    assert_eq!(run.end().unwrap().trim(), pid.to_string());
    assert!(!Path::new(&scene.folder()).exists());
}

#[test]
fn what_is_done_first_takes_no_input_and_adds_no_output() {
    let scene = Scene::new();
    let rules = scene.0.path().join("rules.toml");
    let text = "about = \"x\"\ndefault = \"none\"\n[preparation.first]\n\
                command = [\"sh\", \"-c\", \"cat; echo preparing\"]\n[[rule]]\nname = \"reads\"\n\
                programs = [\"cat\"]\nhold = \"shared\"\nprepare = \"first\"\n";
    std::fs::write(&rules, text).unwrap();
    let input = scene.0.path().join("input");
    std::fs::write(&input, "input\n").unwrap();
    let mut run = Command::new(buildlock());
    run.args(["run", "--rules"])
        .arg(rules)
        .arg("--dir")
        .arg(scene.folder());
    run.args(["--", "cat"]).stdin(std::fs::File::open(input).unwrap());
    let output = run.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "input\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "preparing\n");
}

#[test]
fn a_nested_run_neither_waits_nor_is_refused() {
    let scene = Scene::new();
    let nested = format!(
        "'{}' run --dir '{}' --exclusive -- true",
        buildlock().display(),
        scene.folder().display()
    );
    scene.start(&["--shared"], &nested).end().unwrap();
    scene.start(&["--exclusive"], &nested).end().unwrap();
    scene.expect_free();
}

/// `buildlock watch` with these flags, and the lines that it prints.
fn watch(scene: &Scene, flags: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let mut watch = Command::new(buildlock());
    watch.arg("watch").args(flags).arg("--dir").arg(scene.folder());
    // The turns of this user's other builds would be changes, too.
    watch.env("XDG_RUNTIME_DIR", scene.0.path());
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    (watch, lines.map(Result::unwrap))
}

#[test]
fn watch_prints_a_line_of_json_for_each_change() {
    let scene = Scene::new();
    scene.expect_free();
    let (mut watch, mut lines) = watch(&scene, &["--json"]);
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap()).unwrap();
    assert_eq!(next()["entries"], serde_json::json!([]));
    let session = Session::acquire(&scene.registry(), Request::new(Mode::Exclusive, "test")).unwrap();
    assert_eq!(next()["entries"][0]["record"]["mode"], "exclusive");
    drop(session);
    assert_eq!(next()["entries"], serde_json::json!([]));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn watch_in_a_pipe_prints_no_table_because_time_passes_and_an_empty_line_between_two() {
    let scene = Scene::new();
    let hold = || Session::acquire(&scene.registry(), Request::new(Mode::Shared, "test")).unwrap();
    let first = hold();
    let (mut watch, mut lines) = watch(&scene, &[]);
    let mut next = || lines.next().unwrap();
    assert!(next().starts_with("TICKET "));
    assert!(next().starts_with(&format!("{} ", first.ticket())));
    // The time in which nothing is to happen; nothing waits for its being long enough.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let second = hold();
    assert_eq!(next(), "");
    assert!(next().starts_with("TICKET "));
    assert!(next().starts_with(&format!("{} ", first.ticket())));
    assert!(next().starts_with(&format!("{} ", second.ticket())));
    watch.kill().unwrap();
    watch.wait().unwrap();
}
