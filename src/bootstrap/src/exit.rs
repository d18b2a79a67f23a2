//! How the driver ends: the exit codes, which scripts and editors rely on.

use std::process::ExitCode;

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked for is done.
    Done,
    /// A build, a test or a check failed, and has said so itself. Also stands for cargo's own 101.
    Failed,
    /// The command line, or the configuration, is wrong.
    Usage,
    /// The environment lacks something: a toolchain, a server's answer, space, a permission.
    Environment,
    /// The wait for the lock took longer than allowed.
    LockTimeout,
    /// A mistake in the driver.
    Bug,
    /// A signal asked the driver to end. It ends by that very signal, so that a shell sees it.
    Signal(i32),
    /// What the program that [`run`](crate::commands::run) became on a system without `exec` answered.
    Program(u8),
}

impl Exit {
    /// The number that a shell shows.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Environment => 4,
            // `EX_TEMPFAIL` of sysexits(3): try again later.
            Self::LockTimeout => 75,
            Self::Bug => 101,
            Self::Signal(signal) => u8::try_from(signal).unwrap_or(0).saturating_add(128),
            Self::Program(code) => code,
        }
    }

    /// The worse of two ends, for commands that go on after a failure.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Done { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_the_help_names() {
        let codes = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Environment, 4),
            (Exit::LockTimeout, 75),
            (Exit::Bug, 101),
            (Exit::Signal(2), 130),
            (Exit::Signal(15), 143),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn a_failure_is_not_forgotten() {
        assert_eq!(Exit::Failed.or(Exit::Done), Exit::Failed);
        assert_eq!(Exit::Done.or(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Done.or(Exit::Done), Exit::Done);
    }
}
