//! The optimistic launch: the launcher holds nothing while it looks for the driver and stage0, so the driver looks again
//! once it owns its session, and goes back through the launcher if either is not the current one any more.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::components;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::stage0::pin::hex;
use crate::stage0::{Cache, Component, Pin, collect};

/// How often a command may go back. More means that somebody changes the sources faster than they can be built.
const RELAUNCHES_MAX: u32 = 3;

/// How deep the folders of the sources may nest.
const DEPTH_MAX: usize = 32;

/// Why the driver is not the one that should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Its sources changed.
    Driver,
    /// The pin of stage0 changed, or the toolchain was removed.
    Stage0,
}

/// Looks, for a command that holds a session, whether the driver is [`stale`]. One that holds none changes nothing that others
/// share, and has no moment from which on the answer would last.
///
/// # Errors
/// As [`stale`].
pub fn stale_under(ctx: &Context) -> Result<Option<Stale>> {
    match ctx.hold.session() {
        Some(_) => stale(&ctx.launch, &components::cache(&ctx.config)),
        None => Ok(None),
    }
}

/// Looks whether this driver, and the toolchain that it was given, are still the current ones. The session must be held:
/// before, the answer may be outdated the moment it is given.
///
/// # Errors
/// Where the sources or the pin cannot be read.
pub fn stale(launch: &Launch, cache: &Cache) -> Result<Option<Stale>> {
    if launch.stage0 != "local" {
        let key = Pin::read(&launch.root)?.key(&Component::BASE, &launch.host)?;
        if key != launch.stage0 || collect::note_use(&cache.toolchain(&key)).is_err() {
            return Ok(Some(Stale::Stage0));
        }
    }
    // A driver that was started by hand, under a debugger say, has no fingerprint and stays.
    if launch.fingerprint.is_empty() {
        return Ok(None);
    }
    // Whether it is still in the cache does not matter, as it runs; that it is used does, if it is.
    let _ = collect::note_use(&cache.driver(&launch.fingerprint));
    let start = Instant::now();
    let now = fingerprint(&launch.root, &launch.rustc, &launch.rustc_version)
        .map_err(|e| Error::io("cannot read the driver's sources below", &launch.root, e))?;
    tracing::debug!(
        took_us = start.elapsed().as_micros() as u64,
        "hashed the driver's sources"
    );
    Ok((now != launch.fingerprint).then_some(Stale::Driver))
}

/// Goes back through the launcher with the same command line. The session must be let go of before. On Unix this process
/// becomes the launcher, so that it returns only where that fails; elsewhere it returns the launcher's exit code.
///
/// # Errors
/// Where the launcher cannot be started, or has been too often.
pub fn again(launch: &Launch, why: Stale, arguments: impl IntoIterator<Item = OsString>) -> Result<u8> {
    if launch.relaunches >= RELAUNCHES_MAX {
        let what = match why {
            Stale::Driver => "the driver's sources",
            Stale::Stage0 => "the toolchain, or its pin in src/stage0,",
        };
        let text = format!("{what} changed {RELAUNCHES_MAX} times while the command waited to start");
        return Err(Error::environment(text).advice("try again once nobody edits them"));
    }
    let script = launch.root.join("x.py");
    tracing::debug!(
        ?why,
        relaunches = launch.relaunches + 1,
        "going back through the launcher"
    );
    let mut command = Command::new(&launch.python);
    command
        .arg(&script)
        .args(arguments)
        .env("BOOTSTRAP_RELAUNCHES", (launch.relaunches + 1).to_string());
    become_it(command).map_err(|e| Error::io("cannot start the launcher again as", script, e))
}

#[cfg(unix)]
fn become_it(mut command: Command) -> io::Result<u8> {
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> io::Result<u8> {
    Ok(u8::try_from(command.status()?.code().unwrap_or(1)).unwrap_or(1))
}

/// Hashes the driver's sources and its compiler, as the launcher does (`toolchain.py`).
///
/// It is the SHA-256 over an entry for each file, `path NUL length-of-content NUL content`, sorted by path, and one for rustc.
/// Absent files are passed over, and hidden ones, which editors make.
///
/// # Errors
/// Where they cannot be read.
pub fn fingerprint(root: &Path, rustc: &Path, rustc_version: &str) -> io::Result<String> {
    let mut files = Vec::new();
    for file in [
        "Cargo.toml",
        "Cargo.lock",
        "src/bootstrap/Cargo.toml",
        "src/buildlock/Cargo.toml",
    ] {
        files.push(file.to_owned());
    }
    let is_source = |name: &str| [".rs", ".toml", ".md"].iter().any(|end| name.ends_with(end));
    for folder in ["src/bootstrap/defaults", "src/bootstrap/src", "src/buildlock/src"] {
        list(root, folder, &is_source, DEPTH_MAX, &mut files)?;
    }
    files.sort_unstable();

    let mut sum = Sha256::new();
    for file in files {
        match fs::read(root.join(&file)) {
            Ok(content) => add(&mut sum, &file, &content),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    let compiler = [rustc.as_os_str().as_encoded_bytes(), rustc_version.as_bytes()].join(&0);
    add(&mut sum, "rustc", &compiler);
    Ok(hex(&sum.finalize()))
}

fn add(sum: &mut Sha256, path: &str, content: &[u8]) {
    sum.update(format!("{path}\0{}\0", content.len()));
    sum.update(content);
}

/// Lists the files below a folder whose names are wanted, with `/` between the parts of their paths.
fn list(
    root: &Path,
    folder: &str,
    wanted: &dyn Fn(&str) -> bool,
    depth_left: usize,
    files: &mut Vec<String>,
) -> io::Result<()> {
    let path: PathBuf = root.join(folder);
    let entries = match fs::read_dir(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Neither side can hash a name that is no text, and cargo would not build it.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let below = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            if depth_left > 0 {
                list(root, &below, wanted, depth_left - 1, files)?;
            }
        } else if wanted(&name) && !name.starts_with('.') {
            files.push(below);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    const FILES: &[(&str, &str)] = &[
        ("Cargo.toml", "[workspace]\n"),
        ("src/bootstrap/Cargo.toml", "[package]\n"),
        ("src/bootstrap/src/main.rs", "fn main() {}\n"),
        ("src/bootstrap/src/deep/er.rs", "\n"),
        ("src/bootstrap/defaults/bootstrap.dev.toml", ""),
        ("src/buildlock/src/lib.rs", "//! x\n"),
    ];

    fn of(files: &[(&str, &str)]) -> String {
        fingerprint(tree(files).path(), Path::new("/bin/rustc"), "rustc 1.95.0").unwrap()
    }

    #[test]
    fn the_fingerprint_is_the_hash_that_the_launcher_computes() {
        // Spelled out once, entry for entry, with nothing of the code above.
        let mut text = Vec::new();
        for (path, content) in [
            ("Cargo.toml", "[workspace]\n"),
            ("src/bootstrap/Cargo.toml", "[package]\n"),
            ("src/bootstrap/defaults/bootstrap.dev.toml", ""),
            ("src/bootstrap/src/deep/er.rs", "\n"),
            ("src/bootstrap/src/main.rs", "fn main() {}\n"),
            ("src/buildlock/src/lib.rs", "//! x\n"),
            ("rustc", "/bin/rustc\0rustc 1.95.0"),
        ] {
            text.extend_from_slice(format!("{path}\0{}\0{content}", content.len()).as_bytes());
        }
        assert_eq!(of(FILES), hex(&Sha256::digest(text)));
    }

    #[test]
    fn only_what_the_driver_is_built_from_counts() {
        let with = |extra: (&'static str, &'static str)| of(&[FILES, &[extra]].concat());
        for harmless in [
            "README.md",
            "src/bootstrap/src/a.txt",
            "src/bootstrap/tests/t.rs",
            "src/stage0",
            "src/buildlock/src/.#lib.rs",
            "tests/x.rs",
        ] {
            assert_eq!(with((harmless, "x")), of(FILES), "{harmless}");
        }
        for source in [
            "Cargo.lock",
            "src/buildlock/src/a.rs",
            "src/bootstrap/src/x/y.md",
            "src/bootstrap/defaults/x.toml",
        ] {
            assert_ne!(with((source, "x")), of(FILES), "{source}");
        }
    }

    #[test]
    fn a_driver_goes_back_when_its_sources_or_its_toolchain_changed() {
        let pin = include_str!("../../stage0");
        let root = tree(&[FILES, &[("src/stage0", pin)]].concat());
        let host = "x86_64-unknown-linux-gnu";
        let key = Pin::parse(pin).unwrap().key(&Component::BASE, host).unwrap();
        let rustc = PathBuf::from("/bin/rustc");
        let mut launch = Launch {
            root: root.path().to_owned(),
            build_dir: root.path().join("build"),
            fingerprint: fingerprint(root.path(), &rustc, "v").unwrap(),
            stage0: "local".to_owned(),
            cargo: PathBuf::new(),
            rustc,
            rustc_version: "v".to_owned(),
            host: host.to_owned(),
            python: PathBuf::new(),
            relaunches: 0,
            refused: None,
        };
        let cache = Cache::new(&launch.build_dir.join("cache"), &launch.build_dir, Path::new("/"));
        assert_eq!(stale(&launch, &cache).unwrap(), None);
        fs::write(root.path().join("Cargo.lock"), "x").unwrap();
        assert_eq!(stale(&launch, &cache).unwrap(), Some(Stale::Driver));
        fs::remove_file(root.path().join("Cargo.lock")).unwrap();

        launch.stage0.clone_from(&key);
        assert_eq!(
            stale(&launch, &cache).unwrap(),
            Some(Stale::Stage0),
            "it was removed"
        );
        fs::create_dir_all(cache.toolchain(&key)).unwrap();
        assert_eq!(stale(&launch, &cache).unwrap(), None);
        launch.stage0 = "of another pin".to_owned();
        assert_eq!(stale(&launch, &cache).unwrap(), Some(Stale::Stage0));
    }

    #[test]
    fn who_has_gone_back_too_often_gives_up() {
        let launch = Launch {
            root: PathBuf::new(),
            build_dir: PathBuf::new(),
            fingerprint: String::new(),
            stage0: String::new(),
            cargo: PathBuf::new(),
            rustc: PathBuf::new(),
            rustc_version: String::new(),
            host: String::new(),
            python: "/nonexistent/python".into(),
            relaunches: RELAUNCHES_MAX,
            refused: None,
        };
        let error = again(&launch, Stale::Driver, []).unwrap_err();
        assert!(error.to_string().contains("changed 3 times"), "{error}");
    }
}
