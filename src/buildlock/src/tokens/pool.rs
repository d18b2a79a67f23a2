//! The pool: how a build joins it, and waits for its first token.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::ancestry::Ancestry;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::Ticket;
use crate::record::{Lease, Record};
use crate::registry::{Patience, Registry};
use crate::scan::{self, Living};
use crate::session::{HumanDuration, Timeout};
use crate::tokens::alarm::Alarm;
use crate::tokens::broker::JobServer;
use crate::tokens::memory::{MemoryLimits, MemoryReading};
use crate::tokens::seat::{Ledger, Place, Seat, Taking, Watch};
use crate::tokens::server::Style;
use crate::wait::Cancel;

/// The most tokens that a pool may have: as many bytes always fit into a pipe.
pub const CAPACITY_MAX: u32 = 4096;

/// The processors that this process may use: those of its affinity, and no more than its control group's quota.
#[must_use]
pub fn capacity_of_this_process() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors)
        .unwrap_or(CAPACITY_MAX)
        .min(CAPACITY_MAX)
}

/// A session's part of a pool that is too small for all, relative to the parts of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// For a build that somebody waits for.
    pub const FOREGROUND: Self = Self(4);
    /// For a build that nobody looks at, such as an editor's check.
    pub const BACKGROUND: Self = Self(1);

    /// Another weight; at least 1, at most 1000.
    #[must_use]
    pub fn new(weight: u32) -> Self {
        Self(weight.clamp(1, 1000))
    }
}

/// A pool of tokens that builds share.
#[derive(Clone, Debug)]
pub struct TokenPool {
    registry: Registry,
    capacity: u32,
}

/// How a build wants to join a pool, and to wait for its first token.
pub struct Joining<'a> {
    label: String,
    weight: Weight,
    cap: u32,
    memory: MemoryLimits,
    timeout: Timeout,
    notice_after: Duration,
    notice_every: Duration,
    on_wait: Option<OnWait<'a>>,
    wait_text: fn(&PoolWait) -> String,
    cancel: Cancel,
    ancestry: Ancestry,
    command: Option<Vec<String>>,
}

type OnWait<'a> = Box<dyn FnMut(&PoolWait) + 'a>;

impl fmt::Debug for Joining<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl<'a> Joining<'a> {
    /// `label` says in a word, to whoever looks at the pool, what for.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            weight: Weight::FOREGROUND,
            cap: CAPACITY_MAX,
            memory: MemoryLimits::default(),
            timeout: Timeout::Never,
            notice_after: Duration::from_millis(200),
            notice_every: Duration::from_secs(1),
            on_wait: None,
            wait_text: PoolWait::to_string,
            cancel: Cancel::new(),
            ancestry: Ancestry::from_environment(),
            command: None,
        }
    }

    /// The command line to show for this build, where this process's own is not what the user typed.
    #[must_use]
    pub fn command(mut self, words: Vec<String>) -> Self {
        self.command = Some(words);
        self
    }

    /// Under which builds this one counts as started. That of the environment unless set.
    #[must_use]
    pub fn ancestry(mut self, ancestry: Ancestry) -> Self {
        self.ancestry = ancestry;
        self
    }

    /// [`Weight::FOREGROUND`] unless set.
    #[must_use]
    pub fn weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// The most tokens to hold at once, as `-j` says.
    #[must_use]
    pub fn jobs_max(mut self, jobs: u32) -> Self {
        self.cap = jobs.clamp(1, CAPACITY_MAX);
        self
    }

    /// When to lease no further token.
    #[must_use]
    pub fn memory_limits(mut self, limits: MemoryLimits) -> Self {
        self.memory = limits;
        self
    }

    /// How long to wait for the first token. [`Timeout::Never`] unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Timeout) -> Self {
        self.timeout = timeout;
        self
    }

    /// Called, in the waiting thread, when the wait for the first token has lasted a while, and
    /// again and again from then on: see [`Joining::notice_after`] and [`Joining::notice_every`].
    #[must_use]
    pub fn on_wait(mut self, notice: impl FnMut(&PoolWait) + 'a) -> Self {
        self.on_wait = Some(Box::new(notice));
        self
    }

    /// How the error of a wait that timed out puts what was waited for, where the tokens are called otherwise. As
    /// [`PoolWait`]'s `Display` does unless set.
    #[must_use]
    pub fn wait_text(mut self, text: fn(&PoolWait) -> String) -> Self {
        self.wait_text = text;
        self
    }

    /// How long the wait may last before [`Joining::on_wait`] is called. 0.2 s unless set.
    #[must_use]
    pub fn notice_after(mut self, after: Duration) -> Self {
        self.notice_after = after;
        self
    }

    /// How long after that it is called again. Each time costs a look at all that take part. 1 s unless set.
    #[must_use]
    pub fn notice_every(mut self, time: Duration) -> Self {
        self.notice_every = time;
        self
    }

    /// Lets another thread give up the wait.
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }
}

/// Why a build still waits for its first token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolWait {
    /// How long it has waited.
    pub elapsed: Duration,
    /// The pool's capacity.
    pub capacity: u32,
    /// How many that came earlier wait for their first token, too.
    pub ahead: usize,
    /// Who holds tokens, as far as their records can be read.
    pub holders: Vec<Record>,
}

impl fmt::Display for PoolWait {
    /// `a token: all 8 are in use by x.py build (pid 4242, 3m12s), and 2 others; 1 ahead`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token: all {} are in use", self.capacity)?;
        if let Some(first) = self.holders.first() {
            let age = HumanDuration(first.age());
            write!(f, " by {} (pid {}, {age})", first.command_line(), first.who.pid)?;
        }
        match self.holders.len() {
            0 | 1 => {}
            2 => f.write_str(" and another")?,
            n => write!(f, " and {} others", n - 1)?,
        }
        write!(f, "; {} ahead", self.ahead)
    }
}

impl TokenPool {
    /// Opens the pool in `folder`, and creates it where it is missing, for this user alone.
    ///
    /// `capacity` is how many jobs should run at once. While builds of another opinion are alive, the one that joined first
    /// decides: see [`Member::other_capacity`].
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open(folder: impl AsRef<Path>, capacity: u32) -> Result<Self> {
        let registry = Registry::open(folder)?;
        let capacity = capacity.clamp(1, CAPACITY_MAX);
        Ok(Self { registry, capacity })
    }

    /// Opens the pool in `folder` if there is one.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn existing(folder: impl AsRef<Path>, capacity: u32) -> Result<Option<Self>> {
        let registry = Registry::existing(folder)?;
        let capacity = capacity.clamp(1, CAPACITY_MAX);
        Ok(registry.map(|registry| Self { registry, capacity }))
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.registry.path()
    }

    /// The capacity that this process would give the pool.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Joins the pool, and waits for the token that the build itself costs: its child is a job, too.
    ///
    /// Builds that wait get their first tokens in the order in which they came, before anybody gets a further one. Do not
    /// join while waiting for another lock: a token that waits helps nobody.
    ///
    /// A build that was started under a member of the same pool, and does not see its jobserver (something in between closed
    /// it), joins at once and gets no token: it is that member's one job, which waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] and [`ErrorKind::Cancelled`] as `joining` says; every other kind where the pool cannot be
    /// used. In each case nothing stays behind.
    pub fn join(&self, mut joining: Joining<'_>) -> Result<Member> {
        let start = Instant::now();
        let patience = Patience {
            deadline: match joining.timeout {
                Timeout::Never => None,
                Timeout::AtOnce => Some(start),
                Timeout::After(time) => start.checked_add(time),
            },
            cancel: &joining.cancel.clone(),
        };
        let lease = Lease {
            held: 0,
            wanted: 1,
            cap: joining.cap.min(self.capacity),
            weight: joining.weight.0,
            capacity: self.capacity,
        };
        let taking = Taking {
            lease,
            label: std::mem::take(&mut joining.label),
            command: joining.command.take(),
            ancestry: joining.ancestry.clone(),
        };
        let mut place = Seat::take(&self.registry, taking, &patience)?;
        if let Place::Seat(seat) = &mut place {
            if seat.lease().held == 0 {
                self.wait(seat, &mut joining, start, &patience)?;
            }
            let waited_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(ticket = %seat.ticket(), waited_us, "first token leased");
        }
        Ok(Member {
            place,
            folder: self.path().to_owned(),
            memory: joining.memory,
            own_capacity: self.capacity,
        })
    }

    fn wait(
        &self,
        seat: &mut Seat,
        joining: &mut Joining<'_>,
        start: Instant,
        patience: &Patience<'_>,
    ) -> Result<()> {
        let mut alarm = Alarm::set(&self.registry, seat.ticket(), patience.cancel);
        let mut watch = Watch::default();
        let mut notice_at = start.checked_add(joining.notice_after);
        let mut looked = start;
        let mut hope = true;
        loop {
            if hope || alarm.must_look(looked, || watch.stirred(&self.registry))? {
                looked = Instant::now();
                let Some(ledger) = self.try_first(seat, &mut watch, patience)? else {
                    drop(alarm);
                    // There may be more. The next one watches us, and not those whom it has to watch from now on.
                    self.registry.folder().ring_behind(seat.ticket());
                    return Ok(());
                };
                hope = alarm.watch(&ledger.entries)?;
            }
            let now = Instant::now();
            if patience.deadline.is_some_and(|at| at <= now) {
                return Err(self.timed_out(seat, joining, start)?);
            }
            if notice_at.is_some_and(|at| at <= now) {
                notice_at = now.checked_add(joining.notice_every);
                if let Some(notice) = &mut joining.on_wait {
                    notice(&self.why(seat, start)?);
                }
            }
            if !hope {
                let until = [Some(now + alarm.tick()), notice_at, patience.deadline];
                hope = alarm.sleep(until.into_iter().flatten().min())?;
            }
            if patience.cancel.is_cancelled() {
                return Err(Error::new(
                    ErrorKind::Cancelled,
                    "the wait for a token was cancelled",
                ));
            }
        }
    }

    /// Leases the first token, if it is this seat's turn. Returns the ledger if it is not.
    fn try_first(
        &self,
        seat: &mut Seat,
        watch: &mut Watch,
        patience: &Patience<'_>,
    ) -> Result<Option<Ledger>> {
        let patience = Patience {
            deadline: None,
            cancel: patience.cancel,
        };
        let now = Instant::now();
        let mut gate = seat.enter(&self.registry, &patience)?;
        let ledger = seat.read(&mut gate)?;
        if ledger.may_lease(seat.ticket()) > 0 {
            seat.publish(&mut gate, 1, 1)?;
            return Ok(None);
        }
        watch.looked(now, &self.registry, &ledger, seat.ticket())?;
        Ok(Some(ledger))
    }

    fn why(&self, seat: &Seat, start: Instant) -> Result<PoolWait> {
        let living = scan::living(&mut self.registry.glance())?;
        let ledger = Ledger::of(&living, self.capacity);
        let ahead = |l: &&Living| l.claim.ticket < seat.ticket() && held(l) == 0;
        Ok(PoolWait {
            elapsed: start.elapsed(),
            capacity: ledger.capacity,
            ahead: living.iter().filter(ahead).count(),
            holders: living
                .iter()
                .filter(|l| held(l) > 0)
                .filter_map(|l| l.record.clone())
                .collect(),
        })
    }

    fn timed_out(&self, seat: &Seat, joining: &Joining<'_>, start: Instant) -> Result<Error> {
        let why = self.why(seat, start)?;
        let after = match joining.timeout {
            Timeout::AtOnce => String::new(),
            _ => format!(" after {:.1} s", why.elapsed.as_secs_f64()),
        };
        let what = (joining.wait_text)(&why);
        let holder = why.holders.first().cloned();
        let text = format!("timed out{after} waiting for {what}, in");
        Ok(Error::new(ErrorKind::Timeout, text)
            .at(self.path())
            .held_by(holder))
    }

    /// All that take part now.
    pub(super) fn living(&self) -> Result<Vec<Living>> {
        self.registry
            .enter(&Patience {
                deadline: None,
                cancel: &Cancel::new(),
            })?
            .scan()
    }
}

fn held(living: &Living) -> u32 {
    let lease = living.record.as_ref().and_then(|r| r.lease);
    lease.map_or(1, |l| l.held)
}

/// A build that takes part in a pool and holds its first token. Dropping it leaves the pool.
#[derive(Debug)]
pub struct Member {
    pub(super) place: Place,
    pub(super) folder: PathBuf,
    pub(super) memory: MemoryLimits,
    own_capacity: u32,
}

impl Member {
    /// Its place in the order of those that joined; nothing for the one job of a member around it.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        match &self.place {
            Place::Seat(seat) => Some(seat.ticket()),
            Place::JobOf(_) => None,
        }
    }

    /// The pool's capacity, if a build that joined earlier fixed it at another number than this one's: worth telling.
    ///
    /// Of a larger pool this build still holds no more than its own capacity.
    #[must_use]
    pub fn other_capacity(&self) -> Option<u32> {
        match &self.place {
            Place::Seat(seat) => Some(seat.lease().capacity).filter(|&c| c != self.own_capacity),
            Place::JobOf(_) => None,
        }
    }

    /// Serves a private jobserver to what the build starts, with tokens from the pool.
    ///
    /// Make a new one for each child build: whatever its processes lose of it is back when it ends.
    ///
    /// # Errors
    /// Where the jobserver cannot be made. The pool is then left.
    pub fn serve(self, style: Style) -> Result<JobServer> {
        JobServer::start(self, style)
    }

    /// Leases as many further tokens as are free and this build's share allows, so that it holds at most `jobs`; returns how
    /// many it holds. For work of this process's own, whose threads cannot come and go: nothing is given back before the end.
    ///
    /// # Errors
    /// Where the pool cannot be used.
    pub fn lease_up_to(&mut self, jobs: u32) -> Result<u32> {
        let Place::Seat(seat) = &mut self.place else {
            return Ok(1);
        };
        if self.memory.refuse(&MemoryReading::now()).is_some() {
            return Ok(seat.lease().held);
        }
        let registry = seat.registry.clone();
        let mut gate = seat.enter(
            &registry,
            &Patience {
                deadline: None,
                cancel: &Cancel::new(),
            },
        )?;
        let wanted = jobs.min(seat.lease().cap);
        let more = seat
            .read(&mut gate)?
            .wishing(seat.ticket(), wanted)
            .may_lease(seat.ticket());
        let held = seat.lease().held + more;
        if more > 0 {
            seat.publish(&mut gate, held, held)?;
        }
        Ok(held)
    }

    /// Makes a command's process, and what it starts, count as this build's one job: what joins this pool below it joins at
    /// once. For a build that is only counted, and serves no jobserver.
    pub fn name(&self, command: &mut Command) {
        if let Place::Seat(seat) = &self.place {
            seat.nesting().tell(command);
        }
    }

    /// Leaves the pool.
    ///
    /// # Errors
    /// Where the files of the lease cannot be removed. The tokens are free all the same.
    pub fn leave(self) -> Result<()> {
        match self.place {
            Place::Seat(mut seat) => seat.leave(),
            Place::JobOf(_) => Ok(()),
        }
    }
}
