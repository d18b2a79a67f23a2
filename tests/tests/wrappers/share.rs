//! `buildlock run --builds` and `--jobserver`: how commands that know nothing of each other share a machine.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use buildlock::tokens::{MemoryLimits, TokenPool};
use process_tests::program::buildlock;
use process_tests::script::{Gate, Running, until};
use tempfile::TempDir;

/// A user's folder for what lives as long as the machine runs, and gates for scripts.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn gate(&self, name: &str) -> Gate {
        Gate::new(self.0.path(), name)
    }

    fn pool(&self) -> PathBuf {
        self.0.path().join("pool")
    }

    /// `buildlock run --shared FLAGS -- sh -c SCRIPT`, in a lock folder of its own.
    fn command(&self, flags: &[&str], script: &str) -> Command {
        self.command_in("session", flags, script)
    }

    fn command_in(&self, folder: &str, flags: &[&str], script: &str) -> Command {
        let mut command = Command::new(buildlock());
        command
            .args(["run", "--shared", "--dir"])
            .arg(self.0.path().join(folder));
        command.args(flags).args(["--", "sh", "-c", script]);
        command.env("XDG_RUNTIME_DIR", self.0.path());
        for variable in [buildlock::SESSION_VARIABLE, "MAKEFLAGS", "CARGO_MAKEFLAGS"] {
            command.env_remove(variable);
        }
        command
    }

    fn start(&self, flags: &[&str], script: &str) -> Running {
        Running::start(self.command(flags, script))
    }
}

const ONE: [&str; 2] = ["--builds", "1"];

#[track_caller]
fn waits_for_a_turn(waiter: &Running) {
    until("it to wait for a turn", || {
        waiter
            .said()
            .contains("waiting for a turn: all 1 are taken by sh -c")
    })
    .unwrap();
}

#[test]
fn with_one_build_at_a_time_the_second_waits_until_the_first_has_ended() {
    let scene = Scene::new();
    let (gate, other) = (scene.gate("gate"), scene.gate("other"));
    let first = scene.start(&ONE, &gate.stop());
    gate.arrived().unwrap();
    let mut second = scene.start(&ONE, &other.stop());
    waits_for_a_turn(&second);
    assert!(!second.has_ended());
    gate.open();
    first.end().unwrap();
    other.arrived().unwrap();
    other.open();
    second.end().unwrap();
}

#[test]
fn with_two_at_a_time_the_second_runs_beside_the_first() {
    let scene = Scene::new();
    let (gate, other) = (scene.gate("gate"), scene.gate("other"));
    let first = scene.start(&["--builds", "2"], &gate.stop());
    gate.arrived().unwrap();
    let second = scene.start(&["--builds", "2"], &other.stop());
    other.arrived().unwrap();
    gate.open();
    other.open();
    first.end().unwrap();
    second.end().unwrap();
}

#[test]
fn turns_are_taken_in_the_order_of_arrival() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let order = scene.0.path().join("order");
    let first = scene.start(&ONE, &gate.stop());
    gate.arrived().unwrap();
    let waiters = ["b", "c", "d"].map(|name| {
        let waiter = scene.start(&ONE, &format!("echo {name} >> '{}'", order.display()));
        waits_for_a_turn(&waiter);
        waiter
    });
    gate.open();
    first.end().unwrap();
    for waiter in waiters {
        waiter.end().unwrap();
    }
    assert_eq!(std::fs::read_to_string(order).unwrap(), "b\nc\nd\n");
}

#[test]
fn killing_the_one_whose_turn_it_is_lets_the_next_go() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let mut first = scene.start(&ONE, &gate.stop());
    gate.arrived().unwrap();
    let second = scene.start(&ONE, "true");
    waits_for_a_turn(&second);
    first.kill();
    second.end().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn who_waits_for_a_turn_sleeps_until_there_is_one() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let first = scene.start(&ONE, &gate.stop());
    gate.arrived().unwrap();
    let waiters: Vec<_> = (0..3).map(|_| scene.start(&ONE, "true")).collect();
    waiters.iter().for_each(waits_for_a_turn);
    // What the kernel counts when a thread goes to sleep.
    let wakings = |waiter: &Running| {
        let threads = std::fs::read_dir(format!("/proc/{}/task", waiter.pid())).unwrap();
        let status = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("status"));
        let statuses = threads.flatten().filter_map(|thread| status(thread).ok());
        let count = |status: String| -> Option<u64> {
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse().ok()
        };
        statuses.filter_map(count).sum::<u64>()
    };
    let before: Vec<_> = waiters.iter().map(wakings).collect();
    // The time in which nothing is to happen; nothing waits for its being long enough.
    std::thread::sleep(std::time::Duration::from_secs(1));
    for (waiter, before) in waiters.iter().zip(before) {
        let woken = wakings(waiter) - before;
        assert!(woken <= 5, "woke {woken} times in a second");
    }
    gate.open();
    first.end().unwrap();
    waiters.into_iter().for_each(|waiter| drop(waiter.end().unwrap()));
}

/// A command with a lock and these flags waits for its turn, and a mutator comes that needs none: whether that gets the lock
/// in so many seconds, and what the command said.
fn mutator_beside_one_who_waits_for_a_turn(flags: &[&str], seconds: &str) -> (bool, String) {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let first = Running::start(scene.command_in("elsewhere", &ONE, &gate.stop()));
    gate.arrived().unwrap();
    let waiter = scene.start(&[&ONE, flags].concat(), "true");
    waits_for_a_turn(&waiter);
    let mutator = Command::new(buildlock())
        .args(["run", "--exclusive", "--timeout", seconds, "--dir"])
        .arg(scene.0.path().join("session"))
        .args(["--", "true"])
        .env_remove(buildlock::SESSION_VARIABLE)
        .status()
        .unwrap();
    gate.open();
    first.end().unwrap();
    let said = waiter.end_anyhow().unwrap();
    assert!(said.0.success(), "{}", said.1);
    (mutator.success(), said.1)
}

#[test]
#[cfg(target_os = "linux")]
fn a_preemptible_command_steps_aside_while_it_waits_for_its_turn() {
    let (passed, said) = mutator_beside_one_who_waits_for_a_turn(&["--preemptible"], "60");
    assert!(passed && said.contains("stepped aside for true"), "{said}");
}

#[test]
fn another_command_keeps_its_lock_while_it_waits_for_its_turn() {
    let (passed, said) = mutator_beside_one_who_waits_for_a_turn(&[], "0.3");
    assert!(!passed && !said.contains("stepped aside"), "{said}");
}

#[test]
fn the_status_says_who_has_a_turn_and_who_waits_for_one() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let first = scene.start(&ONE, &gate.stop());
    gate.arrived().unwrap();
    let long = format!("true {}", "x".repeat(200));
    let second = scene.start(&ONE, &long);
    waits_for_a_turn(&second);
    let status = |flags: &[&str]| {
        let mut command = Command::new(buildlock());
        command
            .args(["status", "--dir"])
            .arg(scene.0.path().join("session"));
        let output = command
            .args(flags)
            .env("XDG_RUNTIME_DIR", scene.0.path())
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let shown = status(&[]);
    let lines: Vec<_> = shown.lines().skip_while(|l| *l != "turns: 1, 0 free").collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[1].starts_with("- sh -c ") && lines[1].ends_with(" has one"),
        "{shown}"
    );
    assert!(
        lines[2].contains("xxx… (pid ") && lines[2].ends_with(" waits for one"),
        "{shown}"
    );
    let json: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    let whole = &json["turns"]["entries"][1]["record"]["command"][2];
    assert_eq!(whole.as_str(), Some(&*long), "nothing is cut for programs");
    gate.open();
    first.end().unwrap();
    second.end().unwrap();
}

#[test]
fn a_nested_build_takes_part_in_the_turn_of_the_one_around_it() {
    let scene = Scene::new();
    let (program, dir) = (buildlock().display(), scene.0.path().join("inner"));
    let nested = format!(
        "'{program}' run --exclusive --dir '{}' --builds 1 --no-wait -- true",
        dir.display()
    );
    scene.start(&ONE, &nested).end().unwrap();
}

#[test]
fn a_turn_that_is_not_waited_for_is_told_by_the_exit_code() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let first = scene.start(&ONE, &gate.stop());
    gate.arrived().unwrap();
    for flags in [
        &["--builds", "1", "--timeout", "0.01"][..],
        &["--builds", "1", "--no-wait"],
    ] {
        let (status, said) = scene.start(flags, "true").end_anyhow().unwrap();
        assert_eq!(status.code(), Some(75), "{said}");
        assert!(
            said.contains("waiting for a turn: all 1 are taken by sh -c "),
            "{said}"
        );
    }
    gate.open();
    first.end().unwrap();
}

#[test]
fn a_jobserver_is_named_in_both_variables_and_leases_from_the_pool_until_the_end() {
    let scene = Scene::new();
    let pool = scene.pool();
    for (kind, auth) in [("fifo", "--jobserver-auth=fifo:"), ("pipe", "--jobserver-fds=")] {
        let gate = scene.gate(kind);
        let flags = ["--jobserver", kind, "--job-pool", pool.to_str().unwrap()];
        let show = format!("echo \"$MAKEFLAGS\"; echo \"$CARGO_MAKEFLAGS\"; {}", gate.stop());
        let build = scene.start(&flags, &show);
        gate.arrived().unwrap();
        let members = || {
            TokenPool::existing(&pool, 1)
                .unwrap()
                .unwrap()
                .snapshot(&MemoryLimits::OFF)
                .unwrap()
                .entries
                .len()
        };
        assert_eq!(members(), 1);
        gate.open();
        let said = build.end().unwrap();
        assert_eq!(
            said.lines().filter(|line| line.contains(auth)).count(),
            2,
            "{said}"
        );
        assert_eq!(members(), 0);
    }
}

#[test]
fn without_a_flag_or_under_another_jobserver_a_command_is_served_none() {
    let scene = Scene::new();
    let show = "echo \"[$CARGO_MAKEFLAGS]\"";
    assert_eq!(scene.start(&[], show).end().unwrap(), "[]\n");
    let inner = scene.command(&["--jobserver", "pipe"], show);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.display())).collect();
    let outer = format!("echo \"[$CARGO_MAKEFLAGS]\"; {}", words.join(" "));
    let said = scene.start(&["--jobserver", "fifo"], &outer).end().unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].contains("fifo:") && lines[0] == lines[1], "{said}");
}

#[test]
fn the_rules_for_cargo_serve_a_jobserver_and_count_what_compiles() {
    let scene = Scene::new();
    let gate = scene.gate("gate");
    let cargo = scene.0.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\nsh -c \"$SCRIPT\"\n").unwrap();
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let run = |subcommand: &str, script: &str| {
        let mut run = Command::new(buildlock());
        run.args(["run", "--rules", "cargo", "--builds", "1", "--"]);
        run.arg(&cargo)
            .arg(subcommand)
            .env("SCRIPT", script)
            .env("XDG_RUNTIME_DIR", scene.0.path());
        for variable in [buildlock::SESSION_VARIABLE, "MAKEFLAGS", "CARGO_MAKEFLAGS"] {
            run.env_remove(variable);
        }
        Running::start(run)
    };
    let first = run("build", &gate.stop());
    gate.arrived().unwrap();
    let second = run("check", "echo \"$CARGO_MAKEFLAGS\"");
    until("it to wait for a turn", || {
        second.said().contains("waiting for a turn")
    })
    .unwrap();
    // What compiles nothing waits for nobody.
    assert_eq!(
        run("metadata", "echo \"[$CARGO_MAKEFLAGS]\"").end().unwrap(),
        "[]\n"
    );
    gate.open();
    first.end().unwrap();
    assert!(second.end().unwrap().contains("--jobserver-auth="));
}

#[test]
fn a_cargo_under_a_jobserver_has_its_compilers_stop_and_may_call_the_program_itself() {
    let scene = Scene::new();
    let (program, pool) = (buildlock(), scene.pool());
    let flags = ["--jobserver", "pipe", "--job-pool", pool.to_str().unwrap()];
    let (lock, written) = (scene.0.path().join("session"), scene.0.path().join("lib.rmeta"));
    // Once as cargo starts a compiler, and once as a build script may start the program.
    let script = format!(
        "[ \"$RUSTC_WRAPPER\" = {0} ] && echo 'pub fn f() {{}}' | \"$RUSTC_WRAPPER\" rustc --emit=metadata --crate-type lib \
         --crate-name lib -o {1} - && {0} status --dir {2}",
        program.display(),
        written.display(),
        lock.display()
    );
    let output = scene.command(&flags, &script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("sh -c"), "{output:?}");
    assert!(written.exists());
}
