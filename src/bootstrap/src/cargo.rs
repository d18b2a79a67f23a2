//! Cargo's command lines, and running them.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::interrupt;
use crate::messages;
use crate::tally::{Counting, Tally};
use crate::tokens::{self, Tokens};
use crate::workspace::{Chosen, Packages};

/// A cargo command on one workspace.
pub struct Cargo<'a> {
    ctx: &'a Context,
    subcommand: &'static str,
    command: Command,
    work: Work,
}

/// What a command costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// It runs compilers, and needs job tokens.
    Builds,
    /// It does what little it does by itself.
    Light,
}

/// What a subcommand does when something fails, and the user asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeepGoing {
    /// It takes `--keep-going`.
    Builds,
    /// It takes `--no-fail-fast`.
    Tests,
}

impl<'a> Cargo<'a> {
    /// A command that builds: with the target directory, the jobs, the profile and the messages that were asked for.
    #[must_use]
    pub fn building(ctx: &'a Context, subcommand: &'static str, on: &Chosen) -> Self {
        let mut cargo = Self::plain(ctx, subcommand, on);
        match &on.packages {
            Packages::All => drop(cargo.command.arg("--workspace")),
            Packages::Only(packages) => {
                for package in packages {
                    cargo.command.arg("--package").arg(package.spec());
                }
            }
        }
        cargo.command.arg("--target-dir").arg(&on.workspace.target);
        cargo.work = Work::Builds;
        if let Some(jobs) = tokens::jobs_argument(ctx) {
            cargo.command.arg("--jobs").arg(jobs.to_string());
        }
        if ctx.keeps_going() {
            cargo.command.arg(match keep_going(subcommand) {
                KeepGoing::Builds => "--keep-going",
                KeepGoing::Tests => "--no-fail-fast",
            });
        }
        if ctx.config.build.verbose > 1 {
            cargo.command.arg("--verbose");
        }
        cargo
    }

    /// A command that builds nothing.
    #[must_use]
    pub fn plain(ctx: &'a Context, subcommand: &'static str, on: &Chosen) -> Self {
        let mut command = Command::new(&ctx.launch.cargo);
        // Cargo looks for `.cargo/config.toml` from the working directory upwards, and that of the workspace is meant.
        command
            .current_dir(&on.workspace.folder)
            .arg(subcommand)
            .arg("--manifest-path")
            .arg(on.workspace.manifest());
        set_environment(ctx, &mut command);
        Self {
            ctx,
            subcommand,
            command,
            work: Work::Light,
        }
    }

    /// With the profile of `build.cargo-profile`.
    #[must_use]
    pub fn in_configured_profile(self) -> Self {
        let profile = self.ctx.config.build.cargo_profile.clone();
        self.in_profile(&profile)
    }

    /// With a profile. That which every command has by default is left to cargo, which has one of its own for tests.
    #[must_use]
    pub fn in_profile(self, profile: &str) -> Self {
        if profile == "dev" {
            self
        } else {
            self.arg("--profile").arg(profile)
        }
    }

    /// With cargo's messages as `--json-output` asks.
    #[must_use]
    pub fn with_messages(self) -> Self {
        if self.ctx.flags.json_output {
            self.arg("--message-format=json")
        } else {
            self
        }
    }

    /// With one argument more.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With what the user wrote for cargo itself.
    #[must_use]
    pub fn args(mut self, args: &[OsString]) -> Self {
        self.command.args(args);
        self
    }

    /// With what the user wrote for the program that cargo runs.
    #[must_use]
    pub fn args_for_the_program(self, args: &[OsString]) -> Self {
        if args.is_empty() {
            self
        } else {
            self.arg("--").args(args)
        }
    }

    /// Runs it, on our own stdout and stderr.
    ///
    /// # Errors
    /// Where it cannot be started, or a signal came.
    pub fn run(mut self) -> Result<Exit> {
        if self.ctx.flags.preemptible && self.ctx.flags.json_output && !self.ctx.flags.dry_run {
            return self.run_without_repeats();
        }
        let _tokens = self.take_tokens()?;
        let status = self.ctx.run(&mut self.command)?;
        self.outcome(status)
    }

    /// Runs it, and hands on the messages that were not handed on before a command that writes displaced this one.
    ///
    /// The last message says whether all went well. A cargo whose compilers were killed says that it did not, so this one is
    /// kept until it is known that the command was not displaced meanwhile.
    fn run_without_repeats(self) -> Result<Exit> {
        let repeats = &self.ctx.repeats;
        let hand_on = |line: &[u8]| {
            if !repeats.is_new(line) {
                return Ok(());
            }
            let mut stdout = io::stdout().lock();
            stdout
                .write_all(line)
                .and_then(|()| stdout.flush())
                .map_err(|e| Error::environment("cannot write cargo's messages to stdout").because(e))
        };
        let mut last = Vec::new();
        let exit = self.run_reading(|line| {
            if messages::is_last(line) {
                last = line.to_vec();
                return Ok(());
            }
            hand_on(line)
        })?;
        hand_on(&last)?;
        Ok(exit)
    }

    /// Runs it, and hands over each line that it writes to stdout, with its line end.
    ///
    /// # Errors
    /// As [`Cargo::run`], and those of `each`.
    pub fn run_reading(mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<Exit> {
        if self.ctx.flags.dry_run {
            return self.run();
        }
        self.command.stdout(Stdio::piped());
        let _tokens = self.take_tokens()?;
        let mut cargo = self.ctx.spawn(&mut self.command)?;
        let mut read = Ok(());
        if let Some(stdout) = cargo.child.stdout.take() {
            let mut lines = BufReader::new(stdout);
            let mut line = Vec::new();
            while read.is_ok() {
                line.clear();
                match lines.read_until(b'\n', &mut line) {
                    Ok(0) => break,
                    Ok(_) => read = each(&line),
                    Err(e) => read = Err(Error::environment("cannot read cargo's messages").because(e)),
                }
            }
        }
        // Where reading failed the pipe is closed by now, so that cargo ends, too.
        let status = cargo.wait()?;
        read?;
        self.outcome(status)
    }

    /// Runs it as [`Cargo::run`] does, and counts the tests in what it writes to stdout. Under `--json-output` stdout is
    /// cargo's alone, and what tests print goes to stderr.
    ///
    /// # Errors
    /// As [`Cargo::run`].
    pub fn run_counting(mut self) -> Result<(Exit, Tally)> {
        if self.ctx.flags.dry_run {
            return Ok((self.run()?, Tally::default()));
        }
        let no_pipe = |e| Error::environment("cannot create a pipe for cargo's output").because(e);
        let (from, to_us) = io::pipe().map_err(no_pipe)?;
        let json = self.ctx.flags.json_output;
        if json || output_is_one() {
            // Cargo's headings go to stderr, and only one pipe for both keeps them in their places among the tests.
            self.command.stderr(to_us.try_clone().map_err(no_pipe)?);
            if self.ctx.shell.is_colored() {
                self.command.env("CARGO_TERM_COLOR", "always");
            }
        }
        self.command.stdout(to_us);
        let _tokens = self.take_tokens()?;
        let cargo = self.ctx.spawn(&mut self.command)?;
        // The command keeps the pipe's other end as long as it might be started again, and with it the pipe open.
        self.command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let to: Box<dyn Write + Send> = if json {
            Box::new(io::stderr())
        } else {
            Box::new(io::stdout())
        };
        let counting = Counting::start(from, to);
        let status = cargo.wait()?;
        Ok((self.outcome(status)?, counting.end()))
    }

    /// What the command needs of job tokens, for as long as it runs.
    fn take_tokens(&mut self) -> Result<Option<Tokens>> {
        match self.work {
            Work::Builds => tokens::provide(self.ctx, &mut self.command).map(Some),
            Work::Light => Ok(None),
        }
    }

    fn outcome(&self, status: ExitStatus) -> Result<Exit> {
        let what = format!("cargo {}", self.subcommand);
        outcome(self.ctx, &what, status)
    }
}

/// Runs something on each chosen workspace in turn, and stops at the first failure unless the user asked to go on.
///
/// # Errors
/// Those of `run`.
pub fn on_each(
    ctx: &Context,
    chosen: &[Chosen],
    mut run: impl FnMut(&Chosen) -> Result<Exit>,
) -> Result<Exit> {
    let mut exit = Exit::Done;
    for one in chosen {
        exit = exit.or(run(one)?);
        if exit != Exit::Done && !ctx.keeps_going() {
            break;
        }
    }
    Ok(exit)
}

/// What a child's end means for us. A child that was ended by a signal of the terminal takes us with it: we were sent the
/// same, and may only not have noticed yet.
///
/// # Errors
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind) in that case.
pub(crate) fn outcome(ctx: &Context, what: &str, status: ExitStatus) -> Result<Exit> {
    match interrupt::ended_by(status) {
        None if status.success() => Ok(Exit::Done),
        None => Ok(Exit::Failed),
        Some(signal) if interrupt::ends_programs(signal) => Err(Error::interrupted(signal)),
        Some(signal) => {
            ctx.shell
                .warn(format_args!("`{what}` was ended by signal {signal}"));
            Ok(Exit::Failed)
        }
    }
}

/// Whether stdout and stderr lead to the same place: a terminal, or a file or pipe by `2>&1`.
#[cfg(unix)]
fn output_is_one() -> bool {
    use std::fs::File;
    use std::os::fd::{AsFd as _, BorrowedFd};
    use std::os::unix::fs::MetadataExt as _;
    let place = |stream: BorrowedFd<'_>| {
        let file = File::from(stream.try_clone_to_owned().ok()?);
        file.metadata().ok().map(|m| (m.dev(), m.ino()))
    };
    let stdout = place(io::stdout().as_fd());
    stdout.is_some() && stdout == place(io::stderr().as_fd())
}

#[cfg(not(unix))]
fn output_is_one() -> bool {
    use std::io::IsTerminal as _;
    io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// Says to cargo which compiler to use, where its other tools are, and how to color.
pub(crate) fn set_environment(ctx: &Context, command: &mut Command) {
    command.env("RUSTC", &ctx.launch.rustc);
    if let Some(path) = path_with(ctx.launch.cargo.parent()) {
        command.env("PATH", path);
    }
    match ctx.config.build.color {
        clap::ColorChoice::Auto => {}
        clap::ColorChoice::Always => drop(command.env("CARGO_TERM_COLOR", "always")),
        clap::ColorChoice::Never => drop(command.env("CARGO_TERM_COLOR", "never")),
    }
}

/// PATH with the toolchain's folder first: cargo finds its subcommands, and rustdoc, there. Its own home, with rustup's proxies,
/// goes last: cargo would look there before all of PATH, were it not in PATH.
fn path_with(folder: Option<&Path>) -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let user_home = || std::env::home_dir().map(|home| home.join(".cargo"));
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(user_home, |home| Some(home.into()));
    let folders = folder.map(Path::to_owned).into_iter();
    let folders = folders
        .chain(std::env::split_paths(&path))
        .chain(cargo_home.map(|home| home.join("bin")));
    // A folder with a separator in its name cannot be in PATH.
    std::env::join_paths(folders).ok()
}

fn keep_going(subcommand: &str) -> KeepGoing {
    match subcommand {
        "test" | "bench" => KeepGoing::Tests,
        _ => KeepGoing::Builds,
    }
}
