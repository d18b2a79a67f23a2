//! Suites: what a workspace wants tested that is no cargo test.
//!
//! A workspace declares them in its root `Cargo.toml`, where cargo leaves such a table alone:
//!
//! ```toml
//! [workspace.metadata.bootstrap.suites.launcher]
//! about = "the launcher's unit tests"
//! command = ["python3", "-m", "unittest", "discover", "src/bootstrap"]
//! needs = "python3"
//! install = "apt install python3"
//! env = { PYTHONDEVMODE = "1" }
//! ```
//!
//! It runs in the workspace's folder, and is told the build directory in `SUITE_BUILD_DIR`: there it may keep what it makes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::Deserialize;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::workspace::Workspace;

/// Tells a suite the build directory.
const BUILD_DIR_VARIABLE: &str = "SUITE_BUILD_DIR";

/// A suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its name, unique among the workspaces.
    pub name: String,
    /// The folder of the workspace that declares it, in which it runs.
    pub folder: PathBuf,
    /// What was declared.
    pub declared: Declared,
}

/// What a suite's table says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What it tests, in a few words.
    #[serde(default)]
    pub about: String,
    /// A program that it needs.
    pub needs: Option<String>,
    /// How to get that program.
    pub install: Option<String>,
    /// What to add to its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// The part of a manifest that is looked at.
#[derive(Debug, Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    workspace: WorkspaceTable,
}

#[derive(Debug, Default, Deserialize)]
struct WorkspaceTable {
    #[serde(default)]
    metadata: MetadataTable,
}

#[derive(Debug, Default, Deserialize)]
struct MetadataTable {
    #[serde(default)]
    bootstrap: BootstrapTable,
}

/// The table that is ours.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BootstrapTable {
    #[serde(default)]
    suites: BTreeMap<String, Declared>,
}

impl Suite {
    /// The suites of all workspaces, by workspace and name.
    ///
    /// # Errors
    /// Where a manifest cannot be read, or declares a suite that makes no sense.
    pub fn all(workspaces: &[Workspace]) -> Result<Vec<Self>> {
        let mut suites: Vec<Self> = Vec::new();
        for workspace in workspaces {
            let manifest = workspace.manifest();
            let text = fs::read_to_string(&manifest).map_err(|e| Error::io("cannot read", &manifest, e))?;
            for suite in declared_in(&workspace.folder, &text)? {
                if suites.iter().any(|other| other.name == suite.name) {
                    let twice = format!("two workspaces declare a suite `{}`; the second is", suite.name);
                    return Err(Error::usage(twice).at(manifest));
                }
                suites.push(suite);
            }
        }
        Ok(suites)
    }

    /// Runs it, and says in a line how it went.
    ///
    /// # Errors
    /// Where it cannot be started, or a signal came.
    pub fn run(&self, ctx: &Context, rest: &[OsString]) -> Result<Exit> {
        if let Some(missing) = self.missing(ctx) {
            ctx.shell.error(&missing);
            return Ok(missing.exit());
        }
        let mut command = self.command();
        command
            .args(rest)
            .env(BUILD_DIR_VARIABLE, &ctx.config.build.build_dir);
        ctx.shell.status(
            "Running",
            format_args!("suite {} ({})", self.name, self.declared.about),
        );
        let start = Instant::now();
        let status = ctx.run(&mut command)?;
        let exit = crate::cargo::outcome(ctx, &self.name, status)?;
        let verdict = if exit == Exit::Done { "ok" } else { "FAILED" };
        let seconds = start.elapsed().as_secs_f64();
        ctx.shell.status(
            "Finished",
            format_args!("suite {}: {verdict} in {seconds:.2}s", self.name),
        );
        Ok(exit)
    }

    fn command(&self) -> Command {
        let mut words = self.declared.command.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command
            .args(words)
            .current_dir(&self.folder)
            .envs(&self.declared.env);
        command
    }

    /// Why it cannot run here, if it needs a program that is not there.
    fn missing(&self, ctx: &Context) -> Option<Error> {
        let needs = self.declared.needs.as_deref()?;
        if ctx.flags.dry_run || is_on_path(needs) {
            return None;
        }
        let error = Error::environment(format!(
            "the suite {} needs `{needs}`, which is not on PATH",
            self.name
        ));
        Some(match &self.declared.install {
            Some(how) => error.advice(format!("get it with `{how}`")),
            None => error,
        })
    }
}

fn declared_in(folder: &Path, manifest: &str) -> Result<Vec<Suite>> {
    let refused = |what: String| Error::usage(what).at(folder.join("Cargo.toml"));
    let parsed: Manifest = toml::from_str(manifest)
        .map_err(|e| refused("cannot read the suites that are declared in".to_owned()).because(e))?;
    let suite = |(name, declared): (String, Declared)| {
        if declared.command.is_empty() {
            return Err(refused(format!("`command` of the suite `{name}` is empty in")));
        }
        Ok(Suite {
            name,
            folder: folder.to_owned(),
            declared,
        })
    };
    parsed
        .workspace
        .metadata
        .bootstrap
        .suites
        .into_iter()
        .map(suite)
        .collect()
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).any(|folder| folder.join(&name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_read_from_a_manifest_and_the_rest_of_it_is_left_alone() {
        let manifest = r#"
            [workspace]
            members = ["a"]
            [workspace.metadata.docs]
            x = 1
            [workspace.metadata.bootstrap.suites.lint]
            command = ["ruff", "check"]
            about = "style"
            needs = "ruff"
            install = "pip install ruff"
        "#;
        let suites = declared_in("/w".as_ref(), manifest).unwrap();
        assert_eq!(suites.len(), 1);
        assert_eq!(suites[0].name, "lint");
        assert_eq!(suites[0].declared.needs.as_deref(), Some("ruff"));
        assert!(
            declared_in("/w".as_ref(), "[package]\nname = 'x'")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_suite_that_makes_no_sense_is_refused_with_its_manifest() {
        for table in ["command = []", "command = ['x']\ncomand = 1", "about = 'x'"] {
            let manifest = format!("[workspace.metadata.bootstrap.suites.s]\n{table}");
            let error = declared_in("/w".as_ref(), &manifest).unwrap_err();
            assert!(error.to_string().contains("Cargo.toml"), "{error}");
        }
    }
}
