//! What the commands say and make: stdout for the result, stderr for people, exit codes for programs.

use process_tests::project::Project;

#[test]
fn build_copies_what_it_made_to_the_host_folder() {
    let project = Project::new();
    project.x(&["build"]).succeeds();
    let program = project.build_dir().join("host/bin/held");
    let said = std::process::Command::new(program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello from held\n");
}

#[test]
fn json_output_is_cargos_and_nothing_else() {
    let project = Project::new();
    let out = project.x(&["check", "--json-output"]).succeeds().stdout;
    let messages: Vec<serde_json::Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")))
        .collect();
    assert_eq!(messages.last().expect("messages")["reason"], "build-finished");
}

#[test]
fn under_json_output_run_prints_what_the_program_does() {
    let project = Project::new();
    let out = project.x(&["run", "--json-output", "held"]).succeeds().stdout;
    assert_eq!(out, "hello from held\n");
}

#[test]
fn a_type_error_fails_with_1() {
    let project = Project::new();
    project.write(
        "ws/quick/src/lib.rs",
        "//! A fixture.\n\n/// Two.\npub fn two() -> u32 {\n    \"two\"\n}\n",
    );
    let said = project.x(&["check"]).fails_with(1);
    assert!(said.stderr.contains("mismatched types"), "{}", said.stderr);
}

#[test]
fn compile_time_deps_are_compiled_beside_a_type_error() {
    let project = Project::new();
    project.write(
        "ws/Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"held\", \"mac\", \"wrong\"]\n",
    );
    for (name, more, text) in [
        ("mac", "[lib]\nproc-macro = true\n", ""),
        (
            "wrong",
            "[dependencies]\nmac = { path = \"../mac\" }\n",
            "pub fn two() -> u32 {\n    \"two\"\n}\n",
        ),
    ] {
        let manifest = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{more}");
        project.write(&format!("ws/{name}/Cargo.toml"), &manifest);
        project.write(&format!("ws/{name}/src/lib.rs"), text);
    }
    let script = r#"{"reason":"build-script-executed""#;
    let compiled = r#""kind":["custom-build"]"#;
    let mac = r#""kind":["proc-macro"]"#;
    let all = ["check", "--all-targets", "--json-output"];

    let said = project
        .x(&[&all[..], &["--compile-time-deps"]].concat())
        .succeeds()
        .stdout;
    for part in [script, compiled, mac] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    assert!(!said.contains("compiler-message"), "{said}");
    // What it compiled is what the whole check needs.
    let said = project.x(&all).fails_with(1).stdout;
    assert!(said.contains("mismatched types"), "{said}");
    let script = said.lines().find(|line| line.contains(compiled)).expect(&said);
    assert!(script.contains(r#""fresh":true"#), "{script}");
}

#[test]
fn packages_are_chosen_by_name_and_by_path() {
    let project = Project::new();
    let said = project.x(&["check", "quick"]).succeeds().stderr;
    assert!(said.contains("quick") && !said.contains("held"), "{said}");
    let path = project.path("ws/held/src/lib.rs");
    let said = project.x(&["check", path.to_str().unwrap()]).succeeds().stderr;
    assert!(said.contains("held"), "{said}");
    let label = format!("path+file://{}#1.2.3", project.path("ws/held").display());
    let said = project.x(&["--dry-run", "check", &label]).succeeds().stderr;
    assert!(said.contains("--package held@1.2.3"), "{said}");
}

#[test]
fn a_workspace_is_chosen_by_its_manifest() {
    let project = Project::new();
    project.write(
        "tools/Cargo.toml",
        "[package]\nname = \"tools\"\nedition = \"2024\"\n",
    );
    project.write("tools/src/lib.rs", "");
    let both = format!(
        "--set=build.workspaces={:?}",
        ["ws", "tools"].map(|of| project.path(of))
    );
    let manifest = |of: &str| format!("{}/Cargo.toml", project.path(of).display());
    let (ws, tools) = (manifest("ws"), manifest("tools"));
    let check = [&both, "--dry-run", "check", &ws];
    let said = project.x(&check).succeeds().stderr;
    assert!(
        said.contains(&format!("{ws} --workspace")) && !said.contains(&tools),
        "{said}"
    );
    let said = project.x(&[&check[..], &["tools"]].concat()).succeeds().stderr;
    for manifest in [ws, tools] {
        assert!(said.contains(&format!("{manifest} --workspace")), "{said}");
    }
}

#[test]
fn an_unknown_package_gets_a_suggestion() {
    let project = Project::new();
    let said = project.x(&["check", "quik"]).fails_with(2).stderr;
    assert!(said.contains("quick"), "{said}");
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    let project = Project::new();
    project.configure("build.lock-mod = \"off\"");
    let said = project.x(&["check"]).fails_with(2).stderr;
    assert!(
        said.contains("lock-mode") && said.contains('^') && said.contains("bootstrap.toml"),
        "{said}"
    );
}

#[test]
fn clean_keeps_cache_and_lock_folder() {
    let project = Project::new();
    project.x(&["build"]).succeeds();
    project.x(&["clean"]).succeeds();
    assert!(!project.build_dir().join("host").exists());
    assert!(project.lock_dir().join("gate").exists());
}

#[test]
fn dist_and_install_deliver_what_build_makes() {
    let project = Project::new();
    project.configure("install.prefix = \"/opt/fixture\"");
    project.x(&["dist"]).succeeds();
    let dist: Vec<_> = std::fs::read_dir(project.build_dir().join("dist"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        dist.iter().any(|n| n.ends_with(".tar.xz")) && dist.iter().any(|n| n.ends_with(".sha256")),
        "{dist:?}"
    );
    let install = |words: &[&str]| {
        let mut command = project.command(words);
        command.env("DESTDIR", project.path("dest"));
        process_tests::project::Running::start(command).succeeds().stderr
    };
    let said = install(&["install", "--dry-run"]);
    let below = format!(
        "Would install below {}",
        project.path("dest/opt/fixture").display()
    );
    assert!(said.contains(&below) && !project.path("dest").exists(), "{said}");
    install(&["install"]);
    assert!(project.path("dest/opt/fixture/bin/held").exists());
}

#[test]
fn what_is_of_use_only_in_its_tree_is_installed_when_it_is_named_and_not_otherwise() {
    let project = Project::new();
    project.configure(&format!("install.prefix = {:?}", project.path("prefix")));
    project.write("ws/quick/src/main.rs", "//! A fixture.\n\nfn main() {}\n");
    let manifest = std::fs::read_to_string(project.path("ws/quick/Cargo.toml")).unwrap();
    project.write(
        "ws/quick/Cargo.toml",
        &(manifest + "[package.metadata.dist]\ndist = false\n"),
    );
    let programs = ["held", "quick"].map(|name| project.path(&format!("prefix/bin/{name}")));
    project.x(&["install"]).succeeds();
    assert_eq!(programs.each_ref().map(|p| p.exists()), [true, false]);
    project.x(&["install", "quick"]).succeeds();
    assert_eq!(programs.each_ref().map(|p| p.exists()), [true, true]);
}

#[test]
fn a_mistake_in_the_configuration_is_pointed_at_although_the_launcher_finds_it_first() {
    let project = Project::new();
    // With a driver in place.
    project.x(&["check"]).succeeds();
    for (line, pointed) in [
        (
            "build.lock-mode = \"of\"",
            "^^^^ expected \"read-write\", \"exclusive\" or \"off\"; did you mean \"off\"?",
        ),
        (
            "build.lock-timeout = -1",
            "^^ expected a number of seconds, or \"never\"",
        ),
        ("profile = \"dve\"", "^^^^^ did you mean `dev`?"),
        ("build.jobs = ", "^ "),
        ("include = [\"missing.toml\"]", "^^^^^^^^^^^^^^ "),
    ] {
        project.configure(line);
        let said = project.x(&["check"]).fails_with(2);
        let file = format!(" --> {}:", project.path("bootstrap.toml").display());
        assert!(said.stderr.contains(&file), "{line}: {}", said.stderr);
        assert!(said.stderr.contains(pointed), "{line}: {}", said.stderr);
    }
}

#[test]
fn a_change_of_the_configuration_is_told_once() {
    let project = Project::new();
    project.configure("change-id = 0");
    let told = |args: &[&str]| {
        project
            .x(args)
            .succeeds()
            .stderr
            .contains("changed since change-id 0")
    };
    assert!(!told(&["check", "--dry-run"]));
    assert!(told(&["check"]));
    assert!(!told(&["check"]));
    project.configure("change-id = \"ignore\"");
    assert!(!told(&["check"]));
}

#[test]
fn a_misspelt_path_gets_a_suggestion() {
    let project = Project::new();
    let said = project.x(&["check", "./ws/hold"]).fails_with(2);
    assert!(said.stderr.contains("did you mean `ws/held`?"), "{}", said.stderr);
}
