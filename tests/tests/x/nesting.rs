//! `./x` inside `./x`.

use process_tests::project::{Project, root};

/// A program that runs `./x` with the words that follow its own name.
fn with_a_nested_call(project: &Project) {
    let x = root().join("x.py");
    let config = project.path("bootstrap.toml");
    let text = format!(
        "//! A fixture.\nfn main() {{\n\
         \x20   let status = std::process::Command::new(\"python3\").args([{x:?}, \"--config\", {config:?}])\
         .args(std::env::args().skip(1)).status().unwrap();\n    std::process::exit(status.code().unwrap_or(99));\n}}\n"
    );
    project.write("ws/held/src/main.rs", &text);
    let test = format!(
        "//! A fixture.\n#[test]\nfn nested() {{\n\
         \x20   let status = std::process::Command::new(\"python3\").args([{x:?}, \"--config\", \
         {config:?}, \"--lock-timeout\", \"60\", \"build\", \"quick\"]).status().unwrap();\n    assert!(status.success());\n}}\n"
    );
    project.write("ws/quick/tests/gate.rs", &test);
}

#[test]
fn a_mutator_inside_run_is_a_stranger_and_gets_its_turn() {
    let project = Project::new();
    with_a_nested_call(&project);
    project
        .x(&["run", "held", "--", "--lock-timeout", "60", "build", "quick"])
        .succeeds();
}

#[test]
fn a_mutator_inside_a_test_upgrades_and_does_not_deadlock() {
    let project = Project::new();
    with_a_nested_call(&project);
    project.x(&["test", "quick"]).succeeds();
    assert_eq!(project.snapshot().entries.len(), 0);
}

#[test]
fn a_stale_name_in_the_environment_is_ignored() {
    let project = Project::new();
    project.x(&["tidy"]).succeeds();
    let registry = project.snapshot().registry;
    let build = project.x_gated(&["build"]);
    let held = project.at_gate();
    let mut command = project.command(&["--no-wait", "tidy"]);
    command.env("BUILDLOCK_SESSION", format!("{registry}=1,999;garbage"));
    process_tests::project::Running::start(command).fails_with(75);
    held.open();
    build.succeeds();
}
