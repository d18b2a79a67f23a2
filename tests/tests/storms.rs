//! Storms over several file systems and across pid namespaces: short ones, from a fixed seed.
//!
//! Longer ones by hand: `cargo run -p process-tests --bin storm -- --seconds 600 --processes 300 --seed 7`.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::Path;
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

/// Why a mount or a namespace cannot be had, where it cannot: in a container, or without being root.
fn refused(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(e) => Some(e.to_string()),
    }
}

fn skip(what: &str, why: &str) {
    drop(writeln!(std::io::stdout(), "skipped: no {what} here: {why}"));
}

#[test]
fn two_hundred_processes_keep_the_promises_on_the_file_system_of_temporary_files() {
    let _alone = alone();
    expect_calm(&mut storm(&[
        "--processes",
        "200",
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
        "0.5",
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

#[test]
fn storms_pass_over_tmpfs() {
    let _alone = alone();
    let folder = match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folder,
        Err(e) => return skip("tmpfs", &e.to_string()),
    };
    expect_calm(&mut calm_in(folder.path(), "2"));
}

#[test]
fn storms_pass_over_overlayfs() {
    let _alone = alone();
    let home = tempfile::tempdir().expect("a temporary folder");
    // The layers are on a tmpfs of their own: an overlay cannot have another overlay, as in a container, below it.
    let mount = "mount -t tmpfs none \"$0\" && cd \"$0\" && mkdir lower upper work merged && \
                 mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged";
    mounted(home.path(), mount, "overlayfs");
}

#[test]
fn storms_pass_over_ext4() {
    let _alone = alone();
    let home = tempfile::tempdir().expect("a temporary folder");
    let mount = "cd \"$0\" && truncate -s 64M image && mkfs.ext4 -q image && mkdir merged && mount -o loop image merged";
    mounted(home.path(), mount, "ext4 on a loop device");
}

#[test]
fn storms_pass_across_pid_namespaces() {
    let _alone = alone();
    let mut probe = Command::new("unshare");
    if let Some(why) = refused(probe.args(["--pid", "--fork", "--kill-child", "true"])) {
        return skip("pid namespace", &why);
    }
    expect_calm(&mut storm(&[
        "--processes",
        "40",
        "--seconds",
        "2",
        "--seed",
        "4",
        "--pid-namespaces",
    ]));
}

fn calm_in(folder: &Path, seconds: &str) -> Command {
    let mut command = storm(&["--processes", "60", "--seed", "2", "--seconds", seconds]);
    command.arg("--folder").arg(folder.join("session"));
    command
}

/// Makes a storm over `home/merged`, which `mount` mounts in a mount namespace of its own.
#[track_caller]
fn mounted(home: &Path, mount: &str, what: &str) {
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(home);
        command
    };
    if let Some(why) = refused(&mut in_namespace(&format!("{mount} && umount \"$0\"/merged"))) {
        return skip(what, &why);
    }
    let storm = calm_in(&home.join("merged"), "2");
    let mut command = in_namespace(&format!("rm -rf \"$0\"/* && {mount} && exec \"$@\""));
    command.arg(storm.get_program()).args(storm.get_args());
    expect_calm(&mut command);
}
