//! Programs of the crate `buildlock`, as built from this tree.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of `buildlock`. Built on first use, because cargo builds no other package's programs for a test.
///
/// # Panics
/// If it cannot be built.
pub fn buildlock() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built(&["--bin", "buildlock"]))
}

/// The path of the example program `multiplexer`. Built on first use, too.
///
/// # Panics
/// If it cannot be built.
pub fn multiplexer() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built(&["--example", "multiplexer"]))
}

fn built(target: &[&str]) -> PathBuf {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "buildlock"])
        .args(target)
        .args(["--message-format", "json"])
        .current_dir(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .parent()
                .expect("the workspace"),
        )
        .output()
        .expect("cargo starts");
    assert!(
        build.status.success(),
        "{}",
        String::from_utf8_lossy(&build.stderr)
    );
    let messages = String::from_utf8_lossy(&build.stdout);
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    messages
        .lines()
        .find_map(executable)
        .expect("cargo names the program that it built")
}
