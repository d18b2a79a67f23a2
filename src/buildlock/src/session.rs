//! Sessions: taking a place in the queue, waiting for one's turn, holding, and letting go.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use crate::ancestry::Ancestry;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::RegistryId;
use crate::protocol::{self, Mark, Write};
use crate::queue::{Claim, Decision, Mode, SessionId, State, Ticket, blockers, may_have_kin};
use crate::record::{Record, Who, now_unix_ms};
use crate::registry::{Locks, Patience, Registry, Transition};
use crate::scan::{Ahead, Living};
use crate::sys;
use crate::wait::{Blocked, Cancel, Then};

/// How long to wait for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// As long as it takes.
    Never,
    /// Not at all: what cannot be had now is a [`ErrorKind::Timeout`].
    AtOnce,
    /// This long.
    After(Duration),
}

/// A look again at the queue although no lock was freed, for what the kernel cannot tell. Half a relative's patience where
/// kin is alive (its grant or request may settle our case without freeing a lock), a safety net elsewhere.
const TICK: Duration = Duration::from_secs(1);
const TICK_AMONG_KIN: Duration = Duration::from_millis(50);

/// Time stamps of files are no finer than this on any file system that we know of (two seconds on FAT).
const STAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// How long even those who do not want to wait try for the gate: it is held for microseconds, unless its holder is stopped.
const GATE_PATIENCE: Duration = Duration::from_secs(1);

/// What a session asks for, and how it wants to wait.
///
/// ```
/// # fn main() -> buildlock::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use buildlock::{Mode, Registry, Request, Session, Timeout};
///
/// let registry = Registry::open(folder.path().join("session"))?;
/// let request = Request::new(Mode::Exclusive, "build")
///     .timeout(Timeout::After(std::time::Duration::from_secs(600)))
///     .on_wait(|waiting| eprintln!("waiting for {waiting}"));
/// let session = Session::acquire(&registry, request)?;
/// // … change things …
/// session.release()
/// # }
/// ```
pub struct Request<'a> {
    mode: Mode,
    label: String,
    timeout: Timeout,
    timeout_advice: Option<String>,
    notice_after: Duration,
    notice_every: Duration,
    on_wait: Option<OnWait<'a>>,
    cancel: Cancel,
    ancestry: Ancestry,
    preemptible: bool,
    uses: Vec<String>,
    command: Option<Vec<String>>,
}

type OnWait<'a> = Box<dyn FnMut(&Waiting) + 'a>;

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("mode", &self.mode)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// Asks for `mode`. `label` says in a word, to whoever looks at the queue, what for.
    #[must_use]
    pub fn new(mode: Mode, label: impl Into<String>) -> Self {
        Self {
            mode,
            label: label.into(),
            timeout: Timeout::Never,
            timeout_advice: None,
            notice_after: Duration::from_millis(200),
            notice_every: Duration::from_secs(1),
            on_wait: None,
            cancel: Cancel::new(),
            ancestry: Ancestry::from_environment(),
            preemptible: false,
            uses: Vec::new(),
            command: None,
        }
    }

    /// The command line to show for this session, where this process's own is not what the user typed.
    #[must_use]
    pub fn command(mut self, words: Vec<String>) -> Self {
        self.command = Some(words);
        self
    }

    /// How long to wait. [`Timeout::Never`] unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Timeout) -> Self {
        self.timeout = timeout;
        self
    }

    /// What a timeout's text should tell the user to change, such as the name of a key or flag.
    #[must_use]
    pub fn timeout_advice(mut self, advice: impl Into<String>) -> Self {
        self.timeout_advice = Some(advice.into());
        self
    }

    /// Called when the wait has lasted a while (see [`Request::notice_after`]), and every second from then on; less often
    /// in a long queue.
    ///
    /// It runs in the waiting thread, which holds nothing meanwhile but its place in the queue.
    #[must_use]
    pub fn on_wait(mut self, notice: impl FnMut(&Waiting) + 'a) -> Self {
        self.on_wait = Some(Box::new(notice));
        self
    }

    /// How long a wait may last before [`Request::on_wait`] is called. 0.2 s unless set.
    #[must_use]
    pub fn notice_after(mut self, after: Duration) -> Self {
        self.notice_after = after;
        self
    }

    /// Lets another thread give up this wait.
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Under which sessions this one counts as started. That of the environment unless set.
    #[must_use]
    pub fn ancestry(mut self, ancestry: Ancestry) -> Self {
        self.ancestry = ancestry;
        self
    }

    /// Says in the record that this session steps aside when a mutator queues. That it does so is its owner's business: see
    /// [`Session::watch`].
    #[must_use]
    pub fn preemptible(mut self) -> Self {
        self.preemptible = true;
        self
    }

    /// Names shared things that this session uses, so that nobody collects them meanwhile.
    #[must_use]
    pub fn uses(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.uses = names.into_iter().collect();
        self
    }
}

/// Why a request still waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// How long it has waited.
    pub elapsed: Duration,
    /// What it asks for.
    pub mode: Mode,
    /// The session in its way that has held the lock for longest or, if nobody holds it yet, the one nearest ahead. Nothing
    /// where its record cannot be read.
    pub holder: Option<Record>,
    /// How many sessions are in its way.
    pub ahead: usize,
}

impl fmt::Display for Waiting {
    /// `x.py build (pid 4242, running 3m12s, exclusive); 1 ahead`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => write!(f, "{}", Holder(holder))?,
            None => f.write_str("a session whose record cannot be read")?,
        }
        write!(f, "; {} ahead", self.ahead)
    }
}

/// A record, as the holder that somebody waits for.
struct Holder<'a>(&'a Record);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(record) = self;
        let doing = match record.claim.state {
            State::Granted => "running",
            State::Waiting => "waiting",
        };
        let age = HumanDuration(record.age());
        let mode = record.claim.mode;
        write!(
            f,
            "{} (pid {}, {doing} {age}, {mode})",
            record.command_line(),
            record.who.pid
        )
    }
}

/// A duration to the second, in the largest units that fit: `7s`, `3m12s`, `2h05m`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s}s"),
            (0, m, s) => write!(f, "{m}m{s:02}s"),
            (h, m, _) => write!(f, "{h}h{m:02}m"),
        }
    }
}

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
    /// same number saw the same state.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last mutator, if it died while it held the lock: what it was to change may be half done. The clean end of a
    /// mutator that was told so removes the mark.
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

/// What a session is told when it is granted.
struct Granted {
    epoch: u64,
    unfinished: Option<Record>,
}

impl Granted {
    /// Reads it while the gate is still held: of who dies from now on, the next is told.
    fn read(registry: &Registry, gate: &Transition<'_>) -> Result<Self> {
        Ok(Self {
            epoch: gate.gate.epoch,
            unfinished: registry.folder().read_unfinished()?,
        })
    }
}

/// A claim that waits.
struct Queued<'a> {
    registry: &'a Registry,
    registry_id: RegistryId,
    record: &'a mut Record,
    ahead: Ahead,
    start: Instant,
    patience: Patience<'a>,
}

impl Queued<'_> {
    /// Waits for `on`, and then for whoever is next in the way, until granted. Returns the epoch.
    fn wait(mut self, mut on: Ticket, request: &mut Request<'_>, locks: &mut Locks) -> Result<Granted> {
        let ticket = self.record.claim.ticket;
        let tick = if may_have_kin(&self.record.claim) {
            TICK_AMONG_KIN
        } else {
            TICK
        };
        let mut notice_at = self.start + request.notice_after;
        let mut blocked: Option<(Ticket, Blocked)> = None;
        loop {
            tracing::trace!(%ticket, %on, "waiting");
            if blocked.as_ref().is_none_or(|(whom, _)| *whom != on) {
                blocked = self.block(on)?;
            }
            if let Some((_, thread)) = &blocked {
                let now = Instant::now();
                let until = [Some(now + tick), Some(notice_at), self.patience.deadline];
                match thread.wait(until.into_iter().flatten().min()) {
                    Some(freed) => {
                        freed.map_err(|e| Error::io("cannot wait for the lock", self.registry.path(), e))?;
                        blocked = None;
                    }
                    None if self.patience.cancel.is_cancelled() => {
                        return Err(Error::new(ErrorKind::Cancelled, "the wait was cancelled"));
                    }
                    None => {}
                }
            }
            match self.look_again(locks)? {
                ControlFlow::Break(granted) => return Ok(granted),
                ControlFlow::Continue(next) => on = next,
            }
            if self.patience.deadline.is_some_and(|at| at <= Instant::now()) {
                let holder = self.why()?.holder;
                return Err(timed_out(self.registry, request, self.start, holder));
            }
            if notice_at <= Instant::now() {
                let mut ahead = 0;
                if let Some(notice) = &mut request.on_wait {
                    let why = self.why()?;
                    ahead = u32::try_from(why.ahead).unwrap_or(u32::MAX);
                    notice(&why);
                }
                // A look at a long queue costs more, and there are more who look: a thousand must not be busy looking.
                notice_at = Instant::now() + request.notice_every * (1 + ahead / 20);
            }
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
        let mut gate = self.registry.enter(&Patience {
            deadline: None,
            cancel: self.patience.cancel,
        })?;
        let living = gate.scan()?;
        drop(gate);
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
            holder,
            ahead: ahead.len(),
        })
    }
}

/// Notices when a mutator queues behind a session. Independent of it, so that another thread may watch.
#[derive(Debug)]
pub struct Watch {
    registry: Registry,
    registry_id: RegistryId,
    session: SessionId,
    /// When the registry was last changed, at the last look.
    seen: Option<SystemTime>,
}

impl Watch {
    /// Looks whether a mutator that is not nested in the session waits, for it or for others: the one that came first.
    ///
    /// One that would itself step aside does not count: two that step aside for each other would never come to an end.
    ///
    /// Cheap enough to be called many times a second: as long as nobody came, it is one `stat`.
    ///
    /// # Errors
    /// As [`Session::acquire`].
    pub fn wanted_by(&mut self) -> Result<Option<Record>> {
        let changed = self.registry.folder().gate_changed()?;
        if self.seen == Some(changed) {
            return Ok(None);
        }
        let mut gate = self.registry.enter_again(
            self.registry_id,
            &Patience {
                deadline: None,
                cancel: &Cancel::new(),
            },
        )?;
        let waits = |l: &Living| {
            l.claim.state == State::Waiting
                && l.claim.mode == Mode::Exclusive
                && l.claim.session != self.session
                && !l.claim.ancestors.contains(&self.session)
                && !l.record.as_ref().is_some_and(|r| r.preemptible)
        };
        let mutator = gate.scan()?.into_iter().find(waits).and_then(|l| l.record);
        // A stamp that is still fresh may be shared by a registration that came after this look: then look again.
        let stale = changed.elapsed().is_ok_and(|age| age > STAMP_RESOLUTION);
        self.seen = (mutator.is_none() && stale).then_some(changed);
        Ok(mutator)
    }
}

fn timed_out(registry: &Registry, request: &Request<'_>, start: Instant, holder: Option<Record>) -> Error {
    let waited = start.elapsed();
    let after = if request.timeout == Timeout::AtOnce {
        String::new()
    } else {
        format!(" after {:.1} s", waited.as_secs_f64())
    };
    let by = holder.as_ref().map_or_else(
        || "a session whose record cannot be read".to_owned(),
        |h| Holder(h).to_string(),
    );
    let text = format!(
        "the {} lock could not be had{after}: held by {by} in",
        request.mode
    );
    let error = Error::new(ErrorKind::Timeout, text)
        .at(registry.path())
        .held_by(holder);
    match &request.timeout_advice {
        Some(advice) => error.advice(advice),
        None => error,
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
