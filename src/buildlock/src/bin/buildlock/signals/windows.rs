//! Ctrl-C and Ctrl-Break on Windows: the console tells every process that is attached to it, so the command hears for itself.

use std::io;
use std::process::{Child, ExitCode, ExitStatus};
use std::sync::OnceLock;

use buildlock::Cancel;
use windows_sys::Win32::Foundation::{FALSE, STATUS_CONTROL_C_EXIT, TRUE};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::core::BOOL;

use crate::Failure;

/// What the console's handler, which is given nothing, cancels.
static CANCEL: OnceLock<Cancel> = OnceLock::new();

/// Listens for what ends programs at a console.
pub(crate) struct Listener;

impl Listener {
    pub(crate) fn start(cancel: &Cancel) -> Result<Self, Failure> {
        CANCEL.get_or_init(|| cancel.clone());
        // SAFETY: the handler is a function, and so is there for as long as the process.
        if unsafe { SetConsoleCtrlHandler(Some(heard), TRUE) } == FALSE {
            return Err(Failure {
                text: format!("cannot listen for Ctrl-C: {}", io::Error::last_os_error()),
                code: crate::EXIT_OURS,
            });
        }
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "the same face as elsewhere")]
    pub(crate) fn belong_to(&self, _child: &Child) {}

    #[expect(clippy::unused_self, reason = "the same face as elsewhere")]
    pub(crate) fn belong_to_nobody(&self) {}

    /// Ends this process as Ctrl-C would have.
    #[expect(clippy::unused_self, reason = "the same face as elsewhere")]
    pub(crate) fn die_of_it(self) -> ExitCode {
        end(STATUS_CONTROL_C_EXIT)
    }
}

/// Runs in a thread that the system starts for it (HandlerRoutine), so it may do anything.
///
/// When the console is closed, or the user logs off, the system ends us, and with us what we registered.
unsafe extern "system" fn heard(what: u32) -> BOOL {
    match (what, CANCEL.get()) {
        (CTRL_C_EVENT | CTRL_BREAK_EVENT, Some(cancel)) => {
            cancel.cancel();
            TRUE
        }
        _ => FALSE,
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
    status.code().map_or(ExitCode::FAILURE, end)
}

#[expect(
    clippy::exit,
    reason = "an `ExitCode` has room for a byte, and codes here have four"
)]
fn end(code: i32) -> ExitCode {
    std::process::exit(code)
}
