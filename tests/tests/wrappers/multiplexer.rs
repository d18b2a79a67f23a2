//! The example of the crate, a toolchain multiplexer, with processes beside each other.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use buildlock::CacheLock;
use process_tests::program::multiplexer;
use process_tests::script::{Running, make_named_pipe, until};
use tempfile::TempDir;

/// A multiplexer's home, and folders to install toolchains from.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }

    /// A toolchain with one program.
    fn source(&self, name: &str, script: &str) -> PathBuf {
        let folder = self.0.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let tool = folder.join("tool");
        std::fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
        folder
    }

    /// A toolchain of which an install reads one file, a named pipe, only when somebody writes it.
    fn slow_source(&self, name: &str) -> (PathBuf, PathBuf) {
        let folder = self.source(name, &format!("echo {name}"));
        let pipe = folder.join("pipe");
        make_named_pipe(&pipe);
        (folder, pipe)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(multiplexer());
        command.arg(self.home()).args(words);
        command.env_remove(buildlock::SESSION_VARIABLE);
        command
    }

    fn install(&self, name: &str, source: &Path) -> Running {
        Running::start(self.command(&["install", name, source.to_str().unwrap()]))
    }

    /// Starts an install of a slow toolchain, and returns it while it copies.
    fn install_that_copies(&self, source: &Path, pipe: &Path) -> Running {
        let install = self.install("slow", source);
        std::fs::write(pipe, "content").unwrap();
        until("the install to copy", || {
            CacheLock::holder(&self.home().join("session")).unwrap().is_some()
        })
        .unwrap();
        install
    }

    fn run(&self, toolchain: &str) -> Running {
        let mut proxy = Command::new(self.home().join("bin/tool"));
        proxy.env("TOOLCHAIN", toolchain);
        proxy.env_remove(buildlock::SESSION_VARIABLE);
        Running::start(proxy)
    }

    /// The names of the toolchains.
    fn list(&self) -> Vec<String> {
        let list = Running::start(self.command(&["list"])).end().unwrap();
        let name = |line: &str| line.split(' ').next().unwrap().to_owned();
        list.lines().map(name).collect()
    }
}

#[test]
fn of_two_installs_at_once_the_second_waits_while_the_first_copies_and_both_last() {
    let scene = Scene::new();
    let (slow, pipe) = scene.slow_source("one");
    let quick = scene.source("two", "echo two");
    let first = scene.install_that_copies(&slow, &pipe);
    let second = scene.install("quick", &quick);
    until("the second to wait", || {
        second.said().contains("waiting for multiplexer install")
    })
    .unwrap();
    std::fs::write(pipe, "content").unwrap();
    first.end().unwrap();
    second.end().unwrap();
    assert_eq!(scene.list(), ["quick", "slow"]);
    assert_eq!(scene.run("slow").end().unwrap(), "one\n");
    assert_eq!(scene.run("quick").end().unwrap(), "two\n");
}

#[test]
fn a_program_runs_while_another_toolchain_is_being_installed() {
    let scene = Scene::new();
    scene
        .install("default", &scene.source("one", "echo one"))
        .end()
        .unwrap();
    let (slow, pipe) = scene.slow_source("two");
    let install = scene.install_that_copies(&slow, &pipe);
    assert_eq!(scene.run("default").end().unwrap(), "one\n");
    assert_eq!(scene.list(), ["default"]);
    std::fs::write(pipe, "content").unwrap();
    install.end().unwrap();
    assert_eq!(scene.list(), ["default", "slow"]);
}

#[test]
fn a_program_that_a_signal_ends_is_told_from_one_that_fails() {
    let scene = Scene::new();
    for (name, script, code) in [("fails", "exit 1", 1), ("killed", "kill -KILL $$", 137)] {
        scene.install(name, &scene.source(name, script)).end().unwrap();
        let status = scene.run(name).end_anyhow().unwrap().0;
        assert_eq!(status.code(), Some(code), "{name}");
    }
}

#[test]
fn a_program_that_installs_a_toolchain_neither_waits_for_itself_nor_is_refused() {
    let scene = Scene::new();
    let other = scene.source("other", "echo other");
    let (program, home) = (multiplexer().display(), scene.home());
    let nested = format!(
        "'{program}' '{}' install other '{}'",
        home.display(),
        other.display()
    );
    let source = scene.source("nesting", &nested);
    scene.install("default", &source).end().unwrap();
    scene.run("default").end().unwrap();
    assert_eq!(scene.list(), ["default", "other"]);
    assert_eq!(scene.run("other").end().unwrap(), "other\n");
}

#[test]
fn an_install_that_is_killed_while_it_copies_leaves_nothing_that_counts() {
    let scene = Scene::new();
    let (slow, pipe) = scene.slow_source("one");
    scene.install_that_copies(&slow, &pipe).kill();
    assert!(scene.list().is_empty());
    assert_eq!(std::fs::read_dir(scene.home().join("store")).unwrap().count(), 0);
    scene
        .install("default", &scene.source("two", "echo two"))
        .end()
        .unwrap();
    assert_eq!(scene.run("default").end().unwrap(), "two\n");
}

#[test]
fn a_name_that_would_lead_elsewhere_or_be_overlooked_is_refused() {
    let scene = Scene::new();
    let source = scene.source("one", "echo one");
    for name in ["", "..", "../one", "a/b", ".new", ".hidden"] {
        let why = scene.install(name, &source).end().unwrap_err();
        assert!(why.contains("is no name for a toolchain"), "{why}");
    }
    assert!(scene.list().is_empty());
}

#[test]
fn what_was_changed_while_it_was_copied_is_not_installed() {
    let scene = Scene::new();
    let (slow, pipe) = scene.slow_source("one");
    let install = scene.install_that_copies(&slow, &pipe);
    std::fs::write(pipe, "other content").unwrap();
    let said = install.end().unwrap_err();
    assert!(said.contains("was changed while it was copied"), "{said}");
    assert!(scene.list().is_empty());
}
