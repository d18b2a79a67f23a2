//! The commands of `docs/adopting.md`, run as they stand there.

use std::env::{join_paths, split_paths, var_os};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use process_tests::program::buildlock;

/// An `x.py` that says what it was asked for, as one of rust-lang/rust would do it.
const X_PY: &str = "import sys\nprint('x.py', *sys.argv[1:])\n";

/// A program of rustup's that says what it was asked for.
const PROXY: &str = "#!/bin/sh\necho \"$(basename \"$0\")\" \"$@\"\n";

#[test]
fn the_commands_in_the_guide_to_adopting_work_as_they_stand() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adopting.md");
    let blocks = shell_blocks(&std::fs::read_to_string(guide).unwrap());
    assert!(blocks.len() > 5, "the guide has lost its commands");
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path());
    for block in blocks {
        let done = shell(folder.path(), &block).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            done.status.success(),
            "{}:\n{block}\n{}{}",
            done.status,
            said(&done.stdout),
            said(&done.stderr)
        );
    }
}

#[test]
fn the_guide_counts_the_launchers_python_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = std::fs::read_to_string(root.join("docs/adopting.md")).unwrap();
    let files = std::fs::read_dir(root.join("src/bootstrap")).unwrap();
    let is_counted = |name: &str| name.ends_with(".py") && !name.starts_with("test_");
    let text = files
        .map(|file| file.unwrap())
        .filter(|file| is_counted(&file.file_name().to_string_lossy()))
        .map(|file| std::fs::read_to_string(file.path()).unwrap());
    let (lines, bytes) = text.fold((0, 0), |(lines, bytes), text| {
        (lines + text.lines().count(), bytes + text.len())
    });
    let size = format!("{} kB in five files, {lines} lines", (bytes + 500) / 1000);
    assert!(guide.contains(&size), "the launcher is {size}");
    let lock = std::fs::read_to_string(root.join("src/bootstrap/cache_lock.py")).unwrap();
    let lock = format!("cache_lock.py), {} lines", lock.lines().count());
    assert!(guide.contains(&lock), "{lock}");
}

/// The text of each block of shell commands.
fn shell_blocks(text: &str) -> Vec<String> {
    let blocks = text.split("\n```sh\n").skip(1);
    blocks
        .filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned()))
        .collect()
}

/// What the guide's reader has: a checkout, rustup's programs, and a workspace.
fn furnish(folder: &Path) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    write("rust/x.py", X_PY);
    for program in ["cargo", "rustc", "rustup"] {
        write(&format!("cargo-home/bin/{program}"), PROXY);
    }
    write(
        "workspace/Cargo.toml",
        "[package]\nname = \"small\"\nedition = \"2024\"\n",
    );
    write("workspace/src/lib.rs", "");
    let git = Command::new("git")
        .args(["init", "--quiet"])
        .arg(folder.join("workspace"))
        .status();
    assert!(git.unwrap().success());
}

/// A shell in the folder, in which `buildlock` and the toolchain of this build are found first, and nothing of the user's is.
fn shell(folder: &Path, script: &str) -> Command {
    let mut path = vec![beside(buildlock()), toolchain()];
    path.extend(split_paths(&var_os("PATH").unwrap()));
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script]).current_dir(folder);
    shell.env("PATH", join_paths(path).unwrap());
    shell.env("HOME", folder);
    for (variable, name) in [
        ("CARGO_HOME", "cargo-home"),
        ("RUSTUP_HOME", "rustup-home"),
        ("XDG_RUNTIME_DIR", "runtime"),
    ] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        shell.env(variable, folder.join(name));
    }
    for variable in [
        buildlock::SESSION_VARIABLE,
        "MAKEFLAGS",
        "CARGO_MAKEFLAGS",
        "CARGO_TARGET_DIR",
    ] {
        shell.env_remove(variable);
    }
    shell
}

/// The real programs of the toolchain: rustup's proxies would look for it in the guide's own empty RUSTUP_HOME.
fn toolchain() -> PathBuf {
    let told = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .unwrap();
    Path::new(String::from_utf8(told.stdout).unwrap().trim()).join("bin")
}

fn beside(program: &Path) -> PathBuf {
    program.parent().unwrap().to_owned()
}
