//! Job tokens, as `./x` uses them.

use process_tests::project::Project;

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
