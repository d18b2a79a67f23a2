//! Signals on Unix.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use buildlock::Cancel;
use rustix::process::{Pid, Signal, getppid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::Failure;

/// Listens for the signals that end programs.
pub(crate) struct Listener {
    handle: Handle,
    /// The command's pid once it runs.
    child: Arc<AtomicI32>,
    /// The last signal that came while we waited.
    caught: Arc<AtomicI32>,
}

impl Listener {
    pub(crate) fn start(cancel: &Cancel) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure {
            text: format!("cannot listen for signals: {e}"),
            code: crate::EXIT_OURS,
        };
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).map_err(failed)?;
        let handle = signals.handle();
        let (child, caught) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
        let (to, seen, cancel) = (Arc::clone(&child), Arc::clone(&caught), cancel.clone());
        let listen = move || {
            for signal in signals.forever() {
                seen.store(signal, Ordering::SeqCst);
                cancel.cancel();
                let child = Pid::from_raw(to.load(Ordering::SeqCst));
                // Ctrl-C and its like reach the whole foreground group, the command included, by themselves.
                let from_terminal = matches!(signal, SIGINT | SIGQUIT)
                    && rustix::termios::tcgetpgrp(std::io::stdin()).is_ok();
                if let (Some(child), Some(signal), false) =
                    (child, Signal::from_named_raw(signal), from_terminal)
                {
                    // It may have ended in the meantime.
                    kill_process(child, signal).unwrap_or_default();
                }
            }
        };
        thread::Builder::new()
            .name("buildlock signals".into())
            .spawn(listen)
            .map_err(failed)?;
        Ok(Self {
            handle,
            child,
            caught,
        })
    }

    pub(crate) fn belong_to(&self, child: &Child) {
        self.child
            .store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Ends this process as the signal that was caught would have.
    pub(crate) fn die_of_it(self) -> ExitCode {
        self.handle.close();
        die_of(self.caught.load(Ordering::SeqCst))
    }
}

/// Ends as the command ended: with its exit code, or by the same signal, so that a shell sees no difference.
pub(crate) fn end_like(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX).into(),
        (None, Some(signal)) => die_of(signal),
        (None, None) => ExitCode::FAILURE,
    }
}

fn die_of(signal: i32) -> ExitCode {
    // A core dump would be ours, not the command's: only its exit code is handed on.
    if getppid().is_some() && !matches!(signal, SIGQUIT) {
        drop(signal_hook::low_level::emulate_default_handler(signal));
    }
    u8::try_from(128 + signal).unwrap_or(u8::MAX).into()
}
