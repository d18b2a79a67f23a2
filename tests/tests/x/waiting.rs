//! Waiting, as a person or a script sees it.

use buildlock::{CacheHolder, CacheLock, Cancel, Timeout};
use process_tests::project::{Project, root};
use rustix::process::Signal;

#[test]
fn the_waiting_line_names_holder_mode_and_way_out() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let tidy = project.x(&["tidy"]);
    tidy.expect_waiting();
    held.open();
    build.succeeds();
    let said = tidy.succeeds().stderr;
    let line = said
        .lines()
        .find(|l| l.contains("waiting for"))
        .expect("the line");
    assert!(
        line.contains("./x") && line.contains("build (pid ") && line.contains("exclusive); 1 ahead"),
        "{line}"
    );
    assert!(
        line.ends_with("Ctrl-C gives up; ./x lock status shows all"),
        "{line}"
    );
}

#[test]
fn a_wait_that_times_out_exits_75_and_leaves_nothing() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let before = project.lock_files();
    for flags in [&["--lock-timeout", "0.3"][..], &["--no-wait"]] {
        let tidy = project.x(&[flags, &["tidy"]].concat()).fails_with(75);
        assert!(
            tidy.stderr.contains("build.lock-timeout"),
            "it says what to change: {}",
            tidy.stderr
        );
        assert!(
            tidy.stderr.contains("build (pid "),
            "it names the holder: {}",
            tidy.stderr
        );
        assert_eq!(tidy.stdout, "");
    }
    assert_eq!(project.lock_files(), before);
    held.open();
    build.succeeds();
}

#[test]
fn the_configured_timeout_counts() {
    let project = Project::new();
    project.configure("build.lock-timeout = 0.2");
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    project.x(&["tidy"]).fails_with(75);
    held.open();
    build.succeeds();
}

#[test]
fn ctrl_c_while_waiting_leaves_no_trace() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let before = project.lock_files();
    let tidy = project.x(&["tidy"]);
    tidy.expect_waiting();
    let ended = tidy.signal(Signal::INT).pid();
    assert!(ended > 0);
    let ended = tidy.end();
    use std::os::unix::process::ExitStatusExt;
    assert!(
        ended.status.signal() == Some(2) || ended.status.code() == Some(130),
        "{}",
        ended.status
    );
    assert_eq!(project.lock_files(), before);
    held.open();
    build.succeeds();
}

#[test]
fn lock_status_shows_who_holds_and_who_waits() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let tidy = project.x(&["tidy"]);
    tidy.expect_waiting();
    let table = project.x(&["lock", "status"]).succeeds().stdout;
    let rows: Vec<_> = table.lines().collect();
    assert!(rows[0].starts_with("TICKET"), "{table}");
    assert!(
        rows[1].contains("exclusive") && rows[1].contains("granted") && rows[1].contains("build"),
        "{table}"
    );
    assert!(
        rows[2].contains("shared") && rows[2].contains("waiting") && rows[2].contains("tidy"),
        "{table}"
    );
    let json = project.x(&["lock", "status", "--json"]).succeeds().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.to_string().contains("exclusive"), "{json}");
    held.open();
    build.succeeds();
    tidy.succeeds();
}

#[test]
fn help_dry_run_and_completions_take_no_lock() {
    let project = Project::new();
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    project.x(&["--help"]).succeeds();
    project.x(&["build", "--dry-run"]).succeeds();
    assert!(
        project
            .x(&["completions", "bash"])
            .succeeds()
            .stdout
            .contains("complete")
    );
    held.open();
    build.succeeds();
}

#[test]
fn lock_status_shows_who_holds_the_cache_lock_wherever_the_cache_is() {
    let project = Project::new();
    // What is not built yet would be, under the lock.
    project.x(&["lock", "status"]).succeeds();
    let (own, shared) = (project.build_dir().join("cache"), project.path("shared"));
    for (cache, lock_folder) in [(own, project.lock_dir()), (shared.clone(), shared)] {
        std::fs::create_dir_all(&cache).expect("room");
        std::os::unix::fs::symlink(root().join("build/cache/driver"), cache.join("driver")).expect("room");
        let me = CacheHolder::me("./x check", "unpacking rustfmt");
        let lock = CacheLock::acquire(&lock_folder, me, Timeout::AtOnce, |_| {}, &Cancel::new());
        let lock = lock.expect("nobody has it");
        let set = format!("build.cache-dir={}", cache.display());
        let status = || project.x(&["--set", &set, "lock", "status"]).succeeds().stdout;
        assert!(status().contains("cache lock: ./x check"), "{}", status());
        drop(lock);
        assert!(!status().contains("cache lock"), "{}", status());
    }
}
