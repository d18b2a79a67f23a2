//! Storms over several file systems and across pid namespaces: short ones, from a fixed seed.
//!
//! Longer ones by hand: `cargo run -p process-tests --bin storm -- --seconds 600 --processes 300 --seed 7`.
#![cfg(any(target_os = "linux", windows))]

#[cfg(target_os = "linux")]
mod places;

use std::io::Write;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

const STORM: &str = env!("CARGO_BIN_EXE_storm");

/// One storm at a time: each is meant to have the machine to itself.
fn alone() -> MutexGuard<'static, ()> {
    static STORMS: Mutex<()> = Mutex::new(());
    STORMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn storm(arguments: &[&str]) -> Command {
    let mut command = Command::new(STORM);
    command.args(arguments);
    command
}

#[track_caller]
fn expect_calm(command: &mut Command) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the storm starts");
    let said = String::from_utf8_lossy(&stdout);
    assert!(
        status.success(),
        "{command:?} ended with {status}\n{said}\n{}",
        String::from_utf8_lossy(&stderr)
    );
    // What was survived is worth seeing: it is what the figures in the documentation are made of.
    drop(std::io::stdout().write_all(said.as_bytes()));
}

/// How many processes a storm has: under wine a process costs twenty times as much.
const PROCESSES: &str = if cfg!(windows) { "16" } else { "200" };

#[test]
fn many_processes_keep_the_promises_on_the_file_system_of_temporary_files() {
    let _alone = alone();
    expect_calm(&mut storm(&[
        "--processes",
        PROCESSES,
        "--seconds",
        "3",
        "--seed",
        "1",
    ]));
}

#[test]
fn without_locks_the_same_storm_finds_violations() {
    let _alone = alone();
    let mut control = storm(&[
        "--processes",
        "20",
        "--seconds",
        "1.5",
        "--seed",
        "1",
        "--no-locks",
    ]);
    let output = control.output().expect("the storm starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(" beside ") && !said.contains(" 0 violations"),
        "{said}"
    );
}
