//! A command's process: started under a session, waited for, and what its end means.

use std::io;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use buildlock::Session;

use crate::signals::{Listener, wait_without_reaping};
use crate::{EXIT_CANNOT_START, EXIT_NOT_FOUND, EXIT_OURS, Failure};

/// A process that works for a session, if there is one.
pub(crate) struct Child {
    child: std::process::Child,
    program: String,
}

impl Child {
    pub(crate) fn start(
        mut command: Command,
        session: Option<&Session>,
        listener: &Listener,
    ) -> Result<Self, Failure> {
        if let Some(session) = session {
            session.lend(&mut command);
        }
        let child = command.spawn().map_err(|e| cannot_start(&command, &e))?;
        listener.belong_to(&child);
        let program = command.get_program().display().to_string();
        Ok(Self { child, program })
    }

    /// Waits for its end. From then on signals are ours again.
    pub(crate) fn wait(&mut self, listener: &Listener) -> Result<ExitStatus, Failure> {
        // First its end, then its pid: a signal must not be handed to somebody who got the same pid.
        let ended = wait_without_reaping(&self.child);
        listener.belong_to_nobody();
        ended.and_then(|()| self.child.wait()).map_err(|e| Failure {
            text: format!("cannot wait for `{}`: {e}", self.program),
            code: EXIT_OURS,
        })
    }
}

/// A probe answers by its exit code alone.
pub(crate) fn quiet(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What is done before a command must not take its input, nor be taken for its output: programs read what a proxy prints.
pub(crate) fn beforehand(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(io::stderr());
    command
}

/// Nothing of us is needed any more.
#[cfg(unix)]
pub(crate) fn become_the_command(mut command: Command) -> Result<ExitCode, Failure> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(cannot_start(&command, &error))
}

#[cfg(not(unix))]
pub(crate) fn become_the_command(mut command: Command) -> Result<ExitCode, Failure> {
    command
        .status()
        .map(crate::signals::end_like)
        .map_err(|e| cannot_start(&command, &e))
}

fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound {
        EXIT_NOT_FOUND
    } else {
        EXIT_CANNOT_START
    };
    Failure {
        text: format!("cannot run `{}`: {error}", command.get_program().display()),
        code,
    }
}
