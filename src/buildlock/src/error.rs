//! Errors: what was being done, to which file, why it failed, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::record::Record;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a session could not be had, or kept.
///
/// The text is one lowercase sentence that says what to do where something can be done; [`Error::kind`] is for programs.
/// The operating system's error, where there is one, is the [`source`](std::error::Error::source).
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    action: String,
    path: Option<PathBuf>,
    advice: Option<String>,
    holder: Option<Record>,
    source: Option<io::Error>,
}

/// The kinds of [`Error`] that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The wait for the lock lasted longer than the caller allowed.
    Timeout,
    /// The caller's [`Cancel`](crate::Cancel) was used.
    Cancelled,
    /// The file system, or the operating system, cannot lock files.
    Unsupported,
    /// The registry was made by a newer version of the protocol.
    NewerProtocol,
    /// The registry's folder may be changed by other users, so that its locks promise nothing.
    NotPrivate,
    /// A file of the registry has content that makes no sense while sessions are alive.
    Damaged,
    /// The registry, or this session's part of it, was removed while in use.
    Lost,
    /// The caller asked for something that does not fit the session's state.
    Misuse,
    /// Another failure of the operating system.
    Io,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, action: impl Into<String>) -> Self {
        let action = action.into();
        Self(Box::new(Inner {
            kind,
            action,
            path: None,
            advice: None,
            holder: None,
            source: None,
        }))
    }

    /// An operating system's error, with what was being done and to which path. Locking that is not supported gets its
    /// own kind and says the way out.
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        let (kind, advice) = match source.kind() {
            io::ErrorKind::Unsupported => (
                ErrorKind::Unsupported,
                Some("this file system cannot lock files; put the lock folder on a local one".to_owned()),
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::Io, Some("free some space and try again".to_owned()))
            }
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Io,
                Some("check who owns the folder and its files".to_owned()),
            ),
            _ => (ErrorKind::Io, None),
        };
        let mut error = Self::new(kind, action);
        error.0.path = Some(path.to_owned());
        error.0.advice = advice;
        error.0.source = Some(source);
        error
    }

    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_owned());
        self
    }

    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    pub(crate) fn held_by(mut self, holder: Option<Record>) -> Self {
        self.0.holder = holder;
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or folder that could not be used, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// For a timeout: the nearest session that stood in the way, as far as it could be read.
    #[must_use]
    pub fn holder(&self) -> Option<&Record> {
        self.0.holder.as_ref()
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
        if let Some(advice) = &self.0.advice {
            write!(f, " ({advice})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}
