//! What configuration is accepted and what is said of the rest; the table of cases is in
//! `tests/config_cases.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ColorChoice;
use snapbox::{IntoData as _, assert_data_eq, str};
use tempfile::TempDir;

use super::*;
use crate::flags::Cli;

/// The root of this repository.
fn repository() -> PathBuf {
    paths::absolute(Path::new(env!("CARGO_MANIFEST_DIR")), Path::new("../.."))
}

/// A source root with a `bootstrap.toml`.
fn root_with(text: &str) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::write(root.path().join("bootstrap.toml"), text).expect("the folder can be written");
    root
}

fn load(root: &Path, line: &str) -> Result<Config, ConfigError> {
    let cli = Cli::from_args(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
    let around = Surroundings {
        root: root.to_owned(),
        cwd: root.to_owned(),
        config_env: None,
    };
    Config::load(&around, &cli.global)
}

/// Loads what must be refused, and names the root in the message by `[ROOT]`.
#[track_caller]
fn refusal(text: &str) -> String {
    let root = root_with(text);
    match load(root.path(), "x check") {
        Ok(config) => panic!("{text} was accepted: {config:?}"),
        Err(error) => error
            .to_string()
            .replace(&root.path().display().to_string(), "[ROOT]")
            .replace("[ROOT]\\", "[ROOT]/"),
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_likely_one() {
    assert_data_eq!(
        refusal("# mine\nbuild.buld-dir = \"out\"\n"),
        str![[r#"
unknown key `build.buld-dir`
 --> [ROOT]/bootstrap.toml:2:7
  |
2 | build.buld-dir = "out"
  |       ^^^^^^^^ did you mean `build-dir`?
"#]]
        .raw()
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    assert_data_eq!(
        refusal("[install]\nlock-mode = \"off\"\n"),
        str![[r#"
unknown key `install.lock-mode`
 --> [ROOT]/bootstrap.toml:2:1
  |
2 | lock-mode = "off"
  | ^^^^^^^^^ did you mean `build.lock-mode`?
"#]]
        .raw()
    );
}

#[test]
fn an_unknown_key_that_resembles_none_is_told_what_there_is() {
    assert_data_eq!(
        refusal("[install]\nsysconfdir = \"etc\"\n"),
        str![[r#"
unknown key `install.sysconfdir`
 --> [ROOT]/bootstrap.toml:2:1
  |
2 | sysconfdir = "etc"
  | ^^^^^^^^^^
  |
  = help: [install] knows prefix or bindir
"#]]
        .raw()
    );
}

#[test]
fn an_unknown_section_is_refused() {
    assert_data_eq!(
        refusal("[biuld]\njobs = 3\n"),
        str![[r#"
unknown key `biuld`
 --> [ROOT]/bootstrap.toml:1:2
  |
1 | [biuld]
  |  ^^^^^ did you mean `build`?
  |
  = help: known are profile, change-id, include, [build], [install] or [dist]
"#]]
        .raw()
    );
}

#[test]
fn a_bad_choice_is_told_the_good_ones() {
    assert_data_eq!(
        refusal("build.stage0 = 'downlaod'\n"),
        str![[r#"
bad value for `build.stage0`
 --> [ROOT]/bootstrap.toml:1:16
  |
1 | build.stage0 = 'downlaod'
  |                ^^^^^^^^^^ expected "auto", "download" or "local"; did you mean "download"?
"#]]
        .raw()
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    assert_data_eq!(
        refusal("[build]\njobs = 0\nworkspaces = [\".\", 3]\nverbose = true\n"),
        str![[r#"
bad value for `build.jobs`
 --> [ROOT]/bootstrap.toml:2:8
  |
2 | jobs = 0
  |        ^ expected a number from 1 on, or "auto"

error: bad value for `build.workspaces`
 --> [ROOT]/bootstrap.toml:3:20
  |
3 | workspaces = [".", 3]
  |                    ^ expected a path that is not empty

error: bad value for `build.verbose`
 --> [ROOT]/bootstrap.toml:4:11
  |
4 | verbose = true
  |           ^^^^ expected a number from 0 to 2, found a boolean
"#]]
        .raw()
    );
}

#[test]
fn what_is_no_toml_is_refused_where_it_stops_making_sense() {
    assert_data_eq!(
        refusal("[build]\njobs =\n"),
        str![[r#"
line 2 is not valid TOML
 --> [ROOT]/bootstrap.toml:2:7
  |
2 | jobs =
  |       ^ string values must be quoted, expected literal string
"#]]
        .raw()
    );
}

#[test]
fn a_bad_value_on_the_command_line_has_a_place_too() {
    let root = root_with("");
    let error = load(root.path(), "x check --set build.jobs=many").expect_err("many is no number");
    assert_data_eq!(
        error.to_string(),
        str![[r#"
bad value for `build.jobs`
 --> --set:1:14
  |
1 | build.jobs = "many"
  |              ^^^^^^ expected a number from 1 on, or "auto"
"#]]
        .raw()
    );
}

#[test]
fn a_cycle_of_includes_is_shown_in_full() {
    assert_data_eq!(
        refusal("include = [\"bootstrap.toml\"]\n"),
        str![[r#"
include cycle
 --> [ROOT]/bootstrap.toml:1:12
  |
1 | include = ["bootstrap.toml"]
  |            ^^^^^^^^^^^^^^^^ [ROOT]/bootstrap.toml -> [ROOT]/bootstrap.toml
"#]]
        .raw()
    );
}

#[test]
fn includes_that_multiply_are_stopped() {
    let root = root_with("include = [\"1.toml\", \"1.toml\"]\n");
    for n in 1..12 {
        let text = format!("include = [\"{0}.toml\", \"{0}.toml\"]\n", n + 1);
        fs::write(root.path().join(format!("{n}.toml")), text).expect("the folder can be written");
    }
    fs::write(root.path().join("12.toml"), "").expect("the folder can be written");
    let error = load(root.path(), "x check").expect_err("that would be 8191 files");
    assert!(
        error.to_string().contains("includes lead to more than 128 files"),
        "{error}"
    );
}

#[test]
fn values_have_their_types() {
    let root = root_with(
        r#"
change-id = "ignore"
[build]
workspaces = ["a", "b/./c"]
jobs = 3
job-pool = "./pool"
min-free-memory = "off"
preempt = "after 2.5"
target-dir = "shared"
jobserver = "fifo"
editor-build-dir = "separate"
color = "never"
verbose = 1
[install]
prefix = "out"
bindir = "programs"
[dist]
name = "tool"
compression-level = 0
"#,
    );
    let config = load(root.path(), "x check -v").expect("all of this is right");
    let below = |name: &str| root.path().join(name);
    assert_eq!(config.change_id, Some(ChangeId::Ignore));
    assert_eq!(config.build.workspaces, [below("a"), below("b/c")]);
    assert_eq!(
        config.build.jobs,
        Jobs::Count(3.try_into().expect("three is not zero"))
    );
    assert_eq!(config.build.job_pool, JobPool::Path(below("pool")));
    assert_eq!(config.build.min_free_memory, MinFreeMemory::Off);
    assert_eq!(config.build.preempt, "after 2.5".parse().expect("a duration"));
    assert_eq!(config.build.target_dir, TargetDir::Shared);
    assert_eq!(config.build.jobserver, Jobserver::Fifo);
    assert_eq!(config.build.editor_build_dir, EditorBuildDir::Separate);
    assert_eq!(config.build.color, ColorChoice::Never);
    assert_eq!(config.build.verbose, 1);
    assert_eq!(config.install.bindir, below("out/programs"));
    assert_eq!(config.dist.name.as_deref(), Some("tool"));
    assert_eq!(config.dist.compression_level, 0);
}

#[test]
fn flags_are_stronger_than_the_file() {
    let root = root_with("build = { color = 'never', verbose = 0, lock-timeout = 5 }");
    let config =
        load(root.path(), "x check -vv --color always --lock-timeout never").expect("all of this is right");
    assert_eq!(config.build.color, ColorChoice::Always);
    assert_eq!(config.build.verbose, 2);
    assert_eq!(config.build.lock_timeout, LockTimeout::Never);
}

#[test]
fn an_editors_check_waits_for_ever_unless_a_flag_says_otherwise() {
    let root = root_with("build.lock-timeout = 5");
    let timeout = |line| {
        load(root.path(), line)
            .expect("all of this is right")
            .build
            .lock_timeout
    };
    assert_eq!(timeout("x check --preemptible"), LockTimeout::Never);
    let five = LockTimeout::After(Duration::from_secs(5));
    assert_eq!(timeout("x check"), five);
    assert_eq!(timeout("x check --preemptible --lock-timeout 5"), five);
}

#[test]
fn a_bad_value_is_refused_even_where_a_flag_is_stronger() {
    let root = root_with("build.color = 'blue'");
    assert!(load(root.path(), "x check --color never").is_err());
}

#[test]
fn a_pool_that_is_neither_word_nor_path_is_refused() {
    for bad in ["\"usr\"", "\"\"", "3", "[\"user\"]"] {
        assert!(refusal(&format!("build.job-pool = {bad}")).contains("build.job-pool"));
    }
}

#[test]
fn every_profile_can_be_loaded() {
    let root = repository();
    let empty = root_with("");
    let empty = empty.path().join("bootstrap.toml");
    for name in profile_names(&root).expect("the folder of profiles") {
        let config = load(
            &root,
            &format!("x check --config {} --set profile={name}", empty.display()),
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.profile, Some(name));
    }
}

#[test]
fn the_example_is_in_step_with_the_keys() {
    let root = repository();
    let example = fs::read_to_string(root.join("bootstrap.example.toml")).expect("the example");
    assert_eq!(example::discrepancies(&root, &example), Vec::<String>::new());
}

#[test]
fn an_example_that_is_out_of_step_is_found_out() {
    let root = repository();
    let example = fs::read_to_string(root.join("bootstrap.example.toml")).expect("the example");
    for (from, to, found) in [
        ("#build.jobs = \"auto\"\n", "", "`build.jobs` is there 0 times"),
        (
            "#build.jobs = \"auto\"\n",
            "#build.jobs = 7\n",
            "`build.jobs` is not shown at its default",
        ),
        (
            "#build.jobs = \"auto\"\n",
            "#build.jobs = \"auto\"\n#build.jbos = 1\n",
            "`build.jbos` is no key",
        ),
        (
            "#build.rustc = \"/usr/bin/rustc\"",
            "#build.rustc = 3",
            "`build.rustc` is refused",
        ),
        (
            "#include = []",
            "#include = [\"a.toml\"]",
            "`include` is not shown",
        ),
    ] {
        assert!(example.contains(from), "{from}");
        let wrong = example::discrepancies(&root, &example.replace(from, to));
        assert!(wrong.len() == 1 && wrong[0].contains(found), "{found}: {wrong:?}");
    }
}

#[test]
fn the_example_uncommented_is_a_configuration_that_changes_nothing() {
    let root = repository();
    let example = fs::read_to_string(root.join("bootstrap.example.toml")).expect("the example");
    let folder = root_with(&example::uncomment(&example));
    let file = folder.path().join("bootstrap.toml");
    let shown = load(&root, &format!("x check --config {}", file.display())).expect("the example is right");
    assert_eq!(shown.change_id, Some(ChangeId::Id(change_tracker::LATEST)));

    let empty = root_with("");
    let file = empty.path().join("bootstrap.toml");
    let default =
        load(&root, &format!("x check --config {}", file.display())).expect("the defaults are right");
    let shown = Config {
        // What the example cannot show at its default.
        file: default.file.clone(),
        change_id: None,
        profile: None,
        build: Build {
            rustc: None,
            cargo: None,
            dist_server: None,
            ..shown.build
        },
        dist: Dist {
            name: None,
            ..shown.dist
        },
        ..shown
    };
    assert_eq!(shown, default);
}
