//! Which hold on the build directory a command asks for.
//!
//! A *reader* writes only what cargo's own lock guards, what is its own, or what is unpacked into the
//! content-addressed cache. A *mutator* writes outputs that bootstrap owns, or the source tree, or deletes.

use crate::config::LockMode;
use crate::flags::{Cli, Command, SetupCommand};

/// What a command does to the build directory, in the order in which it does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Takes no session: it touches nothing that is shared.
    None,
    /// Holds `Shared` throughout.
    Reader,
    /// Holds `Exclusive` throughout.
    Mutator,
    /// Builds under `Exclusive`, then downgrades to `Shared` and runs what it built.
    MutatorThenReader,
    /// Builds under `Exclusive`, then lets go and becomes the program that it built.
    MutatorThenNothing,
    /// Asks people without a hold, for they may take their time, and holds `Exclusive` for each thing that it writes.
    MutatorAfterQuestions,
}

/// Returns the class of a command line, given `build.lock-mode`.
///
/// The flags that switch locking off are looked at here too, so that nobody has to remember them elsewhere.
pub fn class(cli: &Cli, lock_mode: LockMode) -> Class {
    if cli.global.dry_run || cli.global.bypass_bootstrap_lock {
        return Class::None;
    }
    match lock_mode {
        LockMode::ReadWrite => by_command(&cli.command),
        LockMode::Exclusive => exclusive(by_command(&cli.command)),
        LockMode::Off => Class::None,
    }
}

/// Whether a command line would take no session whatever was configured: it touches nothing that is shared.
pub fn touches_nothing(cli: &Cli) -> bool {
    cli.global.dry_run || by_command(&cli.command) == Class::None
}

/// Returns the class that a command has of itself, whatever the flags and the configuration say.
pub fn by_command(command: &Command) -> Class {
    match command {
        Command::Check(_) | Command::Tidy => Class::Reader,
        Command::Clippy(args) if args.fix => Class::Mutator,
        Command::Clippy(_) => Class::Reader,
        Command::Fmt(args) if args.check => Class::Reader,
        Command::Test(args) if args.list => Class::None,
        Command::Test(_) | Command::Bench(_) => Class::MutatorThenReader,
        Command::Run(_) => Class::MutatorThenNothing,
        Command::Setup(args) => match &args.what {
            Some(SetupCommand::Editor(editor)) if editor.print || editor.check => Class::None,
            _ => Class::MutatorAfterQuestions,
        },
        Command::Build(_)
        | Command::Doc(_)
        | Command::Fmt(_)
        | Command::Fix(_)
        | Command::Clean(_)
        | Command::Dist(_)
        | Command::Install(_)
        | Command::BumpStage0(_) => Class::Mutator,
        // `lock` works on the registry itself, and must answer while everything else is stuck.
        Command::Lock(_) | Command::Completions(_) => Class::None,
    }
}

/// Under `lock-mode = "exclusive"` nobody runs beside anybody, so there is nothing to downgrade to. `run`
/// still lets go: the program that it becomes is no command of ours.
fn exclusive(class: Class) -> Class {
    match class {
        Class::Reader | Class::MutatorThenReader => Class::Mutator,
        Class::None | Class::Mutator | Class::MutatorThenNothing | Class::MutatorAfterQuestions => class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn classes(line: &str) -> [Class; 3] {
        let cli = Cli::from_args(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
        [LockMode::ReadWrite, LockMode::Exclusive, LockMode::Off].map(|mode| class(&cli, mode))
    }

    #[test]
    fn every_command_has_the_class_that_the_design_gives_it() {
        use Class::{Mutator, MutatorAfterQuestions, MutatorThenNothing, MutatorThenReader, Reader};
        let table = [
            ("x check", Reader, Mutator),
            ("x check --compile-time-deps", Reader, Mutator),
            ("x clippy", Reader, Mutator),
            ("x clippy --fix", Mutator, Mutator),
            ("x build", Mutator, Mutator),
            ("x test", MutatorThenReader, Mutator),
            ("x test --list", Class::None, Class::None),
            ("x bench", MutatorThenReader, Mutator),
            ("x doc", Mutator, Mutator),
            ("x fmt", Mutator, Mutator),
            ("x fmt --check", Reader, Mutator),
            ("x fix", Mutator, Mutator),
            ("x run", MutatorThenNothing, MutatorThenNothing),
            ("x tidy", Reader, Mutator),
            ("x clean", Mutator, Mutator),
            ("x clean --all", Mutator, Mutator),
            ("x clean --stage0", Mutator, Mutator),
            ("x dist", Mutator, Mutator),
            ("x install", Mutator, Mutator),
            ("x setup", MutatorAfterQuestions, MutatorAfterQuestions),
            ("x setup hook", MutatorAfterQuestions, MutatorAfterQuestions),
            (
                "x setup profile dev",
                MutatorAfterQuestions,
                MutatorAfterQuestions,
            ),
            (
                "x setup editor vscode",
                MutatorAfterQuestions,
                MutatorAfterQuestions,
            ),
            ("x setup editor vscode --print", Class::None, Class::None),
            ("x setup editor vscode --check", Class::None, Class::None),
            ("x lock status", Class::None, Class::None),
            ("x lock break 7", Class::None, Class::None),
            ("x completions bash", Class::None, Class::None),
            ("x bump-stage0 1.95.0", Mutator, Mutator),
        ];
        for (line, read_write, exclusive) in table {
            assert_eq!(classes(line), [read_write, exclusive, Class::None], "{line}");
        }
    }

    #[test]
    fn a_dry_run_and_a_bypass_take_no_session() {
        for line in ["x build --dry-run", "x --bypass-bootstrap-lock build"] {
            assert_eq!(classes(line), [Class::None; 3], "{line}");
        }
    }
}
