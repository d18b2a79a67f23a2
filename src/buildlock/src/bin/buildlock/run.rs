//! `run`: a session around a command that knows nothing of sessions.
//!
//! We stay as the command's parent, because a clean end has to be told from a crash, and because a daemon that the command
//! leaves behind must not hold the lock. Should we be killed, the command, which was lent the lock, keeps it; one that was given
//! tokens or a turn ends with us, because these do. A command that takes nothing of all this replaces us.

mod child;
mod ending;
mod memo;
mod plan;
mod share;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use buildlock::{Cancel, ErrorKind, Mode, Registry, Request, Session, Timeout};

use crate::flags::RunArgs;
use crate::rules::{Hold, Preparation};
use crate::signals::{Listener, SIGHUP, die_of, end_like, was_killed};
use crate::{EXIT_OURS, Failure, print};
use child::{Child, become_the_command};
use ending::{Ending, Why};
use memo::Memo;
use share::Share;

pub(crate) use plan::Plan;
pub(crate) use share::turns;

/// How often a command steps aside before it is left to come to its end: otherwise a stream of mutators would let it start
/// over for ever.
const STEPS_ASIDE_MAX: u32 = 16;

/// A command to run, and how.
pub(crate) struct Task {
    pub plan: Plan,
    /// The lock folder, or why there is none. A command that takes no lock needs none.
    pub dir: Result<PathBuf, String>,
    pub timeout: Timeout,
    pub preemption: Preemption,
    pub parent: ParentsEnd,
    pub share: Share,
}

/// What to do when a mutator queues behind the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preemption {
    /// Let it wait.
    None,
    /// End the command, let the mutator pass, and start over.
    StepAside,
}

/// What to do when the process that started us ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentsEnd {
    /// Nothing: the command goes on.
    Ignored,
    /// End the command, too.
    Shared,
}

pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::of(&args.mode, &args.command)?;
    Task {
        dir: args.dir.clone().map_or_else(|| plan.folder(), Ok),
        share: plan.share().with_flags(&args.share, args.preemptible),
        plan,
        timeout: timeout(args)?,
        preemption: if args.preemptible {
            Preemption::StepAside
        } else {
            Preemption::None
        },
        parent: if args.exit_with_parent {
            ParentsEnd::Shared
        } else {
            ParentsEnd::Ignored
        },
    }
    .run()
}

fn timeout(args: &RunArgs) -> Result<Timeout, Failure> {
    match (args.no_wait, args.timeout) {
        (true, _) => Ok(Timeout::AtOnce),
        (false, None) => Ok(Timeout::Never),
        (false, Some(secs)) => {
            let time = Duration::try_from_secs_f64(secs).map_err(|e| Failure {
                text: format!("--timeout {secs} is not a number of seconds: {e}"),
                code: EXIT_OURS,
            })?;
            Ok(Timeout::After(time))
        }
    }
}

impl Task {
    /// Runs the command, and returns the exit code that it ended with.
    pub(crate) fn run(mut self) -> Result<ExitCode, Failure> {
        // First of all: it looks at descriptors by their numbers, before we open any of our own.
        self.share.look_around();
        let mode = match self.plan.hold {
            Hold::None if self.plan.preparation().is_none() => return self.run_without_a_session(),
            Hold::None | Hold::Shared => Mode::Shared,
            Hold::Exclusive => Mode::Exclusive,
        };
        let dir = self.dir.as_ref().map_err(|why| Failure {
            text: format!("{why}; --dir gives one"),
            code: EXIT_OURS,
        })?;
        let registry = Registry::open(dir)?;
        self.run_heeding_signals(|cancel, listener, ending| {
            self.run_under_sessions(&registry, mode, cancel, listener, ending)
        })
    }

    /// Nothing but the machine is shared.
    fn run_without_a_session(self) -> Result<ExitCode, Failure> {
        if !self.share.wants_anything() {
            return become_the_command(self.plan.command());
        }
        self.run_heeding_signals(|cancel, listener, ending| {
            self.run_command(None, None, cancel, listener, ending)?
                .break_value()
                .ok_or(Stop::Cancelled)
        })
    }

    /// Ends as the command ended, or by the signal that came before there was one.
    fn run_heeding_signals(
        &self,
        run: impl FnOnce(&Cancel, &Listener, &Ending) -> Result<ExitStatus, Stop>,
    ) -> Result<ExitCode, Failure> {
        let cancel = Cancel::new();
        let listener = Listener::start(&cancel)?;
        let ending = Ending::new(self.preemption, self.parent, &cancel);
        match run(&cancel, &listener, &ending) {
            Ok(status) => Ok(end_like(status)),
            Err(Stop::Cancelled) if ending.parent_is_gone() => Ok(die_of(SIGHUP)),
            Err(Stop::Cancelled) => Ok(listener.die_of_it()),
            Err(Stop::Replaced) => become_the_command(self.plan.command()),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }

    /// One session after another, until the command was left to come to its end.
    fn run_under_sessions(
        &self,
        registry: &Registry,
        mode: Mode,
        cancel: &Cancel,
        listener: &Listener,
        ending: &Ending,
    ) -> Result<ExitStatus, Stop> {
        let mut timeout = self.timeout;
        let mut aside = 0;
        loop {
            let may_step_aside = aside < STEPS_ASIDE_MAX && ending.can_step_aside();
            let mut request = self.request(mode, timeout).cancel(cancel);
            if may_step_aside {
                request = request.preemptible();
            }
            let session = Session::acquire(registry, request)?;
            self.say_what_is_unfinished(&session);
            let watched = may_step_aside.then(|| session.watch());
            match self.run_under_session(session, watched, cancel, listener, ending)? {
                ControlFlow::Break(status) => return Ok(status),
                ControlFlow::Continue(mutator) => print::note(&format!(
                    "stepped aside for {}; the command starts over after it",
                    mutator.command_line()
                )),
            }
            aside += 1;
            if timeout == Timeout::AtOnce {
                // Who did not want to wait for a start still wants the command to be run to its end.
                timeout = Timeout::Never;
            }
        }
    }

    /// The command under one session: its end, or for whom it stepped aside.
    fn run_under_session(
        &self,
        mut session: Session,
        watched: Option<buildlock::Watch>,
        cancel: &Cancel,
        listener: &Listener,
        ending: &Ending,
    ) -> Result<ControlFlow<ExitStatus, Box<buildlock::Record>>, Stop> {
        if let Some(failed) = self.prepare(&mut session, cancel, listener)? {
            return Ok(ControlFlow::Break(failed));
        }
        if cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if self.plan.hold == Hold::None {
            // All that needed the lock is done.
            session.release()?;
            if !self.share.wants_anything() {
                return Err(Stop::Replaced);
            }
            let ended = self.run_command(None, None, cancel, listener, ending)?;
            return ended.break_value().map(ControlFlow::Break).ok_or(Stop::Cancelled);
        }
        let ended = self.run_command(Some(&session), watched, cancel, listener, ending)?;
        self.stand_again(&session)?;
        // Whoever ends a command before its time knows that it may be killed: nothing counts as half done.
        session.release()?;
        match ended {
            ControlFlow::Break(status) => Ok(ControlFlow::Break(status)),
            ControlFlow::Continue(Why::ParentIsGone) => Err(Stop::Cancelled),
            ControlFlow::Continue(Why::Mutator(record)) => Ok(ControlFlow::Continue(record)),
        }
    }

    /// The command itself: how it ended by itself, or why it was ended, or not even started. A turn and tokens come after the
    /// lock, because they are for those who work, not for those who wait.
    fn run_command(
        &self,
        session: Option<&Session>,
        watched: Option<buildlock::Watch>,
        cancel: &Cancel,
        listener: &Listener,
        ending: &Ending,
    ) -> Result<ControlFlow<ExitStatus, Why>, Stop> {
        // Who waits for a turn holds the lock, and so is in a mutator's way as much as who works.
        let patience = cancel.nested();
        let watch = ending.watch(watched, &patience)?;
        let part = match self.share.take(&self.plan.shown(), self.timeout, &patience) {
            Err(e) if e.kind() != ErrorKind::Cancelled => return Err(e.into()),
            Ok(part) if !patience.is_cancelled() => part,
            _ => return watch.over().map(ControlFlow::Continue).ok_or(Stop::Cancelled),
        };
        let mut command = self.plan.command();
        part.configure(&mut command);
        let mut child = Child::start(command, session, listener)?;
        watch.started();
        let status = child.wait(listener)?;
        let why = watch.over();
        part.give_back()?;
        Ok(match why {
            // Its own end came first.
            Some(Why::Mutator(_)) if !was_killed(status) => ControlFlow::Break(status),
            Some(why) => ControlFlow::Continue(why),
            None => ControlFlow::Break(status),
        })
    }

    /// Does first what the rule wants to be done first. Returns how that failed, if it did.
    fn prepare(
        &self,
        session: &mut Session,
        cancel: &Cancel,
        listener: &Listener,
    ) -> Result<Option<ExitStatus>, Stop> {
        let Some(preparation) = self.plan.preparation() else {
            return Ok(None);
        };
        let Some(probe) = self.plan.probe(preparation) else {
            return self.prepare_alone(preparation, session, cancel, listener);
        };
        let inputs = preparation.probe_inputs.as_ref();
        let memo = inputs.map(|inputs| Memo::of(session.registry_path(), &probe, inputs));
        if memo.as_ref().is_some_and(|memo| memo.stands(session.epoch())) {
            return Ok(None);
        }
        let probed = Child::start(child::quiet(probe), Some(session), listener)?.wait(listener)?;
        if probed.success() {
            // Under this hold nobody changes anything, so it stands until the next exclusive grant.
            if let Some(memo) = memo {
                memo.note(session.epoch());
            }
            return Ok(None);
        }
        self.prepare_alone(preparation, session, cancel, listener)
    }

    fn prepare_alone(
        &self,
        preparation: &Preparation,
        session: &mut Session,
        cancel: &Cancel,
        listener: &Listener,
    ) -> Result<Option<ExitStatus>, Stop> {
        session.upgrade(self.request(Mode::Exclusive, self.timeout).cancel(cancel))?;
        let command = child::beforehand(self.plan.prepare(preparation));
        let prepared = Child::start(command, Some(session), listener)?.wait(listener)?;
        session.downgrade()?;
        Ok((!prepared.success()).then_some(prepared))
    }

    fn say_what_is_unfinished(&self, session: &Session) {
        // A proxy is started many times a second, by programs that read what it says: its mutator will say it.
        let quiet = self.plan.shims().is_some() && session.mode() == Mode::Shared;
        if let Some(mutator) = session.unfinished().filter(|_| !quiet) {
            let (command, pid) = (mutator.command_line(), mutator.who.pid);
            print::note(&format!(
                "{command} (pid {pid}) held this lock and did not finish: it died, or its session was broken; what it changed \
                 may be half done"
            ));
        }
    }

    /// After a program that may have rewritten our shims, such as `rustup self update`.
    fn stand_again(&self, session: &Session) -> Result<(), Failure> {
        let Some(shims) = self.plan.shims().filter(|_| session.mode() == Mode::Exclusive) else {
            return Ok(());
        };
        let rewritten = shims.repair()?;
        if !rewritten.is_empty() {
            let (n, dir) = (rewritten.len(), shims.path().display());
            print::note(&format!(
                "{n} programs in `{dir}` were rewritten; their shims stand again"
            ));
        }
        Ok(())
    }

    fn request(&self, mode: Mode, timeout: Timeout) -> Request<'static> {
        let mut said = false;
        let on_wait = move |waiting: &buildlock::Waiting| {
            if !std::mem::replace(&mut said, true) {
                print::note(&format!("waiting for {waiting}. Ctrl-C gives up"));
            }
        };
        Request::new(mode, "run")
            .command(self.plan.shown())
            .timeout(timeout)
            .timeout_advice("--timeout sets how long to wait")
            .on_wait(on_wait)
    }
}

/// Why the command was not run to its end.
enum Stop {
    /// A signal came while we waited, or our parent is gone.
    Cancelled,
    /// The command needs nothing of us any more.
    Replaced,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<buildlock::Error> for Stop {
    fn from(error: buildlock::Error) -> Self {
        if error.kind() == ErrorKind::Cancelled {
            Self::Cancelled
        } else {
            Self::Failed(error.into())
        }
    }
}
