//! Shims: installed, killed in the middle, removed.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use process_tests::program::buildlock;
use tempfile::TempDir;

/// A folder with a tool, and proxies that are links to it, as rustup has them.
struct Tools(TempDir);

const NAMES: [&str; 3] = ["tool", "proxy", "absolute"];

impl Tools {
    fn new() -> Self {
        let tools = Self(tempfile::tempdir().unwrap());
        let bin = tools.bin();
        std::fs::create_dir(&bin).unwrap();
        let script = "#!/bin/sh\necho \"$(basename \"$0\")\" \"$@\"\n[ \"$1\" != fail ] || exit 42\n";
        std::fs::write(bin.join("tool"), script).unwrap();
        std::fs::set_permissions(bin.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("tool", bin.join("proxy")).unwrap();
        std::os::unix::fs::symlink(bin.join("tool"), bin.join("absolute")).unwrap();
        let rules = "about = \"a tool\"\ndefault = \"shared\"\n[[rule]]\nname = \"changes things\"\nprograms = [\"tool\"]\n\
                     hold = \"exclusive\"\n[[rule]]\nname = \"looks\"\nprograms = [\"proxy\", \"absolute\", \
                     \"missing\"]\nhold = \"shared\"\n";
        std::fs::write(tools.0.path().join("rules.toml"), rules).unwrap();
        tools
    }

    fn bin(&self) -> PathBuf {
        self.0.path().join("bin")
    }

    fn words(&self, verb: &str) -> Vec<PathBuf> {
        let into = if verb == "install" { "--into" } else { "--from" };
        let mut words: Vec<PathBuf> = vec!["shim".into(), verb.into(), into.into(), self.bin()];
        if verb == "install" {
            words.extend(["--rules".into(), self.0.path().join("rules.toml")]);
            words.extend(["--dir".into(), self.0.path().join("session")]);
        }
        words
    }

    fn shim(&self, verb: &str) -> Option<i32> {
        let output = Command::new(buildlock()).args(self.words(verb)).output().unwrap();
        output.status.code()
    }

    /// Each tool does what it did before there were shims, and knows by which name it was called.
    #[track_caller]
    fn expect_all_work(&self, when: &str) {
        for name in NAMES {
            let run = Command::new(self.bin().join(name))
                .args(["a b", "c"])
                .output()
                .unwrap();
            // To stderr goes who did not finish.
            let said = String::from_utf8_lossy(&run.stdout);
            assert_eq!(said, format!("{name} a b c\n"), "{when}");
        }
    }

    fn listing(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.bin())
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn shims_run_the_real_programs_with_their_names_arguments_and_ends() {
    let tools = Tools::new();
    assert_eq!(tools.shim("install"), Some(0));
    assert_eq!(tools.shim("status"), Some(0));
    tools.expect_all_work("installed");
    for name in NAMES {
        let status = Command::new(tools.bin().join(name))
            .arg("fail")
            .output()
            .unwrap()
            .status;
        assert_eq!(status.code(), Some(42), "{name}");
    }
    let held = buildlock::Session::acquire(
        &buildlock::Registry::open(tools.0.path().join("session")).unwrap(),
        buildlock::Request::new(buildlock::Mode::Shared, "test"),
    );
    tools.bin().join("proxy").metadata().unwrap();
    let reader = Command::new(tools.bin().join("proxy")).output().unwrap();
    assert!(reader.status.success(), "two readers are beside each other");
    held.unwrap().release().unwrap();
}

#[test]
fn installing_twice_and_removing_once_leaves_all_as_it_was() {
    let tools = Tools::new();
    assert_eq!(tools.shim("install"), Some(0));
    assert_eq!(tools.shim("install"), Some(0));
    tools.expect_all_work("installed twice");
    assert_eq!(tools.shim("remove"), Some(0));
    tools.expect_all_work("removed");
    assert_eq!(tools.listing(), ["absolute", "proxy", "tool"]);
    assert_eq!(
        std::fs::read_link(tools.bin().join("proxy")).unwrap(),
        PathBuf::from("tool")
    );
    assert!(
        std::fs::read_to_string(tools.bin().join("tool"))
            .unwrap()
            .starts_with("#!/bin/sh")
    );
}

#[test]
fn a_program_that_was_rewritten_is_told_and_becomes_the_real_one() {
    let tools = Tools::new();
    assert_eq!(tools.shim("install"), Some(0));
    let tool = tools.bin().join("tool");
    std::fs::remove_file(&tool).unwrap();
    std::fs::write(&tool, "#!/bin/sh\necho new\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(tools.shim("status"), Some(1));
    assert_eq!(tools.shim("install"), Some(0));
    assert_eq!(tools.shim("status"), Some(0));
    let proxied = Command::new(tools.bin().join("proxy")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&proxied.stdout), "new\n");
}

#[test]
fn a_shim_that_somebody_removed_costs_nobody_the_program() {
    let tools = Tools::new();
    assert_eq!(tools.shim("install"), Some(0));
    for name in NAMES {
        std::fs::remove_file(tools.bin().join(name)).unwrap();
    }
    assert_eq!(tools.shim("status"), Some(1));
    assert_eq!(tools.shim("remove"), Some(0));
    tools.expect_all_work("removed");
    assert_eq!(tools.listing(), ["absolute", "proxy", "tool"]);
}

#[test]
fn a_shim_whose_program_is_gone_is_told() {
    let tools = Tools::new();
    assert_eq!(tools.shim("install"), Some(0));
    std::fs::remove_file(tools.bin().join(".buildlock/real/proxy")).unwrap();
    let status = Command::new(buildlock())
        .args(tools.words("status"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&status.stdout);
    assert_eq!(status.status.code(), Some(1), "{said}");
    assert!(said.contains("proxy: LOST"), "{said}");
    // Who says that it stands in for a program must be able to run it.
    assert_eq!(tools.shim("install"), Some(125));
}

#[test]
fn where_there_is_nothing_to_stand_in_for_nothing_is_left() {
    let tools = Tools::new();
    for folder in ["empty", "missing/deep"] {
        let into = tools.0.path().join(folder);
        if folder == "empty" {
            std::fs::create_dir(&into).unwrap();
        }
        let mut words = tools.words("install");
        words[3] = into.clone();
        let output = Command::new(buildlock()).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("none of the programs"), "{said}");
        assert_eq!(into.exists(), folder == "empty", "it made the folder");
        assert!(!into.join(".buildlock").exists(), "it left something");
    }
}

/// The calls that change the file system.
const CALLS: [&str; 12] = [
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "rmdir",
    "copy_file_range",
];

/// Kills `buildlock shim VERB` at its `n`th call of this kind; whether it got that far.
fn killed_at(tools: &Tools, verb: &str, call: &str, n: u32) -> bool {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"));
    strace
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={n}"));
    let done = strace.arg(buildlock()).args(tools.words(verb)).output().unwrap();
    !done.status.success()
}

/// Kills it at every call of this kind, each time anew, and returns at how many.
fn kill_at_each(verb: &str, call: &str) -> u32 {
    let mut kills = 0;
    loop {
        let tools = Tools::new();
        if verb == "remove" {
            assert_eq!(tools.shim("install"), Some(0));
        }
        if !killed_at(&tools, verb, call, kills + 1) {
            return kills;
        }
        kills += 1;
        let when = format!("{verb} killed at {call} number {kills}");
        tools.expect_all_work(&when);
        assert_eq!(tools.shim("install"), Some(0), "{when}");
        assert_eq!(tools.shim("status"), Some(0), "{when}");
        tools.expect_all_work(&when);
        assert_eq!(tools.shim("remove"), Some(0), "{when}");
        tools.expect_all_work(&when);
        assert_eq!(tools.listing(), ["absolute", "proxy", "tool"], "{when}");
    }
}

#[test]
fn killed_at_any_point_nothing_is_half_and_doing_it_again_completes_it() {
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|traced| traced.status.success()) {
        println!("skipped: needs strace, and the right to use it");
        return;
    }
    for verb in ["install", "remove"] {
        let kills: u32 = CALLS.iter().map(|call| kill_at_each(verb, call)).sum();
        assert!(kills > 10, "{verb} was only killed {kills} times");
    }
}
