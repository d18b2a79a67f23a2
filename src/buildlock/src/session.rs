//! Sessions: taking a place in the queue, holding, and letting go.

mod request;
pub use request::{Request, Timeout};
mod waiting;
pub use waiting::{HumanDuration, Waiting};
mod queued;
mod watch;
pub use watch::Watch;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::ancestry::Ancestry;
use crate::error::{ErrorKind, Result};
use crate::gate::RegistryId;
use crate::protocol::{self, Mark, Write};
use crate::queue::{Claim, Decision, Mode, SessionId, State, Ticket};
use crate::record::{Record, Who, now_unix_ms};
use crate::registry::{Locks, Patience, Registry, Transition};
use crate::session::queued::{Granted, Queued};
use crate::session::waiting::timed_out;
use crate::sys;
use crate::wait::Cancel;

/// How long even those who do not want to wait try for the gate: it is held for microseconds, unless its holder is stopped.
const GATE_PATIENCE: Duration = Duration::from_secs(1);

/// A registered session that holds the lock. Dropping it lets go.
#[derive(Debug)]
pub struct Session {
    registry: Registry,
    registry_id: RegistryId,
    id: SessionId,
    ancestry: Ancestry,
    /// The claims it holds, in order: more than one only after an upgrade of its own shared hold.
    claims: Vec<Record>,
    locks: Locks,
    epoch: u64,
    unfinished: Option<Record>,
}

impl Session {
    /// Takes a place in the queue, and waits until it is granted.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] and [`ErrorKind::Cancelled`] as the request says; every other kind where the registry cannot
    /// be used. In each case nothing of the request stays behind.
    pub fn acquire(registry: &Registry, mut request: Request<'_>) -> Result<Self> {
        let mut session = Self::unregistered(registry, &request);
        session.add_claim(&mut request)?;
        Ok(session)
    }

    /// Takes the lock if it can be had now; nothing where it cannot.
    ///
    /// # Errors
    /// As [`Session::acquire`]; that the lock is busy is none.
    pub fn try_acquire(registry: &Registry, request: Request<'_>) -> Result<Option<Self>> {
        busy_is_none(Self::acquire(registry, request.timeout(Timeout::AtOnce)))
    }

    /// Asks for the exclusive hold as well. The shared one stays meanwhile, but other trees that upgrade, too, may be let
    /// pass: by asking, a session gives up the certainty that nothing changes until it is served.
    ///
    /// Does nothing where the session holds exclusively already.
    ///
    /// # Errors
    /// As [`Session::acquire`]. The session still holds what it held, but its snapshot is as uncertain as after a success:
    /// another tree's upgrade may have been let pass, and may be changing things still.
    pub fn upgrade(&mut self, mut request: Request<'_>) -> Result<()> {
        if self.mode() == Mode::Exclusive {
            return Ok(());
        }
        request.mode = Mode::Exclusive;
        self.add_claim(&mut request)
    }

    /// Like [`Session::upgrade`], but does not wait: returns whether the session now holds exclusively.
    ///
    /// # Errors
    /// As [`Session::upgrade`]; that the lock is busy is none.
    pub fn try_upgrade(&mut self, request: Request<'_>) -> Result<bool> {
        busy_is_none(self.upgrade(request.timeout(Timeout::AtOnce))).map(|done| done.is_some())
    }

    /// Turns an exclusive hold into a shared one, without a gap: nobody can change anything in between. What the session did
    /// counts as finished.
    ///
    /// Does nothing where the session holds no exclusive claim.
    ///
    /// # Errors
    /// Where the registry cannot be used. The session then still holds exclusively.
    pub fn downgrade(&mut self) -> Result<()> {
        let Some(at) = self.claims.iter().position(|r| r.claim.mode == Mode::Exclusive) else {
            return Ok(());
        };
        let exclusive = self.claims[at].claim.ticket;
        if self.claims.len() > 1 {
            // An upgrade of its own shared hold is taken back: that hold still stands.
            let done = self.finish(exclusive);
            self.downgraded(exclusive, &done);
            return Ok(());
        }
        let registry = self.registry.clone();
        let mut gate = registry.enter_again(
            self.registry_id,
            &Patience {
                deadline: None,
                cancel: &Cancel::new(),
            },
        )?;
        let mut shared = self.claims[at].clone();
        shared.claim.ticket = gate.gate.next;
        shared.claim.mode = Mode::Shared;
        shared.granted_unix_ms = Some(now_unix_ms());
        let mark = gate.mark_after(self.told())?;
        let published = protocol::downgrade(gate.gate, shared.clone(), exclusive, mark);
        let done = gate.apply(published, &mut self.locks);
        if self.locks.iter().any(|(t, _)| *t == exclusive) {
            // It failed before the exclusive claim was let go of: take back what was published.
            withdraw(&registry, shared.claim.ticket, &mut self.locks);
            return done;
        }
        self.claims.push(shared);
        self.downgraded(exclusive, &done);
        Ok(())
    }

    /// From here on the session holds a shared claim only. That files of the exclusive one could not be removed changes
    /// nothing about it: whoever scans next removes them.
    fn downgraded(&mut self, exclusive: Ticket, cleared: &Result<()>) {
        self.claims.retain(|r| r.claim.ticket != exclusive);
        self.unfinished = None;
        match cleared {
            Ok(()) => tracing::debug!(session = %self.id, "downgraded"),
            Err(e) => tracing::warn!(session = %self.id, error = %e, "downgraded, but files stay behind"),
        }
    }

    /// Lets go, having come to a clean end: nothing that was changed is half done.
    ///
    /// # Errors
    /// Where the files of the session cannot be removed. The lock is free all the same.
    pub fn release(mut self) -> Result<()> {
        self.let_go()
    }

    /// The mode that the session holds.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.claims
            .iter()
            .map(|r| r.claim.mode)
            .max()
            .unwrap_or(Mode::Shared)
    }

    /// The session's name in its registry.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The ticket of the session's newest claim.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.claims.last().map_or(Ticket(self.id.0), |r| r.claim.ticket)
    }

    /// How many exclusive grants there had been when this session was granted, its own included. Two readers that see the
    /// same number saw the same state, unless they are nested in a mutator that still runs.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last mutator, if it did not finish: it died while it held the lock, or its session was broken. What it was to
    /// change may be half done. The clean end of a mutator that was told so removes the mark.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Record> {
        self.unfinished.as_ref()
    }

    /// The registry's folder.
    #[must_use]
    pub fn registry_path(&self) -> &Path {
        self.registry.path()
    }

    /// Prepares a command whose process works for this session: it and its children count as nested in it, and keep the
    /// session alive while they run, should this process be killed.
    ///
    /// The session must be kept until the command has been started. A daemon that the command leaves behind should close
    /// the descriptors that it inherited; a clean end of the session does not wait for it, a killed one does.
    ///
    /// # Platform notes
    /// On Windows locks are not inherited: put the children into a job object that ends them with this process.
    pub fn lend(&self, command: &mut Command) {
        self.name(command);
        let locks: Vec<_> = self.locks.iter().map(|(_, file)| file).collect();
        sys::lend(command, &locks);
    }

    /// Prepares a command whose process counts as nested in this session while the session lives, but does not keep it
    /// alive.
    pub fn name(&self, command: &mut Command) {
        // A token pool may have named its own session already.
        let ancestry = Ancestry::given_to(command).unwrap_or_else(|| self.ancestry.clone());
        ancestry.with(self.registry_id, self.id).give_to(command);
    }

    /// Watches for mutators that queue behind this session, so that it can step aside for them.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            registry: self.registry.clone(),
            session: self.id,
            registry_id: self.registry_id,
            seen: None,
        }
    }

    fn unregistered(registry: &Registry, request: &Request<'_>) -> Self {
        Self {
            registry: registry.clone(),
            registry_id: RegistryId(0),
            id: SessionId(0),
            ancestry: request.ancestry.clone(),
            claims: Vec::new(),
            locks: Locks::new(),
            epoch: 0,
            unfinished: None,
        }
    }

    fn add_claim(&mut self, request: &mut Request<'_>) -> Result<()> {
        let start = Instant::now();
        let span = tracing::debug_span!("acquire", mode = %request.mode, label = request.label);
        let _entered = span.enter();
        let patience = Patience {
            deadline: match request.timeout {
                Timeout::Never => None,
                Timeout::AtOnce => start.checked_add(GATE_PATIENCE),
                Timeout::After(time) => start.checked_add(time),
            },
            cancel: &request.cancel.clone(),
        };
        let registry = self.registry.clone();
        let mut gate = if self.claims.is_empty() {
            registry.enter(&patience)?
        } else {
            registry.enter_again(self.registry_id, &patience)?
        };
        self.registry_id = gate.gate.registry;
        let mut record = self.new_record(&gate, request);
        let (decision, ahead) = gate.decide(&record.claim)?;
        if let (Decision::Wait(on), Timeout::AtOnce) = (decision, request.timeout) {
            let holder = registry.folder().read_record(on)?;
            return Err(timed_out(&registry, request, start, holder));
        }
        if decision == Decision::Granted {
            record.claim.state = State::Granted;
            record.granted_unix_ms = Some(record.asked_unix_ms);
        }
        let ticket = record.claim.ticket;
        let registered = gate.apply(protocol::register(gate.gate, record.clone()), &mut self.locks);
        let granted = match (registered, decision) {
            (Err(e), _) => {
                drop(gate);
                Err(e)
            }
            (Ok(()), Decision::Granted) => {
                let told = Granted::read(&registry, &gate);
                drop(gate);
                told
            }
            (Ok(()), Decision::Wait(on)) => {
                drop(gate);
                let queued = Queued {
                    registry: &registry,
                    registry_id: self.registry_id,
                    record: &mut record,
                    ahead,
                    start,
                    patience,
                };
                queued.wait(on, request, &mut self.locks)
            }
        };
        match granted {
            Ok(Granted { epoch, unfinished }) => {
                tracing::debug!(%ticket, epoch, waited_us = elapsed_us(start), "granted");
                self.id = record.claim.session;
                self.epoch = epoch;
                self.claims.push(record);
                self.unfinished = unfinished;
                Ok(())
            }
            Err(e) => {
                tracing::debug!(%ticket, error = %e, waited_us = elapsed_us(start), "not granted");
                withdraw(&registry, ticket, &mut self.locks);
                Err(e)
            }
        }
    }

    fn new_record(&self, gate: &Transition<'_>, request: &mut Request<'_>) -> Record {
        let session = if self.claims.is_empty() {
            gate.gate.next_session()
        } else {
            self.id
        };
        let mut ancestors = self.ancestry.sessions(self.registry_id).to_vec();
        ancestors.retain(|&a| a != session);
        let mut who = Who::this_process().clone();
        if let Some(words) = request.command.take() {
            who = who.showing(words);
        }
        Record {
            claim: Claim {
                ticket: gate.gate.next,
                session,
                ancestors,
                mode: request.mode,
                state: State::Waiting,
            },
            who,
            label: std::mem::take(&mut request.label),
            asked_unix_ms: now_unix_ms(),
            granted_unix_ms: None,
            preemptible: request.preemptible,
            uses: std::mem::take(&mut request.uses),
            lease: None,
        }
    }

    /// The mutator whose death this session was told of.
    fn told(&self) -> Option<Ticket> {
        self.unfinished.as_ref().map(|mark| mark.claim.ticket)
    }

    /// Lets go of an exclusive claim, at a clean end. The lock is freed whatever fails.
    fn finish(&mut self, exclusive: Ticket) -> Result<()> {
        let Some(told) = self.told() else {
            return self.registry.let_go(
                exclusive,
                protocol::finish(exclusive, Mark::Stays),
                &mut self.locks,
            );
        };
        // The gate is held until the mark is gone, or another could take its place.
        let patience = Patience {
            deadline: None,
            cancel: &Cancel::new(),
        };
        let gate = self.registry.enter_again(self.registry_id, &patience);
        let mark = gate
            .as_ref()
            .map_or(Ok(Mark::Stays), |gate| gate.mark_after(Some(told)));
        let writes = protocol::finish(exclusive, *mark.as_ref().unwrap_or(&Mark::Stays));
        let done = self.registry.let_go(exclusive, writes, &mut self.locks);
        gate.and(mark).and(done)
    }

    fn let_go(&mut self) -> Result<()> {
        let mut done = Ok(());
        // The newest first: the exclusive claim of an upgrade goes before the shared one that it stands on.
        for record in std::mem::take(&mut self.claims).into_iter().rev() {
            let ticket = record.claim.ticket;
            let let_go = match record.claim.mode {
                // Unwinding is no clean end: the mark that a killed session would leave is left here, too.
                Mode::Exclusive if std::thread::panicking() => {
                    let mut writes = protocol::sweep(ticket, Some(&record.claim));
                    writes.push(Write::Unlock(ticket));
                    self.registry.let_go(ticket, writes, &mut self.locks)
                }
                Mode::Exclusive => self.finish(ticket),
                Mode::Shared => self
                    .registry
                    .let_go(ticket, protocol::let_go(ticket), &mut self.locks),
            };
            done = done.and(let_go);
            tracing::debug!(%ticket, held_us = record.age().as_micros() as u64, "let go");
        }
        // Also what a failed removal left locked: a lock must not outlive its session.
        for (_, lock) in self.locks.drain(..) {
            drop(sys::unlock(&lock));
        }
        done
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(e) = self.let_go() {
            tracing::warn!(session = %self.id, error = %e, "the files of an ended session stay behind");
        }
    }
}

/// Takes back a claim that will not be used. Nothing more can be done where that fails: the lock is freed all the same, and
/// whoever scans next removes the rest.
fn withdraw(registry: &Registry, ticket: Ticket, locks: &mut Locks) {
    drop(registry.let_go(ticket, protocol::let_go(ticket), locks));
}

fn busy_is_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::Timeout => Ok(None),
        Err(e) => Err(e),
    }
}

fn elapsed_us(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
