//! What `./x` costs over cargo: `cargo bench -p process-tests --bench check`.
//!
//! Prints how long `./x check` takes where there is nothing to do, beside plain `cargo check` of the same workspace where there
//! is nothing to do, played in turn so that a busy moment meets all of them. Run it on an idle machine. `WORKSPACE=FOLDER` has
//! it check a workspace of yours instead of one with two small packages; `ROUNDS=n` sets how often, 60 unless set. Both use
//! the same cargo, without rustup's stand-in before it. Python is started without one, too; what its start takes is part of
//! what `./x` takes, and differs much from one installation to another.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use process_tests::in_turn;
use process_tests::project::{Project, root};

fn main() {
    let project = Project::new();
    let workspace = std::env::var_os("WORKSPACE").map_or_else(|| project.path("ws"), PathBuf::from);
    let (build, cache) = (project.build_dir(), root().join("build/cache"));
    let configuration = format!(
        "build.build-dir = {build:?}\nbuild.cache-dir = {cache:?}\nbuild.workspaces = [{workspace:?}]\n"
    );
    project.write("bootstrap.toml", &configuration);
    let check = project.command(&["check"]);
    let (cargo, python) = (std::env::var_os("CARGO"), python());
    let mut cargo = quiet(Command::new(cargo.unwrap_or_else(|| "cargo".into())), &check);
    cargo
        .args(["check", "--workspace", "--target-dir"])
        .arg(project.path("plain"))
        .current_dir(&workspace);
    let mut x = quiet(Command::new(&python), &check);
    x.args(check.get_args()).current_dir(&workspace);
    let mut nothing = quiet(Command::new(&python), &check);
    nothing.args(["-c", ""]);
    let mut commands = [
        ("cargo check", cargo),
        ("./x check", x),
        ("python -c ''", nothing),
    ];
    // From here on there is nothing to do.
    for (_, command) in &mut commands {
        in_turn::time(command);
    }
    in_turn::print(&mut commands, 60);
}

/// Where Python is itself, not a stand-in that looks for it each time.
fn python() -> PathBuf {
    let told = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let told = String::from_utf8(told.expect("Python starts").stdout).expect("a path");
    PathBuf::from(told.trim())
}

/// A command that says nothing, in the environment of another one.
fn quiet(mut command: Command, like: &Command) -> Command {
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
