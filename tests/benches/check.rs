//! What `./x` costs over cargo: `cargo bench -p process-tests --bench check`.
//!
//! Prints how long `./x check` takes where there is nothing to do, beside plain `cargo check` of the same workspace where there
//! is nothing to do, played in turn so that a busy moment meets all of them. Run it on an idle machine. `WORKSPACE=FOLDER` has
//! it check a workspace of yours instead of one with two small packages; `ROUNDS=n` sets how often, 60 unless set. Both use
//! the same cargo, without rustup's stand-in before it. Python is started without one, too; what its start takes is part of
//! what `./x` takes, and differs much from one installation to another.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use process_tests::project::{Project, root};

/// Makes a command of a project.
type Act<'a> = &'a dyn Fn(&Project) -> Command;

fn main() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok());
    let rounds: usize = rounds.unwrap_or(60);
    let project = Project::new();
    let workspace = std::env::var_os("WORKSPACE").map_or_else(|| project.path("ws"), PathBuf::from);
    let python = python();
    let cargo = |project: &Project| {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut cargo = like(&project.command(&[]), Command::new(program));
        cargo
            .args(["check", "--workspace", "--target-dir"])
            .arg(project.path("plain"))
            .current_dir(&workspace);
        cargo
    };
    let x = |project: &Project| {
        let command = project.command(&["check"]);
        let mut x = like(&command, Command::new(&python));
        x.args(command.get_args()).current_dir(&workspace);
        x
    };
    let build = project.build_dir();
    let cache = root().join("build/cache");
    let configuration = format!(
        "build.build-dir = {build:?}\nbuild.cache-dir = {cache:?}\nbuild.workspaces = [{workspace:?}]\n"
    );
    project.write("bootstrap.toml", &configuration);
    let nothing = |project: &Project| {
        let mut nothing = like(&project.command(&[]), Command::new(&python));
        nothing.args(["-c", ""]);
        nothing
    };
    let acts: [(&str, Act<'_>); 3] = [
        ("cargo check", &cargo),
        ("./x check", &x),
        ("python -c ''", &nothing),
    ];
    for (_, act) in &acts {
        time(&mut act(&project));
    }
    let mut times = acts.map(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, act), times) in acts.iter().zip(&mut times) {
            times.push(time(&mut act(&project)));
        }
    }
    println!("{rounds} times each, nothing to do in {}\n", workspace.display());
    println!("| command      | p50 ms | p90 ms | over cargo, p50 ms |");
    println!("| ------------ | ------ | ------ | ------------------ |");
    let cargo = at(&mut times[0], 50);
    for ((what, _), times) in acts.iter().zip(&mut times) {
        let (p50, p90) = (at(times, 50), at(times, 90));
        println!("| {what:<12} | {p50:>6.1} | {p90:>6.1} | {:>18.1} |", p50 - cargo);
    }
}

/// Where Python is itself, not a stand-in that looks for it each time.
fn python() -> PathBuf {
    let told = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let told = String::from_utf8(told.expect("Python starts").stdout).expect("a path");
    PathBuf::from(told.trim())
}

/// A command in the environment of another one.
fn like(other: &Command, mut command: Command) -> Command {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn time(command: &mut Command) -> Duration {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
    start.elapsed()
}

/// So many of a hundred took no longer, in milliseconds.
fn at(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}
