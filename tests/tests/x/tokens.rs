//! Job tokens, as `./x` uses them.

use buildlock::tokens::{Joining, MemoryLimits, TokenPool};
use process_tests::project::{Project, Running};

/// Two projects that share a pool of one token.
fn neighbours() -> [Project; 2] {
    let projects = [Project::new(), Project::new()];
    let pool = projects[0].path("pool");
    for project in &projects {
        project.configure(&format!("build.job-pool = {pool:?}\nbuild.jobs = 1"));
    }
    projects
}

#[test]
fn builds_in_two_checkouts_share_the_tokens_of_one_pool() {
    let [one, two] = neighbours();
    let first = one.x_gated(&["build"]);
    let held = one.at_gate();
    let second = two.x(&["build"]);
    second.expect_waiting();
    let status = two.x(&["lock", "status"]).succeeds().stdout;
    assert!(status.contains("job tokens: 1, 0 free\n"), "{status}");
    held.open();
    let said = first.succeeds().stderr + &second.succeeds().stderr;
    assert!(
        said.contains("waiting for a token: all 1 are in use by ./x"),
        "{said}"
    );
    assert!(!said.contains("warning"), "{said}");
    let status = two.x(&["lock", "status"]).succeeds().stdout;
    assert!(status.contains("job tokens: 1, 1 free\n"), "{status}");
}

#[test]
fn a_check_that_waits_for_a_token_still_steps_aside() {
    let [one, two] = neighbours();
    let first = one.x_gated(&["build"]);
    let held = one.at_gate();
    let check = two.x(&["--preemptible", "check"]);
    check.expect_waiting();
    let build = two.x(&["build"]);
    check.expect_stderr("Displaced");
    held.open();
    first.succeeds();
    build.succeeds();
    check.succeeds();
}

#[test]
fn without_a_pool_cargo_is_told_a_number() {
    let project = Project::new();
    project.configure("build.jobserver = \"off\"");
    let said = project.x(&["-v", "check", "-j", "3"]).succeeds().stderr;
    assert!(said.contains(" --jobs 3"), "{said}");
    project.configure("");
    let said = project.x(&["-v", "check", "-j", "3"]).succeeds().stderr;
    assert!(!said.contains(" --jobs ") && !said.contains("warning"), "{said}");
}

/// Starts a command whose cargo stops at the gate, has the test take the pool's only token when that cargo has ended, and
/// returns once the command waits for it again, for what the driver itself does.
fn without_a_token_for_its_own_work(
    project: &Project,
    command: &str,
) -> (Running, buildlock::tokens::Member) {
    let folder = project.path("pool");
    project.configure(&format!("build.job-pool = {folder:?}\nbuild.jobs = 1"));
    let running = project.x_gated(&[command]);
    let held = project.at_gate();
    let pool = TokenPool::open(folder, 1).expect("a pool that works");
    let queued = std::thread::spawn({
        let pool = pool.clone();
        move || pool.join(Joining::new("test")).expect("a pool that works")
    });
    while pool
        .snapshot(&MemoryLimits::OFF)
        .expect("a pool that works")
        .entries
        .len()
        < 2
    {
        std::thread::yield_now();
    }
    held.open();
    let member = queued.join().expect("a pool that works");
    running.expect_stderr("waiting for a token: all 1 are in use");
    (running, member)
}

#[test]
fn copying_and_packing_cost_the_driver_a_token() {
    let project = Project::new();
    let made = |folder: &str| {
        let files = std::fs::read_dir(project.build_dir().join(folder));
        files.map_or(0, Iterator::count)
    };
    for (command, folder) in [("build", "host/bin"), ("dist", "dist")] {
        let (running, member) = without_a_token_for_its_own_work(&project, command);
        assert_eq!(made(folder), 0, "{command} went on without a token");
        member.leave().unwrap();
        running.succeeds();
        assert!(made(folder) > 0);
    }
}

#[test]
fn scarce_memory_is_said_in_the_status_unless_the_key_is_off() {
    let project = Project::new();
    let words = "a build gets no more than one while only ";
    let status = |limit: &str| {
        let pool = project.path("pool");
        project.configure(&format!(
            "build.job-pool = {pool:?}\nbuild.min-free-memory = {limit:?}"
        ));
        project.x(&["check"]).succeeds();
        project.x(&["lock", "status"]).succeeds().stdout
    };
    let scarce = status("1000000GiB");
    let known = cfg!(target_os = "linux");
    assert_eq!(scarce.contains(words), known, "{scarce}");
    assert!(!status("off").contains(words));
}
