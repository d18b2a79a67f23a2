//! `buildlock`: a session around any command, and a look at who holds what.
//!
//! `main` parses, does what was asked, and maps the outcome to an exit code; nothing else.

mod doctor;
mod flags;
mod print;
mod rules;
mod run;
mod shim;
mod signals;
mod status;

use std::process::ExitCode;

use clap::Parser;

use flags::{Cli, Command, RulesCommand, RulesTestArgs, ShimCommand};

/// The wait for the lock timed out, or was not to be waited for (`EX_TEMPFAIL` of sysexits.h).
const EXIT_TIMEOUT: u8 = 75;
/// Something failed on our side of a `run`, before the command started (as env(1) and timeout(1)).
const EXIT_OURS: u8 = 125;
/// The command of a `run` was found but could not be started.
const EXIT_CANNOT_START: u8 = 126;
/// The command of a `run` was not found.
const EXIT_NOT_FOUND: u8 = 127;

/// What went wrong, in a line for people or without a word, and the exit code that says it to programs.
#[derive(Debug)]
struct Failure {
    text: String,
    code: u8,
}

impl From<buildlock::Error> for Failure {
    fn from(error: buildlock::Error) -> Self {
        let code = if error.kind() == buildlock::ErrorKind::Timeout {
            EXIT_TIMEOUT
        } else {
            EXIT_OURS
        };
        Self {
            text: error.to_string(),
            code,
        }
    }
}

fn main() -> ExitCode {
    // First of all, because a shim must start fast, and has no command line of its own.
    if let Some(done) = shim::stand_in() {
        return exit_code(done);
    }
    // A build script may call this program by the same path, for what it says itself.
    #[cfg(unix)]
    if !flags::is_subcommand(std::env::args_os().nth(1))
        && let Some(error) = buildlock::tokens::stand_before_compiler()
    {
        print::note(&format!("cannot start the compiler: {error}"));
        return EXIT_CANNOT_START.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { EXIT_OURS } else { 0 };
            // Nothing can be said where even this cannot be printed.
            drop(e.print());
            return code.into();
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Status(args) => status::status(&args),
        Command::Watch(args) => status::watch(&args),
        Command::Break(args) => status::break_session(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Rules(RulesCommand::Test(args)) => rules_test(&args),
        Command::Shim(ShimCommand::Install(args)) => shim::install(&args),
        Command::Shim(ShimCommand::Remove(args)) => shim::remove(&args),
        Command::Shim(ShimCommand::Status(args)) => shim::status(&args),
        Command::Hold(args) => doctor::hold(&args),
    };
    exit_code(done)
}

fn exit_code(done: Result<ExitCode, Failure>) -> ExitCode {
    done.unwrap_or_else(|failure| {
        if !failure.text.is_empty() {
            print::note(&failure.text);
        }
        failure.code.into()
    })
}

fn rules_test(args: &RulesTestArgs) -> Result<ExitCode, Failure> {
    let rules = rules::Rules::load(&args.rules)?;
    let command = rules::Words::of(&args.command, &rules);
    print::result(&rules::explain(&rules, &command))?;
    Ok(ExitCode::SUCCESS)
}
