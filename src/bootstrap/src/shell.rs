//! What the driver says to a person: on stderr, because stdout belongs to what a command was asked to print.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::error::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const HELP: Style = AnsiColor::Green.on_default().bold();
const STATUS: Style = AnsiColor::Green.on_default().bold();

/// Where messages go, and how they look there.
///
/// A message that cannot be written is dropped: a closed stderr is no reason to stop a build.
#[derive(Clone, Copy, Debug)]
pub struct Shell {
    color: ColorChoice,
    verbose: bool,
}

impl Shell {
    /// A shell that colors as `color` says, and is talkative if `verbose` is not 0.
    #[must_use]
    pub fn new(color: clap::ColorChoice, verbose: u8) -> Self {
        let color = match color {
            clap::ColorChoice::Auto => AutoStream::choice(&io::stderr()),
            clap::ColorChoice::Always => ColorChoice::Always,
            clap::ColorChoice::Never => ColorChoice::Never,
        };
        Self {
            color,
            verbose: verbose > 0,
        }
    }

    /// Says that a step is done or under way, in cargo's manner: a verb, and what it is about.
    pub fn status(self, verb: &str, what: impl fmt::Display) {
        self.line(format_args!("{STATUS}{verb:>12}{STATUS:#} {what}"));
    }

    /// Says something that the user may want to know.
    pub fn note(self, text: impl fmt::Display) {
        self.line(format_args!("{NOTE}note{NOTE:#}: {text}"));
    }

    /// Says something that the user should know.
    pub fn warn(self, text: impl fmt::Display) {
        self.line(format_args!("{WARNING}warning{WARNING:#}: {text}"));
    }

    /// Says why the command failed, and what can be done about it.
    pub fn error(self, error: &Error) {
        self.line(format_args!("{ERROR}error{ERROR:#}: {error}"));
        if let Some(help) = error.help() {
            self.line(format_args!("{HELP}help{HELP:#}: {help}"));
        }
    }

    /// Says something as it is.
    pub fn plain(self, text: impl fmt::Display) {
        self.line(format_args!("{text}"));
    }

    /// Whether the user asked for more with `-v`.
    #[must_use]
    pub fn is_verbose(self) -> bool {
        self.verbose
    }

    /// Whether messages are colored.
    #[must_use]
    pub fn is_colored(self) -> bool {
        self.color != ColorChoice::Never
    }

    /// Whether lines can be rewritten in place.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    fn line(self, text: fmt::Arguments<'_>) {
        // One write for the whole line, so that lines of several processes do not mix.
        let line = format!("{text}\n");
        drop(AutoStream::new(io::stderr().lock(), self.color).write_all(line.as_bytes()));
    }
}
