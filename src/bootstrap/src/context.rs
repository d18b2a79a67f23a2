//! What every command works with.

use std::process::{Command, ExitStatus};

use buildlock::tokens::Outer;

use crate::config::Config;
use crate::error::Result;
use crate::flags::Global;
use crate::hold::Hold;
use crate::interrupt::{Interrupts, Watched};
use crate::launch::{self, Launch};
use crate::outputs::Outputs;
use crate::repeats::Repeats;
use crate::shell::Shell;

/// What every command works with.
#[derive(Debug)]
pub struct Context {
    /// The configuration, with the flags on top.
    pub config: Config,
    /// The flags that mean the same for every command.
    pub flags: Global,
    /// What the launcher found: the toolchain, above all.
    pub launch: Launch,
    /// Where to say something.
    pub shell: Shell,
    /// The hold on the build directory.
    pub hold: Hold,
    /// Which signals came.
    pub interrupts: Interrupts,
    /// The jobserver around us.
    pub outer: Outer,
    /// Which of cargo's messages were handed on.
    pub repeats: Repeats,
}

impl Context {
    /// What bootstrap itself makes in the build directory.
    #[must_use]
    pub fn outputs(&self) -> Outputs {
        Outputs::of(&self.config.build.build_dir)
    }

    /// Whether to go on after a failure. Whoever reads JSON is a program that wants all there is to say, an editor above all.
    #[must_use]
    pub fn keeps_going(&self) -> bool {
        self.flags.keep_going || self.flags.json_output
    }

    /// Runs a child to its end, as part of this session. Under `--dry-run` nothing is run, and that counts as success.
    ///
    /// # Errors
    /// Where it cannot be started, or a signal came. That it fails is no error.
    pub fn run(&self, command: &mut Command) -> Result<ExitStatus> {
        if self.flags.dry_run {
            self.announce(command);
            return Ok(ExitStatus::default());
        }
        self.spawn(command)?.wait()
    }

    /// Starts a child as part of this session. For commands that only ask something, or whose output is read.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Watched<'_>> {
        if self.shell.is_verbose() {
            self.announce(command);
        }
        launch::forget_launch(command);
        self.hold.lend(command);
        buildlock::die_with_parent(command);
        self.interrupts.spawn(command)
    }

    /// Shows a command line, and where it runs.
    pub fn announce(&self, command: &Command) {
        self.shell.status("Running", command_line(command));
    }
}

/// A command as a person would type it.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

/// Puts a word into quotes if a shell would not read it as one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c) || !c.is_ascii();
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("/bin/cargo");
        command.args(["check", "--features=a b", "it's", ""]);
        assert_eq!(
            command_line(&command),
            r"/bin/cargo check '--features=a b' 'it'\''s' ''"
        );
    }
}
