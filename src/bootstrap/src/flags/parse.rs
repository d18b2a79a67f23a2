//! From arguments to a [`Cli`].

use std::ffi::OsString;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::Cli;

const SET: &str = "set";

impl Cli {
    /// Returns what clap knows of the command line, for parsing, completions and tests.
    pub fn definition() -> Command {
        let root = Self::command();
        let Some(set) = root.get_arguments().find(|arg| arg.get_id() == SET).cloned() else {
            unreachable!("`Global` has a field `set`");
        };
        root.mut_subcommands(|command| with_arg_everywhere(command, &set))
    }

    /// Parses a command line, whose first word is the program's name.
    ///
    /// # Errors
    ///
    /// Returns clap's error, which also stands for `--help` and `--version`; it knows its text, stream and
    /// exit code.
    pub fn from_args<I>(args: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let matches = Self::definition().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.set = all_of_set(&matches);
        Ok(cli)
    }
}

fn with_arg_everywhere(command: Command, arg: &clap::Arg) -> Command {
    command
        .arg(arg.clone())
        .mut_subcommands(|inner| with_arg_everywhere(inner, arg))
}

/// Collects `--set` from every level, outermost first, which is the order in which they were typed.
fn all_of_set(matches: &ArgMatches) -> Vec<String> {
    let mut all = Vec::new();
    let mut level = Some(matches);
    while let Some(matches) = level {
        all.extend(matches.get_many::<String>(SET).into_iter().flatten().cloned());
        level = matches.subcommand().map(|(_, inner)| inner);
    }
    all
}
