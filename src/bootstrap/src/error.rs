//! The driver's error: what was being done, to which file, why it failed, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::exit::Exit;

/// A `Result` with the driver's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command could not do its work. That what it ran has failed is no error but [`Exit::Failed`].
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    action: String,
    path: Option<PathBuf>,
    advice: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`], each with an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line or the configuration is wrong.
    Usage,
    /// The environment lacks something.
    Environment,
    /// The lock could not be had in time.
    LockTimeout,
    /// A signal came, and all that it interrupted has been cleaned up.
    Interrupted(i32),
    /// A mutator wants the build directory, and the command steps aside. Caught by [`crate::preempt`].
    Displaced,
    /// A mistake in the driver.
    Bug,
}

impl Error {
    /// An error of `kind`; `action` says in lowercase what could not be done, or what is wrong.
    pub fn new(kind: ErrorKind, action: impl Into<String>) -> Self {
        let action = action.into();
        Self(Box::new(Inner {
            kind,
            action,
            path: None,
            advice: None,
            source: None,
        }))
    }

    /// A mistake in the command line.
    pub fn usage(action: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, action)
    }

    /// Something that the environment lacks.
    pub fn environment(action: impl Into<String>) -> Self {
        Self::new(ErrorKind::Environment, action)
    }

    /// A mistake of ours.
    pub fn bug(action: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, action)
    }

    /// The end that a signal asked for.
    pub fn interrupted(signal: i32) -> Self {
        Self::new(
            ErrorKind::Interrupted(signal),
            format!("ended by signal {signal}"),
        )
    }

    /// The operating system's refusal to do `action` to `path`.
    pub fn io(action: &str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some space, with `./x clean` for example, and try again")
            }
            io::ErrorKind::PermissionDenied => Some("check who owns it and who may write there"),
            _ => None,
        };
        let error = Self::environment(action).at(path).because(source);
        match advice {
            Some(advice) => error.advice(advice),
            None => error,
        }
    }

    /// Names the file or folder that it is about.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// Names the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says what the user can do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or folder that it is about, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// What the user can do, shown on a line of its own.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// How the driver ends because of it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.0.kind {
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Environment => Exit::Environment,
            ErrorKind::LockTimeout => Exit::LockTimeout,
            ErrorKind::Interrupted(signal) => Exit::Signal(signal),
            ErrorKind::Displaced | ErrorKind::Bug => Exit::Bug,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.action)?;
        if let Some(path) = &self.0.path {
            write!(f, " `{}`", path.display())?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<buildlock::Error> for Error {
    fn from(error: buildlock::Error) -> Self {
        use buildlock::ErrorKind as Lock;
        let kind = match error.kind() {
            Lock::Timeout => ErrorKind::LockTimeout,
            Lock::Misuse => ErrorKind::Bug,
            _ => ErrorKind::Environment,
        };
        let advice = match error.kind() {
            Lock::Unsupported => Some(
                "set `build.lock-dir` to a folder on a local file system or, if nothing else uses this build \
                 directory meanwhile, `build.lock-mode = \"off\"`",
            ),
            Lock::NotPrivate => Some("`build.lock-dir` chooses another folder"),
            _ => None,
        };
        let error = Self::new(kind, error.to_string());
        match advice {
            Some(advice) => error.advice(advice),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_action_path_and_cause_and_the_help_says_what_to_do() {
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::io("cannot create", "/build/host", cause);
        assert_eq!(
            error.to_string(),
            "cannot create `/build/host`: permission denied"
        );
        assert_eq!(error.help(), Some("check who owns it and who may write there"));
        assert_eq!(error.exit(), Exit::Environment);
    }
}
