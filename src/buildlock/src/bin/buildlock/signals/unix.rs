//! Signals on Unix.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use buildlock::Cancel;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, getppid, kill_process, waitid};
pub(crate) use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
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
        let failed = |e: io::Error| Failure {
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
                if let Some(child) = child {
                    hand_on(signal, child);
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

    /// From now on signals are for this process.
    pub(crate) fn belong_to(&self, child: &Child) {
        let pid = i32::try_from(child.id()).unwrap_or(0);
        self.child.store(pid, Ordering::SeqCst);
        // One that came while it was being started found nobody to be handed to.
        let missed = self.caught.load(Ordering::SeqCst);
        if let (Some(child), true) = (Pid::from_raw(pid), missed != 0) {
            hand_on(missed, child);
        }
    }

    /// The process has ended.
    pub(crate) fn belong_to_nobody(&self) {
        self.child.store(0, Ordering::SeqCst);
    }

    /// Ends this process as the signal that was caught would have.
    pub(crate) fn die_of_it(self) -> ExitCode {
        self.handle.close();
        die_of(self.caught.load(Ordering::SeqCst))
    }
}

fn hand_on(signal: i32, child: Pid) {
    // Ctrl-C and its like reach the whole foreground group, the command included, by themselves.
    if matches!(signal, SIGINT | SIGQUIT) && in_foreground() {
        return;
    }
    if let Some(signal) = Signal::from_named_raw(signal) {
        // It may have ended in the meantime.
        kill_process(child, signal).unwrap_or_default();
    }
}

/// Whether we are in the group that a terminal sends its signals to, wherever our standard input comes from.
fn in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|t| rustix::termios::tcgetpgrp(t).is_ok_and(|group| group == getpgrp()))
}

/// Waits for a child's end. Its pid stays its own, as it is still to be asked how it ended.
pub(crate) fn wait_without_reaping(child: &Child) -> io::Result<()> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.map(drop).map_err(Into::into),
        }
    }
}

/// Whether a command was ended as we end what must end: not by a way out of its own.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Ends as the command ended: with its exit code, or by the same signal, so that a shell sees no difference.
pub(crate) fn end_like(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX).into(),
        (None, Some(signal)) => die_of(signal),
        (None, None) => ExitCode::FAILURE,
    }
}

/// Ends this process by a signal.
pub(crate) fn die_of(signal: i32) -> ExitCode {
    // A core dump would be ours, not the command's: only its exit code is handed on.
    if getppid().is_some() && !matches!(signal, SIGQUIT) {
        drop(signal_hook::low_level::emulate_default_handler(signal));
    }
    u8::try_from(128 + signal).unwrap_or(u8::MAX).into()
}
