//! Cargo's messages: what it made, and where.

use std::io::{self, Write as _};
use std::path::PathBuf;

use cargo_metadata::{Artifact, Message};

use crate::cargo::Cargo;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// What becomes of the messages that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// They go on to stdout, byte for byte, if the user asked for JSON.
    IfAsked,
    /// They are for us alone.
    Never,
}

/// Runs a cargo command, and hands over each thing that it made.
///
/// # Errors
/// Where cargo cannot be started, its messages cannot be read or passed on, or a signal came.
pub fn read(
    ctx: &Context,
    cargo: Cargo<'_>,
    forward: Forward,
    mut each: impl FnMut(Artifact),
) -> Result<Exit> {
    let forward = forward == Forward::IfAsked && ctx.flags.json_output;
    // Unless somebody else reads the diagnostics, cargo shows them on stderr as it always does.
    let cargo = cargo.arg(if forward {
        "--message-format=json"
    } else {
        "--message-format=json-render-diagnostics"
    });
    cargo.run_reading(|line| {
        if forward {
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(line)
                .and_then(|()| stdout.flush())
                .map_err(|e| Error::environment("cannot write cargo's messages to stdout").because(e))?;
        }
        if let Some(artifact) = artifact(line) {
            each(artifact);
        }
        Ok(())
    })
}

/// Whether a message is the one that cargo ends with.
pub(crate) fn is_last(line: &[u8]) -> bool {
    line.starts_with(br#"{"reason":"build-finished""#)
}

/// Most messages are diagnostics, which can be large: they are passed over without being read.
fn artifact(line: &[u8]) -> Option<Artifact> {
    if !line.starts_with(br#"{"reason":"compiler-artifact""#) {
        return None;
    }
    match serde_json::from_slice(line) {
        Ok(Message::CompilerArtifact(artifact)) => Some(artifact),
        _ => None,
    }
}

/// The files of an artifact that other people run or load: programs, and libraries with a C interface. Those of other
/// people's packages are not meant.
pub fn outputs(artifact: &Artifact) -> Vec<PathBuf> {
    let is_local = artifact.package_id.repr.starts_with("path+");
    let target = &artifact.target;
    if !is_local {
        Vec::new()
    } else if target.is_bin() {
        artifact
            .executable
            .iter()
            .map(|path| path.clone().into())
            .collect()
    } else if target.is_cdylib() {
        // The same target may be a Rust library as well.
        let is_dylib = |path: &&cargo_metadata::camino::Utf8PathBuf| {
            path.extension() == Some(std::env::consts::DLL_EXTENSION)
        };
        artifact
            .filenames
            .iter()
            .filter(is_dylib)
            .map(|path| path.clone().into())
            .collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/a#0.1.0","manifest_path":"/w/a/Cargo.toml","target":{"kind":["bin"],"crate_types":["bin"],"name":"a","src_path":"/w/a/src/main.rs","edition":"2024","doc":true,"doctest":false,"test":true},"profile":{"opt_level":"0","debuginfo":2,"debug_assertions":true,"overflow_checks":true,"test":false},"features":[],"filenames":["/t/debug/a"],"executable":"/t/debug/a","fresh":false}"#;

    #[test]
    fn a_program_is_an_output() {
        let artifact = artifact(PROGRAM.as_bytes()).unwrap();
        assert_eq!(outputs(&artifact), [PathBuf::from("/t/debug/a")]);
    }

    #[test]
    fn a_c_library_is_one_and_the_rust_library_beside_it_is_not() {
        let library = PROGRAM
            .replace(r#"["bin"]"#, r#"["cdylib","rlib"]"#)
            .replace(
                r#"["/t/debug/a"]"#,
                &format!(
                    r#"["/t/liba.{}","/t/liba.rlib"]"#,
                    std::env::consts::DLL_EXTENSION
                ),
            )
            .replace(r#""executable":"/t/debug/a""#, r#""executable":null"#);
        let artifact = artifact(library.as_bytes()).unwrap();
        assert_eq!(outputs(&artifact).len(), 1);
    }

    #[test]
    fn other_peoples_programs_and_other_messages_are_none() {
        let theirs = PROGRAM.replace("path+file:///w/a", "registry+https://example.org#a");
        assert!(outputs(&artifact(theirs.as_bytes()).unwrap()).is_empty());
        assert!(artifact(br#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(artifact(b"not JSON\n").is_none());
    }

    #[test]
    fn the_last_message_is_told_from_the_others() {
        assert!(is_last(b"{\"reason\":\"build-finished\",\"success\":false}\n"));
        assert!(!is_last(PROGRAM.as_bytes()));
    }
}
