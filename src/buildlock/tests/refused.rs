//! File systems that do not lock, or only say that they do: a real one, in user space, that answers `flock` as it is told.
//!
//! NFS without a lock manager answers with ENOLCK, other network and FUSE file systems with EOPNOTSUPP or ENOSYS, and a file
//! system that grants every lock is the worst that 9P and CIFS can be mounted as.
#![cfg(all(target_os = "linux", feature = "cli"))]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refused/flockless.py");

/// Runs `buildlock run` with its lock folder on such a file system. Nothing where this user may not mount one.
fn run_where_flock_answers(answer: &str) -> Option<Output> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mount = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "python3", SERVER, answer])
            .arg(home.path())
            .args(command);
        unshare.output()
    };
    if let Some(why) = why_not(mount(&["true"])) {
        drop(writeln!(
            std::io::stdout(),
            "skipped: nothing can be mounted here: {why}"
        ));
        return None;
    }
    let folder = home.path().join("session");
    let dir = folder.to_str().expect("a path in UTF-8");
    let run = [
        env!("CARGO_BIN_EXE_buildlock"),
        "run",
        "--exclusive",
        "--dir",
        dir,
        "--",
        "echo",
        "held",
    ];
    Some(mount(&run).expect("what worked just now"))
}

fn why_not(tried: std::io::Result<Output>) -> Option<String> {
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(e) => Some(e.to_string()),
    }
}

#[track_caller]
fn expect_refusal(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(output.stdout.is_empty(), "the command ran without a lock");
    assert!(
        said.contains(why) && said.contains("put the lock folder on a local one"),
        "{said}"
    );
    assert!(said.contains("/session"), "it does not say where: {said}");
}

#[test]
fn a_file_system_that_refuses_to_lock_is_an_error_that_names_the_way_out() {
    for answer in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        if let Some(output) = run_where_flock_answers(answer) {
            expect_refusal(&output, "cannot lock files");
        }
    }
}

#[test]
fn a_file_system_that_grants_the_same_lock_twice_is_found_out() {
    if let Some(output) = run_where_flock_answers("granted") {
        expect_refusal(&output, "only pretends to lock");
    }
}

#[test]
fn where_locks_work_doctor_is_content_and_where_they_do_not_it_says_so() {
    let home = tempfile::tempdir().unwrap();
    let doctor = [env!("CARGO_BIN_EXE_buildlock"), "doctor"];
    let local = Command::new(doctor[0])
        .args(&doctor[1..])
        .arg(home.path())
        .output()
        .unwrap();
    assert!(
        local.status.success(),
        "{}",
        String::from_utf8_lossy(&local.stdout)
    );
    let mut foreign = Command::new("unshare");
    foreign
        .args(["--mount", "python3", SERVER, "granted"])
        .arg(home.path())
        .args(doctor)
        .arg(home.path());
    if Path::new("/dev/fuse").exists()
        && why_not(Command::new("unshare").args(["--mount", "true"]).output()).is_none()
    {
        let output = foreign.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("FAILED  a lock excludes other processes"), "{said}");
    }
}
