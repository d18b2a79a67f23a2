//! Waiting in the queue, until it is one's turn.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::gate::RegistryId;
use crate::protocol;
use crate::queue::{Decision, State, Ticket, blockers, may_have_kin};
use crate::record::{Record, now_unix_ms};
use crate::registry::{Locks, Patience, Registry, Transition};
use crate::scan::{self, Ahead};
use crate::session::waiting::timed_out;
use crate::session::{Request, Waiting};
use crate::status::{Process, process_of};
use crate::sys;
use crate::wait::{Blocked, Over, Then};

/// A look again at the queue although no lock was freed, for what the kernel cannot tell. Half a relative's patience where
/// kin is alive (its grant or request may settle our case without freeing a lock), a safety net elsewhere.
const TICK: Duration = Duration::from_secs(1);
const TICK_AMONG_KIN: Duration = Duration::from_millis(50);

/// With each so many more that are ahead, who waits looks as much more seldom: a thousand must not be busy looking.
const CROWD: usize = 20;

/// What a session is told when it is granted.
pub(super) struct Granted {
    pub(super) epoch: u64,
    pub(super) unfinished: Option<Record>,
}

impl Granted {
    /// Reads it while the gate is still held: of who dies from now on, the next is told.
    pub(super) fn read(registry: &Registry, gate: &Transition<'_>) -> Result<Self> {
        Ok(Self {
            epoch: gate.gate.epoch,
            unfinished: registry.folder().read_unfinished()?,
        })
    }
}

/// A claim that waits.
pub(super) struct Queued<'a> {
    pub(super) registry: &'a Registry,
    pub(super) registry_id: RegistryId,
    pub(super) record: &'a mut Record,
    pub(super) ahead: Ahead,
    pub(super) start: Instant,
    pub(super) patience: Patience<'a>,
}

impl Queued<'_> {
    /// Waits for `on`, and then for whoever is next in the way, until granted. Returns the epoch.
    pub(super) fn wait(
        mut self,
        mut on: Ticket,
        request: &mut Request<'_>,
        locks: &mut Locks,
    ) -> Result<Granted> {
        let ticket = self.record.claim.ticket;
        let mut notice_at = request
            .on_wait
            .as_ref()
            .map(|_| self.start + request.notice_after);
        let mut blocked: Option<(Ticket, Blocked)> = None;
        loop {
            tracing::trace!(%ticket, %on, "waiting");
            if blocked.as_ref().is_none_or(|(whom, _)| *whom != on) {
                blocked = self.block(on)?;
            }
            if let Some((_, thread)) = &blocked {
                let now = Instant::now();
                let until = [Some(now + self.tick()), notice_at, self.patience.deadline];
                match thread.wait(until.into_iter().flatten().min()) {
                    Some(over) => {
                        let over =
                            over.map_err(|e| Error::io("cannot wait for the lock", self.registry.path(), e))?;
                        if let Over::Removed = over {
                            self.ahead.retain(|ticket| *ticket != on);
                        }
                        blocked = None;
                    }
                    None if self.patience.cancel.is_cancelled() => {
                        return Err(Error::new(ErrorKind::Cancelled, "the wait was cancelled"));
                    }
                    None => {}
                }
            }
            // Those for whom nothing changed must not crowd the gate, where those queue that were woken.
            if blocked.is_none() || self.may_be_over(on, locks)? {
                match self.look_again(locks)? {
                    ControlFlow::Break(granted) => return Ok(granted),
                    ControlFlow::Continue(next) => on = next,
                }
            }
            if self.patience.deadline.is_some_and(|at| at <= Instant::now()) {
                let holder = self.why()?.holder;
                return Err(timed_out(self.registry, request, self.start, holder));
            }
            if let (Some(at), Some(notice)) = (notice_at, &mut request.on_wait)
                && at <= Instant::now()
            {
                let why = self.why()?;
                notice(&why);
                notice_at = Some(Instant::now() + request.notice_every * crowd(why.ahead));
            }
        }
    }

    fn tick(&self) -> Duration {
        if may_have_kin(&self.record.claim) {
            TICK_AMONG_KIN
        } else {
            TICK * crowd(self.ahead.len())
        }
    }

    /// Blocks a thread on a session's lock; nothing where that session is gone already.
    fn block(&self, on: Ticket) -> Result<Option<(Ticket, Blocked)>> {
        let Some(file) = self.registry.folder().open_lock(on)? else {
            return Ok(None);
        };
        let name = format!("buildlock waits for {on}");
        let blocked = Blocked::on(file, Then::LetGo, name, self.patience.cancel).map_err(|e| {
            Error::io(
                "cannot wait for the lock",
                &self.registry.folder().lock_path(on),
                e,
            )
        })?;
        Ok(Some((on, blocked)))
    }

    /// Whether the gate should be entered although no lock was freed. Seen without it, so perhaps a tick late.
    fn may_be_over(&self, on: Ticket, locks: &Locks) -> Result<bool> {
        let me = &self.record.claim;
        let mine = locks.iter().find(|(ticket, _)| *ticket == me.ticket);
        let removed = mine.is_none_or(|(_, lock)| sys::is_removed(lock).unwrap_or(true));
        Ok(removed || scan::may_be_over(&mut self.registry.glance(), me, on)?)
    }

    /// Decides again under the gate: granted, with the epoch, or whom to wait for.
    fn look_again(&mut self, locks: &mut Locks) -> Result<ControlFlow<Granted, Ticket>> {
        // Being woken at the very end of one's patience must not cost the lock: the gate is waited for all the same.
        let patience = Patience {
            deadline: None,
            cancel: self.patience.cancel,
        };
        let mut gate = self.registry.enter_again(self.registry_id, &patience)?;
        let ticket = self.record.claim.ticket;
        if !gate.is_registered(ticket)? {
            return Err(Error::new(
                ErrorKind::Lost,
                format!("session {ticket} was removed by somebody from"),
            )
            .at(self.registry.path())
            .advice("`lock break` does that, or the removal of the folder; try again"));
        }
        match gate.decide_again(&self.record.claim, &mut self.ahead)? {
            Decision::Wait(on) => Ok(ControlFlow::Continue(on)),
            Decision::Granted => {
                gate.apply(
                    protocol::grant(gate.gate, self.record.clone(), now_unix_ms()),
                    locks,
                )?;
                self.record.claim.state = State::Granted;
                self.record.granted_unix_ms = Some(now_unix_ms());
                Granted::read(self.registry, &gate).map(ControlFlow::Break)
            }
        }
    }

    /// What a person wants to know about the wait.
    fn why(&self) -> Result<Waiting> {
        let living = scan::living(&mut self.registry.glance())?;
        let claims: Vec<_> = living.iter().map(|l| l.claim.clone()).collect();
        let ahead = blockers(&claims, &self.record.claim);
        let holder = ahead
            .iter()
            .filter(|c| c.state == State::Granted)
            .min_by_key(|c| c.ticket)
            .or(ahead.first());
        let holder = holder.and_then(|c| living.iter().find(|l| l.claim.ticket == c.ticket)?.record.clone());
        Ok(Waiting {
            elapsed: self.start.elapsed(),
            mode: self.record.claim.mode,
            process: holder.as_ref().map_or(Process::Unknown, process_of),
            holder,
            ahead: ahead.len(),
        })
    }
}

/// How many times as seldom one looks behind so many others.
fn crowd(ahead: usize) -> u32 {
    u32::try_from(1 + ahead / CROWD).unwrap_or(u32::MAX)
}
