//! Where we know of no signals.

use std::io;
use std::process::{Child, ExitCode, ExitStatus};

use buildlock::Cancel;

use crate::Failure;

/// The system ends us on Ctrl-C, and with us what we registered.
pub(crate) struct Listener;

impl Listener {
    pub(crate) fn start(_cancel: &Cancel) -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) fn belong_to(&self, _child: &Child) {}

    pub(crate) fn belong_to_nobody(&self) {}

    pub(crate) fn die_of_it(self) -> ExitCode {
        130.into()
    }
}

/// What a shell elsewhere shows for a terminal that went away, less 128.
pub(crate) const SIGHUP: u8 = 1;

/// What a shell elsewhere shows for a signal.
pub(crate) fn die_of(signal: u8) -> ExitCode {
    (128 + signal).into()
}

/// Does nothing: whoever waits for a child may do so more than once here.
#[expect(clippy::unnecessary_wraps, reason = "the same face as elsewhere")]
pub(crate) fn wait_without_reaping(_child: &Child) -> io::Result<()> {
    Ok(())
}

/// Whether a command may have been ended as we end what must end: its exit code does not tell that from a failure.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

/// Ends with the command's exit code.
pub(crate) fn end_like(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|c| u8::try_from(c).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
