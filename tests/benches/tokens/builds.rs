//! Real builds to measure: a workspace of crates that keep the compiler busy.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many crates a workspace has. Some use others, so that not all can be compiled at once.
const CRATES: usize = 16;

/// Often enough to see what overlaps, seldom enough not to be what is measured.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// How many functions a crate has: what it costs to compile.
fn functions() -> usize {
    std::env::var("FUNCTIONS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(4)
}

/// Writes a workspace into `root`.
pub(crate) fn write(root: &Path) {
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        std::fs::write(path, text).expect("room");
    };
    put(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"part*\"]\n[profile.dev]\nopt-level = 1\n",
    );
    for n in 0..CRATES {
        let mut manifest = format!(
            "[package]\nname = \"part{n}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\n"
        );
        if n >= CRATES / 2 {
            let _ = writeln!(manifest, "part{} = {{ path = \"../part{}\" }}", n / 4, n / 4);
        }
        put(&format!("part{n}/Cargo.toml"), &manifest);
        let mut source = String::new();
        for f in 0..functions() {
            let _ = writeln!(
                source,
                "pub fn f{f}(x: &[u32]) -> std::collections::BTreeMap<String, Vec<u64>> {{\n    let mut map = \
                 std::collections::BTreeMap::<String, Vec<u64>>::new();\n    for (i, v) in x.iter().enumerate() \
                 .filter(|(i, _)| i % {} != 1) {{\n        map.entry(format!(\"{{i}}-{f}-{{v}}\")) \
                 .or_default().extend(x.iter().map(|&y| \
                 u64::from(y) * {f}).rev());\n    }}\n    map.retain(|k, v| k.len() + v.len() > {f});\n    map\n}}",
                f + 2
            );
        }
        put(&format!("part{n}/src/lib.rs"), &source);
    }
}

/// What was seen of compilers while builds ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) took: Duration,
    pub(crate) compilers_max: usize,
    pub(crate) memory_mib_max: u64,
}

/// Runs commands at once, below `root`, and watches the compilers there.
pub(crate) fn watch(root: &Path, commands: Vec<Command>) -> Seen {
    let start = Instant::now();
    let mut builds: Vec<Child> = commands
        .into_iter()
        .map(|mut c| {
            c.stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a build")
        })
        .collect();
    let mut seen = Seen::default();
    while builds
        .iter_mut()
        .any(|b| b.try_wait().expect("an answer").is_none())
    {
        let compilers = compilers(root);
        seen.compilers_max = seen.compilers_max.max(compilers.len());
        seen.memory_mib_max = seen
            .memory_mib_max
            .max(compilers.iter().map(|p| resident_kib(p)).sum::<u64>() >> 10);
        std::thread::sleep(SAMPLE_EVERY);
    }
    seen.took = start.elapsed();
    for mut build in builds {
        assert!(build.wait().expect("an end").success());
    }
    seen
}

fn compilers(root: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").expect("a proc file system").flatten();
    let is_one = |path: &PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "rustc\n")
            && std::fs::read_link(path.join("cwd")).is_ok_and(|d| d.starts_with(root))
    };
    processes.map(|p| p.path()).filter(is_one).collect()
}

fn resident_kib(process: &Path) -> u64 {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}

/// `cargo build` of a workspace, from scratch.
pub(crate) fn cargo(mut command: Command, root: &Path) -> Command {
    drop(std::fs::remove_dir_all(root.join("target")));
    command
        .args(["build", "--offline", "--workspace"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .env_remove("CARGO_BUILD_JOBS");
    command
}

/// A plain `cargo`, without any jobserver around it.
pub(crate) fn plain() -> Command {
    let mut command = Command::new("cargo");
    for variable in ["MAKEFLAGS", "CARGO_MAKEFLAGS", "MFLAGS"] {
        command.env_remove(variable);
    }
    command
}
