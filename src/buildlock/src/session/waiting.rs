//! What a person is told about a wait: for whom, for how long, and in the end that it was too long.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::queue::{Mode, State};
use crate::record::Record;
use crate::registry::Registry;
use crate::session::{Request, Timeout};
use crate::status::{Process, process_of};

/// Why a request still waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// How long it has waited.
    pub elapsed: Duration,
    /// What it asks for.
    pub mode: Mode,
    /// The session in its way that has held the lock for longest or, if nobody holds it yet, the one nearest ahead. Nothing
    /// where its record cannot be read.
    pub holder: Option<Record>,
    /// Whether its process is still there.
    pub process: Process,
    /// How many sessions are in its way.
    pub ahead: usize,
}

impl fmt::Display for Waiting {
    /// `x.py build (pid 4242, running 3m12s, exclusive); 1 ahead`, or `exclusive, but stopped`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => write!(f, "{}", Holder(holder, self.process))?,
            None => f.write_str("a session whose record cannot be read")?,
        }
        write!(f, "; {} ahead", self.ahead)
    }
}

/// A record, as the holder that somebody waits for.
struct Holder<'a>(&'a Record, Process);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(record, process) = self;
        let doing = match record.claim.state {
            State::Granted => "running",
            State::Waiting => "waiting",
        };
        let age = HumanDuration(record.age());
        let mode = record.claim.mode;
        let but = if *process == Process::Stopped {
            ", but stopped"
        } else {
            ""
        };
        write!(
            f,
            "{} (pid {}, {doing} {age}, {mode}{but})",
            record.command_line(),
            record.who.pid
        )
    }
}

/// A duration to the second, in the largest units that fit: `7s`, `3m12s`, `2h05m`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s}s"),
            (0, m, s) => write!(f, "{m}m{s:02}s"),
            (h, m, _) => write!(f, "{h}h{m:02}m"),
        }
    }
}

/// The error of a wait that lasted longer than the request allows.
pub(super) fn timed_out(
    registry: &Registry,
    request: &Request<'_>,
    start: Instant,
    holder: Option<Record>,
) -> Error {
    let waited = start.elapsed();
    let after = if request.timeout == Timeout::AtOnce {
        String::new()
    } else {
        format!(" after {:.1} s", waited.as_secs_f64())
    };
    let why = match &holder {
        None => "held by a session whose record cannot be read".to_owned(),
        Some(record) => {
            let how = match record.claim.state {
                State::Waiting => "behind",
                State::Granted => "held by",
            };
            format!("{how} {}", Holder(record, process_of(record)))
        }
    };
    let text = format!("the {} lock could not be had{after}: {why} in", request.mode);
    let error = Error::new(ErrorKind::Timeout, text)
        .at(registry.path())
        .held_by(holder);
    match &request.timeout_advice {
        Some(advice) => error.advice(advice),
        None => error,
    }
}
