//! Ending a command before its time: for a mutator that waits, or because whoever wanted it is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use buildlock::{Cancel, Parent, Record};

use super::{ParentsEnd, Preemption};
use crate::{EXIT_OURS, Failure, print};

/// How often to look whether a mutator has come. One `stat`, and short beside what starting over costs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why a command was ended.
#[derive(Debug)]
pub(crate) enum Why {
    /// A mutator waits.
    Mutator(Box<Record>),
    /// The process that started us is gone.
    ParentIsGone,
}

/// Ends commands before their time.
pub(crate) struct Ending {
    can_step_aside: bool,
    parent_is_gone: Arc<AtomicBool>,
    now: Arc<Mutex<Now>>,
}

/// What there is to be ended.
#[derive(Debug)]
enum Now {
    Nothing,
    /// A wait, before the command is started.
    Waiting(Cancel),
    Running,
    Ended(Why),
}

/// A command that is being watched.
pub(crate) struct Watched {
    now: Arc<Mutex<Now>>,
    /// The thread that watches the queue. It ends when it is hung up on.
    queue: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Ending {
    pub(crate) fn new(preemption: Preemption, parent: ParentsEnd, cancel: &Cancel) -> Self {
        let wanted = preemption == Preemption::StepAside || parent == ParentsEnd::Shared;
        // What a command leaves behind must be found when the command has to end.
        let can_end = wanted && cfg!(target_os = "linux") && buildlock::adopt_orphans().is_ok();
        if wanted && !can_end {
            print::note(
                "this system cannot end a command with all that it started: it is left to come to its end",
            );
        }
        let ending = Self {
            can_step_aside: can_end && preemption == Preemption::StepAside,
            parent_is_gone: Arc::default(),
            now: Arc::new(Mutex::new(Now::Nothing)),
        };
        if can_end && parent == ParentsEnd::Shared {
            ending.watch_parent(cancel.clone());
        }
        ending
    }

    pub(crate) fn can_step_aside(&self) -> bool {
        self.can_step_aside
    }

    pub(crate) fn parent_is_gone(&self) -> bool {
        self.parent_is_gone.load(Ordering::SeqCst)
    }

    /// From now on the wait before the command, and then the command, can be ended: by our parent's end, and, if there is a
    /// `watch`, by a mutator's coming.
    pub(crate) fn watch(&self, watch: Option<buildlock::Watch>, wait: &Cancel) -> Result<Watched, Failure> {
        let now = Arc::clone(&self.now);
        *lock(&now) = Now::Waiting(wait.clone());
        if self.parent_is_gone() {
            end(&now, Why::ParentIsGone);
        }
        let watch_queue = |watch| {
            let (hang_up, over) = channel();
            let now = Arc::clone(&now);
            let thread = spawn("buildlock watches the queue", move || {
                step_aside(&now, watch, &over);
            })?;
            Ok::<_, Failure>((hang_up, thread))
        };
        let queue = watch.map(watch_queue).transpose()?;
        Ok(Watched { now, queue })
    }

    fn watch_parent(&self, cancel: Cancel) {
        // Found now, not by the thread: who ends before it runs would be taken for one who never was.
        let Ok(Some(parent)) = Parent::find() else {
            // Gone already, or the init of a container: nobody whose end could still be seen.
            return;
        };
        let (gone, now) = (Arc::clone(&self.parent_is_gone), Arc::clone(&self.now));
        let watch = move || {
            if parent.wait_until_gone().is_ok() {
                gone.store(true, Ordering::SeqCst);
                cancel.cancel();
                end(&now, Why::ParentIsGone);
            }
        };
        if let Err(failure) = spawn("buildlock watches its parent", watch) {
            print::note(&failure.text);
        }
    }
}

impl Watched {
    /// The wait is over, and the command runs.
    pub(crate) fn started(&self) {
        let mut now = lock(&self.now);
        match *now {
            Now::Waiting(_) => *now = Now::Running,
            // While it was being started.
            Now::Ended(_) => end_command(),
            Now::Nothing | Now::Running => {}
        }
    }

    /// The command has ended. Returns why, if not by itself.
    pub(crate) fn over(self) -> Option<Why> {
        if let Some((hang_up, thread)) = self.queue {
            drop(hang_up);
            // That it panicked has been printed; the command's end is what counts.
            drop(thread.join());
        }
        match std::mem::replace(&mut *lock(&self.now), Now::Nothing) {
            Now::Ended(why) => Some(why),
            Now::Nothing | Now::Waiting(_) | Now::Running => None,
        }
    }
}

fn step_aside(now: &Mutex<Now>, mut watch: buildlock::Watch, over: &Receiver<()>) {
    while matches!(over.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
        // Whoever removed the registry does not wait in it.
        if let Ok(Some(mutator)) = watch.wanted_by() {
            return end(now, Why::Mutator(Box::new(mutator)));
        }
    }
}

/// Ends the command that runs, or the wait before it.
fn end(now: &Mutex<Now>, why: Why) {
    let mut now = lock(now);
    match &*now {
        Now::Waiting(wait) => wait.cancel(),
        Now::Running => end_command(),
        Now::Nothing | Now::Ended(_) => return,
    }
    *now = Now::Ended(why);
}

/// Ends the command, and all that it started.
fn end_command() {
    if let Err(e) = buildlock::end_descendants() {
        print::note(&format!("cannot end the command: {e}"));
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|e| Failure {
        text: format!("cannot start a thread: {e}"),
        code: EXIT_OURS,
    })
}

fn lock(now: &Mutex<Now>) -> std::sync::MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}
