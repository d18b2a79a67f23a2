//! Signals: what asks the driver to end, and how it does so without leaving anything behind.
//!
//! * While it waits for the lock, it gives up its place.
//! * While children run, they are told (unless the terminal has told them already), waited for, and only then is the
//!   session let go of. A second signal kills them.
//! * In the end the driver dies by the very signal that came, so that a shell or a script sees what happened.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buildlock::Cancel;

use crate::error::{Error, ErrorKind, Result};

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as sys;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as sys;

#[cfg(not(any(unix, windows)))]
mod elsewhere;
#[cfg(not(any(unix, windows)))]
use elsewhere as sys;

pub use sys::die_of;
pub(crate) use sys::{ended_by, ends_programs};

/// SIGTERM's number: what children are told, where they can be, when whoever started us is gone, and what an exit code says
/// of it. Not SIGHUP's: under `nohup` they ignore that.
const ORPHANED: i32 = 15;

/// Knows which signal came, and whom to tell. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Interrupts(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancel: Cancel,
    /// What a signal or a mutator cancels; another one each time that the command starts over.
    stop: Mutex<Cancel>,
    /// The first signal that came; 0 before.
    signal: AtomicI32,
    /// Whether a mutator wants the build directory, so that all children are killed and none is started.
    displaced: AtomicBool,
    /// Whether a second one came, so that children are killed from now on.
    impatient: AtomicBool,
    /// The pids of the children. While one is in here it has not been reaped, so its pid is not another's.
    children: Mutex<Vec<u32>>,
    /// Rung when a signal came.
    bell: Condvar,
}

/// Whether a signal reached the whole process group by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The terminal sent it, to us and to our children.
    #[cfg_attr(
        not(any(unix, windows)),
        expect(dead_code, reason = "terminals do not tell us elsewhere")
    )]
    Group,
    /// Somebody sent it to us alone.
    Us,
}

impl Interrupts {
    /// Starts to listen. What the driver was told to ignore, by `nohup` say, it goes on ignoring.
    ///
    /// # Errors
    /// Where the system does not let us listen.
    pub fn listen() -> Result<Self> {
        let interrupts = Self::default();
        sys::listen(&interrupts).map_err(|e| Error::environment("cannot listen for signals").because(e))?;
        Ok(interrupts)
    }

    /// What a signal cancels: waits for the lock.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    /// What a signal cancels, and a mutator that wants the build directory: waits of a command that already has its hold.
    pub(crate) fn stop(&self) -> Cancel {
        self.current_stop().clone()
    }

    fn current_stop(&self) -> MutexGuard<'_, Cancel> {
        self.0.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on unless a signal came.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`](crate::error::ErrorKind) if one did.
    pub fn check(&self) -> Result<()> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 if self.0.displaced.load(Ordering::SeqCst) => Err(Error::new(
                ErrorKind::Displaced,
                "displaced by a command that writes",
            )),
            0 => Ok(()),
            signal => Err(Error::interrupted(signal)),
        }
    }

    /// Kills all that was started, and lets nothing start from here on.
    ///
    /// # Errors
    /// Where the processes cannot be found.
    pub(crate) fn displace(&self) -> Result<()> {
        self.0.displaced.store(true, Ordering::SeqCst);
        self.current_stop().cancel();
        // A child that is being started is in the list by the time that the mutex is free, and a descendant then.
        drop(self.children());
        buildlock::end_descendants()
            .map_err(|e| Error::environment("cannot end the processes of this command").because(e))
    }

    /// Lets children be started again.
    ///
    /// # Errors
    /// As [`Interrupts::check`]: a signal may have come meanwhile.
    pub(crate) fn be_in_place(&self) -> Result<()> {
        self.0.displaced.store(false, Ordering::SeqCst);
        *self.current_stop() = Cancel::new();
        self.check()
    }

    /// The process that started this one is gone.
    pub(crate) fn parent_is_gone(&self) {
        self.arrived(ORPHANED, Reach::Us);
    }

    /// Does nothing for a while.
    ///
    /// # Errors
    /// As [`Interrupts::check`], as soon as a signal comes.
    pub fn pause(&self, time: Duration) -> Result<()> {
        let children = self.children();
        let no_signal = |_: &mut Vec<u32>| self.check().is_ok();
        drop(self.0.bell.wait_timeout_while(children, time, no_signal));
        self.check()
    }

    /// Starts a child that will be told of signals.
    ///
    /// # Errors
    /// Where it cannot be started, or a signal came already.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Watched<'_>> {
        // A signal that comes from here on waits for the child to be in the list, and then reaches it, too.
        let mut children = self.children();
        self.check()?;
        let child = command.spawn().map_err(|e| cannot_start(command, e))?;
        children.push(child.id());
        Ok(Watched {
            child,
            interrupts: self,
        })
    }

    fn children(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signal came.
    fn arrived(&self, signal: i32, reach: Reach) {
        let first = self
            .0
            .signal
            .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        tracing::debug!(signal, ?reach, first = first.is_ok(), "a signal came");
        self.0.cancel.cancel();
        self.current_stop().cancel();
        let children = self.children();
        self.0.bell.notify_all();
        if first.is_err() {
            self.0.impatient.store(true, Ordering::SeqCst);
            children.iter().copied().for_each(sys::kill);
        } else {
            // So that what a child leaves running can be waited for. Where that is not possible, it is not waited for.
            if let Err(error) = buildlock::adopt_orphans() {
                tracing::debug!(%error, "orphans go to init");
            }
            if reach == Reach::Us {
                children.iter().for_each(|&child| sys::tell(child, signal));
            }
        }
    }

    /// Ends what a child that was told to end left running in our process group, and waits for it: compilers, say, whose
    /// cargo is gone. They write where the next session will.
    fn end_orphans(&self) {
        let signal = self.0.signal.load(Ordering::SeqCst);
        if signal == 0 {
            return;
        }
        loop {
            let mut children = self.children();
            let orphans: Vec<_> = sys::children()
                .into_iter()
                .filter(|pid| !children.contains(pid))
                .collect();
            let Some(&orphan) = orphans.first() else {
                if children.is_empty() {
                    sys::end_job();
                }
                return;
            };
            if self.0.impatient.load(Ordering::SeqCst) {
                sys::kill(orphan);
            } else {
                sys::tell(orphan, signal);
            }
            children.push(orphan);
            drop(children);
            sys::wait_until_ended(orphan);
            let mut children = self.children();
            sys::reap(orphan);
            children.retain(|&pid| pid != orphan);
        }
    }
}

/// A child that is told of signals.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    /// For its pipes.
    pub(crate) child: Child,
    interrupts: &'a Interrupts,
}

impl Watched<'_> {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`](crate::error::ErrorKind) if a signal came meanwhile, and by then all have ended.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        // Reaped only under the mutex, so that no signal goes to another process that was given its pid.
        sys::wait_until_ended(self.child.id());
        let mut children = self.interrupts.children();
        let status = self.child.wait();
        children.retain(|&pid| pid != self.child.id());
        drop(children);
        self.interrupts.end_orphans();
        self.interrupts.check()?;
        status.map_err(|e| Error::environment("cannot wait for a child process").because(e))
    }
}

/// Says why a program could not be started.
pub(crate) fn cannot_start(command: &Command, cause: io::Error) -> Error {
    let error = Error::environment("cannot start")
        .at(command.get_program())
        .because(cause);
    match command.get_current_dir() {
        // The operating system names neither, and a missing folder looks like a missing program.
        Some(folder) if !folder.is_dir() => {
            error.advice(format!("there is no folder `{}`", folder.display()))
        }
        _ => error,
    }
}
