//! The hold that a command has on the build directory: which one it gets, and when it changes. The only place that takes
//! sessions on it.

use std::env;
use std::process::Command;
use std::time::Duration;

use buildlock::{ErrorKind, Mode, Record, Registry, Request, Session, Timeout};

use crate::class::{self, Class};
use crate::config::{Config, LockMode, LockTimeout};
use crate::context::Context;
use crate::error::Result;
use crate::flags::Cli;
use crate::launch::Launch;
use crate::shell::Shell;
use crate::waiting::WaitLine;

/// What a command holds.
#[derive(Debug)]
pub struct Hold {
    session: Option<Session>,
    class: Class,
}

impl Hold {
    /// No hold, before one is taken.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            session: None,
            class: Class::None,
        }
    }

    /// Takes the hold that a command line asks for, and waits for it as long as the configuration says.
    ///
    /// # Errors
    /// Where it cannot be had in time, a signal came, or the lock folder cannot be used.
    pub fn take(ctx: &Context, cli: &Cli) -> Result<Self> {
        let class = class::class(cli, ctx.config.build.lock_mode);
        say_why_unlocked(cli, &ctx.config, ctx.shell);
        let session = first_mode(class).map(|mode| acquire(ctx, mode, cli.command.name()));
        Ok(Self {
            session: session.transpose()?,
            class,
        })
    }

    /// Takes the hold under which a command that has asked its questions writes.
    ///
    /// # Errors
    /// As [`Hold::take`].
    pub(crate) fn take_to_write(ctx: &Context, command: &'static str) -> Result<Self> {
        let class = ctx.hold.class;
        let session = (class == Class::MutatorAfterQuestions).then(|| acquire(ctx, Mode::Exclusive, command));
        Ok(Self {
            session: session.transpose()?,
            class,
        })
    }

    /// Whether this command may change the build directory now.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.mode() == Mode::Exclusive)
    }

    /// The session, unless the command runs without one.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The last mutator of the build directory, if it did not finish.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Record> {
        self.session.as_ref().and_then(Session::unfinished)
    }

    /// Between the two halves of a command: what is to be built is built, and from now on it is only read (`test`,
    /// `bench`) or no longer needed (`run`).
    ///
    /// # Errors
    /// Where the lock folder cannot be used any more.
    pub fn built(&mut self) -> Result<()> {
        match self.class {
            Class::MutatorThenReader => self.session.as_mut().map_or(Ok(()), Session::downgrade)?,
            Class::MutatorThenNothing => self.session.take().map_or(Ok(()), Session::release)?,
            Class::None | Class::Reader | Class::Mutator | Class::MutatorAfterQuestions => {}
        }
        Ok(())
    }

    /// Prepares a command that works for this one: nested in the session, and keeping it alive should we be killed.
    pub fn lend(&self, command: &mut Command) {
        if let Some(session) = &self.session {
            session.lend(command);
        }
    }

    /// Lets go for a while. All that the command started must have ended.
    ///
    /// # Errors
    /// Where the files of the session cannot be removed.
    pub(crate) fn let_go(&mut self) -> Result<()> {
        Ok(self.session.take().map_or(Ok(()), Session::release)?)
    }

    /// Lets go. All that the command started must have ended.
    ///
    /// # Errors
    /// Where the files of the session cannot be removed.
    pub fn end(self) -> Result<()> {
        Ok(self.session.map_or(Ok(()), Session::release)?)
    }
}

fn acquire(ctx: &Context, mode: Mode, command: &'static str) -> Result<Session> {
    let registry = Registry::open(&ctx.config.build.lock_dir)?;
    let timeout = ctx.config.build.lock_timeout;
    let mut line = WaitLine::new(ctx.shell);
    let request = Request::new(mode, command)
        .command(command_line())
        .timeout(self::timeout(timeout))
        .timeout_advice(timeout_advice(timeout))
        .cancel(ctx.interrupts.cancel())
        .uses(used_of_the_cache(&ctx.launch))
        .on_wait(|waiting| line.update(waiting));
    let request = if ctx.flags.preemptible {
        request.preemptible()
    } else {
        request
    };
    Session::acquire(&registry, request).or_else(|error| {
        if error.kind() == ErrorKind::Cancelled {
            ctx.interrupts.check()?;
        }
        Err(error.into())
    })
}

fn first_mode(class: Class) -> Option<Mode> {
    match class {
        Class::None | Class::MutatorAfterQuestions => None,
        Class::Reader => Some(Mode::Shared),
        Class::Mutator | Class::MutatorThenReader | Class::MutatorThenNothing => Some(Mode::Exclusive),
    }
}

/// A command that would take the lock, and is told not to, says so.
fn say_why_unlocked(cli: &Cli, config: &Config, shell: Shell) {
    if class::touches_nothing(cli) {
        return;
    }
    let why = match (cli.global.bypass_bootstrap_lock, config.build.lock_mode) {
        (true, _) => "--bypass-bootstrap-lock",
        (false, LockMode::Off) => "build.lock-mode = \"off\"",
        (false, LockMode::ReadWrite | LockMode::Exclusive) => return,
    };
    shell.warn(format_args!(
        "no lock is taken ({why}): other commands may change the build directory meanwhile"
    ));
}

/// The command line as the user knows it: our own program's name is of no interest to anybody.
pub(crate) fn command_line() -> Vec<String> {
    let arguments = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    ["./x".to_owned()].into_iter().chain(arguments).collect()
}

/// The configured patience, as the locks take it.
pub(crate) fn timeout(configured: LockTimeout) -> Timeout {
    match configured {
        LockTimeout::Never => Timeout::Never,
        LockTimeout::After(Duration::ZERO) => Timeout::AtOnce,
        LockTimeout::After(time) => Timeout::After(time),
    }
}

fn timeout_advice(configured: LockTimeout) -> &'static str {
    match timeout(configured) {
        Timeout::AtOnce => {
            "a wait is allowed without --no-wait, and by --lock-timeout SECS or `build.lock-timeout` above 0"
        }
        Timeout::Never | Timeout::After(_) => {
            "--lock-timeout SECS or `build.lock-timeout` allows more; `./x lock status` shows all"
        }
    }
}

/// What must not be collected while this command runs, or waits: its toolchain and its driver, by their folder's name below
/// `build.cache-dir`.
fn used_of_the_cache(launch: &Launch) -> Vec<String> {
    let stage0 = (launch.stage0 != "local").then(|| format!("stage0/{}", launch.stage0));
    let driver = (!launch.fingerprint.is_empty()).then(|| format!("driver/{}", launch.fingerprint));
    stage0.into_iter().chain(driver).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_builds_first_asks_for_the_exclusive_hold() {
        assert_eq!(first_mode(Class::Reader), Some(Mode::Shared));
        assert_eq!(first_mode(Class::MutatorThenReader), Some(Mode::Exclusive));
        assert_eq!(first_mode(Class::MutatorThenNothing), Some(Mode::Exclusive));
        assert_eq!(first_mode(Class::None), None);
        assert_eq!(first_mode(Class::MutatorAfterQuestions), None);
    }

    #[test]
    fn a_timeout_names_the_flag_and_the_key() {
        for configured in [
            LockTimeout::After(Duration::ZERO),
            LockTimeout::After(Duration::from_secs(3)),
        ] {
            let advice = timeout_advice(configured);
            assert!(advice.contains("--lock-timeout") && advice.contains("build.lock-timeout"));
        }
    }
}
