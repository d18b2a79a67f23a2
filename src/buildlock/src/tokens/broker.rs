//! The broker: one thread per build, which moves tokens between the pool and the build's private jobserver.
//!
//! Where a build's tokens are: one belongs to the child that the build started, and never moves. The others lie in the
//! jobserver, are out with the children, or are in the broker's **pocket**, between the two. The order of two steps matters:
//! a lease is published before its tokens can be taken, and tokens are out of the children's reach before a smaller lease
//! is. So at no moment is more in use than the ledger says.
//!
//! A compiler that stopped at the turnstile has put its token into the pocket, though its cargo still counts it. So the
//! children believe to have as many more as have stopped, and may give those back, too.
//!
//! The broker sleeps until a token comes back, or for a tick. A tick costs two cheap calls: how many tokens lie in the
//! jobserver, and whether the pool's folder has changed. The gate is taken only when a token may be had, or is owed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::registry::Patience;
use crate::tokens::demand::{Demand, Lent, Others};
use crate::tokens::memory::{MemoryGuard, MemoryLimits};
use crate::tokens::outer::make_flags;
use crate::tokens::pool::Member;
use crate::tokens::seat::{Ledger, Nesting, Place, Seat, Watch};
use crate::tokens::server::{self, Server, Style};
use crate::wait::Cancel;

/// How long to sleep while the children may be short of tokens, or leave some untouched.
const TICK: Duration = Duration::from_millis(5);

/// The same when nothing can come of it but what an event would tell, or what nobody is in a hurry for.
const TICK_CALM: Duration = Duration::from_millis(50);

/// The same while children do without further tokens: another build may want some of those that they hold.
const TICK_STARVED: Duration = Duration::from_millis(25);

/// How long to wait for the gate. Whoever holds it longer was stopped.
const GATE_PATIENCE: Duration = Duration::from_millis(250);

/// How long to leave the pool alone after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a wish stands after the children were last seen short of tokens.
const WISH_LINGERS: Duration = Duration::from_millis(20);

/// Looks at the ledger that move no token may take this part of the time, after a burst worth `LOOKS_BURST`.
const LOOKS_PART: u32 = 250;
const LOOKS_BURST: Duration = Duration::from_millis(4);

/// A private jobserver for the children of one build, fed from the pool. Dropping it gives all tokens back.
#[derive(Debug)]
pub struct JobServer {
    shared: Arc<Shared>,
    /// What children are to know of this member; nothing where it is another member's job.
    nesting: Option<Nesting>,
    broker: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    over: AtomicBool,
}

/// The right to run one job of this process's own beside its children's. Dropping it gives it back.
#[derive(Debug)]
pub struct Token(#[expect(dead_code, reason = "held for its drop")] server::Token);

impl JobServer {
    pub(super) fn start(member: Member, style: Style) -> Result<Self> {
        let Member {
            place,
            folder,
            memory,
            ..
        } = member;
        let (capacity, fifo) = match &place {
            Place::Seat(seat) => (seat.lease().capacity, format!("{}.fifo", seat.ticket())),
            // The name says whose end it must not outlive.
            Place::JobOf(around) => (1, format!("{around}.{}.fifo", std::process::id())),
        };
        let shared = Arc::new(Shared {
            server: Server::new(style, &folder.join(fifo), capacity)?,
            over: AtomicBool::new(false),
        });
        let Place::Seat(seat) = place else {
            return Ok(Self {
                shared,
                nesting: None,
                broker: None,
            });
        };
        let nesting = Some(seat.nesting());
        let broker = Broker::new(*seat, memory, Arc::clone(&shared));
        let broker = std::thread::Builder::new()
            .name("buildlock token broker".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || broker.run())
            .map_err(|e| Error::io("cannot start the token broker of", &folder, e))?;
        Ok(Self {
            shared,
            nesting,
            broker: Some(broker),
        })
    }

    /// Makes a command's process, and what it starts, clients of this jobserver: by `CARGO_MAKEFLAGS` and `MAKEFLAGS`,
    /// where other flags of the user's are kept.
    ///
    /// The jobserver must be kept until the command has ended. Do not pass a `-j` to it: cargo warns about it, and ninja
    /// and make then run as many jobs as it says.
    pub fn configure(&self, command: &mut Command) {
        let words = self.shared.server.words();
        let inherited = std::env::var("MAKEFLAGS").unwrap_or_default();
        command
            .env("MAKEFLAGS", make_flags(&inherited, &words))
            .env("CARGO_MAKEFLAGS", words)
            .env_remove("MFLAGS");
        if let Some(nesting) = &self.nesting {
            nesting.tell(command);
        }
        self.shared.server.lend(command);
    }

    /// Has a cargo's compilers stop where their tokens are owed to other builds, because cargo itself keeps a token as long as
    /// it has work for it. `program` is run in front of each, and calls
    /// [`stand_before_compiler`](crate::tokens::stand_before_compiler) first of all.
    ///
    /// Nothing comes of it where cargo's configuration names a wrapper of its own.
    ///
    /// # Errors
    /// Where the operating system cannot tell about our pipes.
    ///
    /// # Platform notes
    /// Does nothing on Windows: there, tokens are back when cargo has no more to start.
    pub fn stop_compilers_with(&self, program: &Path, command: &mut Command) -> Result<()> {
        let done = self.shared.server.stop_compilers(command, program);
        done.map_err(|e| Error::io("cannot put a turnstile before", program, e))
    }

    /// Takes a token for a job of this process's own, beside its children's; nothing where none can be had now.
    ///
    /// The thread that waits for the children, or does the work while there are none, needs no token: it has the first.
    ///
    /// # Errors
    /// Where the operating system fails to read the jobserver.
    pub fn try_token(&self) -> Result<Option<Token>> {
        let token = self.shared.server.try_token();
        token.map(|t| t.map(Token)).map_err(|e| {
            Error::new(
                ErrorKind::Io,
                format!("cannot take a token from the jobserver: {e}"),
            )
        })
    }

    /// Gives all tokens back and leaves the pool. What killed children lost of them is back, too.
    ///
    /// # Errors
    /// Where the files of the lease cannot be removed. The tokens are free all the same.
    pub fn end(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        let Some(broker) = self.broker.take() else {
            return Ok(());
        };
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.server.wake();
        match broker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for JobServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.over.store(true, Ordering::SeqCst);
            self.shared.server.wake();
        } else if let Err(e) = self.stop() {
            tracing::warn!(error = %e, "the files of a token lease stay behind");
        }
    }
}

#[derive(Debug)]
struct Broker {
    seat: Seat,
    shared: Arc<Shared>,
    memory: MemoryGuard,
    demand: Demand,
    watch: Watch,
    looks: Budget,
    /// The ledger as last seen, kept in step with what this build did since.
    ledger: Option<Ledger>,
    /// Tokens that neither lie in the jobserver nor are out with the children.
    pocket: u32,
    /// How many tokens of the pocket are newly leased.
    leased: u32,
    lying: u32,
    /// Whether a token may have come back, or a compiler stopped, since they were last counted.
    heard: bool,
    /// How many compilers have stopped and wait for a token.
    stopped: u32,
    /// Whether compilers that come are to stop.
    calling: bool,
    /// How many tokens are owed to others, once they come back.
    owed: u32,
    /// When the children were last seen short of tokens.
    hungry: Option<Instant>,
    /// No look at the pool before this: the last one failed.
    pause_until: Option<Instant>,
    lost: bool,
}

impl Broker {
    fn new(seat: Seat, limits: MemoryLimits, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            seat,
            shared,
            memory: MemoryGuard::new(limits),
            demand: Demand::new(now),
            watch: Watch::default(),
            looks: Budget::new(now),
            ledger: None,
            pocket: 0,
            leased: 0,
            lying: 0,
            heard: true,
            stopped: 0,
            calling: false,
            owed: 0,
            hungry: None,
            pause_until: None,
            lost: false,
        }
    }

    fn run(mut self) -> Result<()> {
        while !self.shared.over.load(Ordering::SeqCst) {
            let now = Instant::now();
            if let Err(e) = self.round(now) {
                self.lost |= e.kind() == ErrorKind::Lost;
                tracing::warn!(ticket = %self.seat.ticket(), error = %e, "the token pool cannot be used");
                self.pause_until = Some(now + PAUSE);
            }
            // Whatever happened: the children must get on with what they have.
            let served = self.serve(now).and_then(|()| self.sleep(self.tick(now)));
            if let Err(e) = served {
                // Without its pipes the children fail by themselves, and say so.
                tracing::warn!(error = %e, "the jobserver failed");
                std::thread::sleep(TICK_CALM);
            }
        }
        self.seat.leave()
    }

    fn held(&self) -> u32 {
        self.seat.lease().held
    }

    /// The tokens that lie in the jobserver or, as far as the children know, are out with them.
    fn issued(&self) -> u32 {
        (self.held() - 1 + self.stopped).saturating_sub(self.pocket)
    }

    /// Those of them that are out.
    fn out(&self) -> u32 {
        self.issued().saturating_sub(self.lying)
    }

    /// The most that this build may hold.
    fn most(&self) -> u32 {
        let capacity = self.ledger.as_ref().map_or(u32::MAX, |l| l.capacity);
        self.seat.lease().cap.min(capacity)
    }

    /// How many more tokens the children could use now.
    fn wants(&self, now: Instant) -> u32 {
        let stopped = self.stopped.saturating_sub(self.pocket);
        self.demand
            .wants(now)
            .max(stopped)
            .min(self.most().saturating_sub(self.held()))
    }

    fn round(&mut self, now: Instant) -> Result<()> {
        self.count(now)
            .map_err(|e| Error::io("cannot read the jobserver for", self.seat.registry.path(), e))?;
        if self.pause_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.pause_until = None;
        if self.lost {
            return Ok(());
        }
        if self.must_look(now)? {
            self.look(now)?;
        }
        self.give_back_unused(now)?;
        self.withdraw_wish(now)
    }

    /// Sees where the tokens are.
    fn count(&mut self, now: Instant) -> std::io::Result<()> {
        let before = self.out();
        let mut returned = 0;
        if self.heard {
            // Clients that give back more than they took would make tokens out of nothing.
            returned = self.shared.server.returned()?.min(before + self.lying);
            self.pocket += returned;
            let stopped = self.shared.server.stopped()?;
            self.stopped += stopped;
            self.pocket += stopped;
        }
        let lying = self.shared.server.lying()?;
        let issued = self.issued().min(self.held().saturating_sub(self.pocket));
        let surplus = lying.saturating_sub(issued);
        if surplus > 0 {
            tracing::debug!(surplus, "a client gave back more tokens than it took");
            self.shared.server.take(surplus)?;
        }
        self.lying = lying.min(issued);
        if self.stopped > self.pocket && self.lying > 0 {
            // Who stands at the turnstile wants it for certain.
            let taken = self
                .shared
                .server
                .take(self.lying.min(self.stopped - self.pocket))?;
            self.lying -= taken;
            self.pocket += taken;
        }
        let moved = returned > 0 || self.out() != before;
        self.demand.observe(now, self.lying, moved);
        Ok(())
    }

    /// Whether the gate must be taken: a token may be had, is owed, or others may have come to want one.
    fn must_look(&mut self, now: Instant) -> Result<bool> {
        if self.owed > 0 && self.pocket + self.lying > 0 {
            return Ok(true);
        }
        let wants = self.wants(now);
        if wants == 0 || self.memory.refuses(now) {
            let lends = self.held() > 1;
            return Ok(lends && self.looks.affordable(now) && self.watch.stirred(&self.seat.registry)?);
        }
        self.hungry = Some(now);
        let me = self.seat.ticket();
        let wanted = self.held() + wants;
        let known = self.ledger.take().map(|l| l.wishing(me, wanted));
        let likely = known.as_ref().is_none_or(|l| l.may_lease(me) > 0);
        self.ledger = known;
        if likely || self.watch.bereaved(now, &self.seat.registry)? {
            return Ok(true);
        }
        let unsaid = self.seat.lease().wanted <= self.held();
        Ok(self.looks.affordable(now)
            && (unsaid || self.watch.is_old(now) || self.watch.stirred(&self.seat.registry)?))
    }

    /// Takes the gate, and does what the ledger asks for.
    fn look(&mut self, now: Instant) -> Result<()> {
        let started = Instant::now();
        let registry = self.seat.registry.clone();
        let patience = Patience {
            deadline: Some(now + GATE_PATIENCE),
            cancel: &Cancel::new(),
        };
        let mut gate = self.seat.enter(&registry, &patience)?;
        let me = self.seat.ticket();
        let mut wants = self.wants(now);
        if wants > 0 && self.memory.refuses(now) {
            wants = 0;
        }
        let wanted = self.held().saturating_sub(self.lying) + self.demand.fresh(now) + wants;
        let ledger = self.seat.read(&mut gate)?.wishing(me, wanted);
        let owed = ledger.should_return(me);
        let (mut held, mut more) = (self.held(), 0);
        if owed > 0 {
            let paid = self.collect(owed)?;
            held -= paid;
            self.owed = owed - paid;
            tracing::debug!(ticket = %me, held, paid, owed = self.owed, "gave tokens back for others");
        } else {
            self.owed = 0;
            more = ledger.may_lease(me).min(wants);
            held += more;
            if more > 0 {
                tracing::debug!(ticket = %me, held, more, "leased tokens");
            }
        }
        let wish = if wants > more {
            wanted.max(held + wants - more)
        } else {
            held
        };
        let published = self.seat.lease();
        if (published.held, published.wanted) != (held, wish) {
            let done = self.seat.publish(&mut gate, held, wish);
            if done.is_err() && owed > 0 {
                // Still leased as far as anybody can see, so the children may as well use them.
                self.pocket += self.held() - held;
            }
            done?;
            self.pocket += more;
            self.leased += more;
        }
        let mut ledger = ledger.wishing(me, wish);
        for entry in ledger.entries.iter_mut().filter(|e| e.ticket == me) {
            entry.lease.held = held;
        }
        self.watch.looked(now, &registry, &ledger, me)?;
        self.ledger = Some(ledger);
        drop(gate);
        if held == published.held {
            self.looks.spend(started.elapsed());
        }
        let call = self.shared.server.call_in(self.owed);
        call.map_err(|e| Error::io("cannot call tokens back for", registry.path(), e))
    }

    /// Gets up to `count` tokens out of the children's reach, those in the pocket first.
    fn collect(&mut self, count: u32) -> Result<u32> {
        let from_pocket = count.min(self.pocket);
        let rest = (count - from_pocket).min(self.lying);
        let taken = self.take_lying(rest)?;
        self.pocket -= from_pocket;
        Ok(from_pocket + taken)
    }

    fn take_lying(&mut self, count: u32) -> Result<u32> {
        let taken = self.shared.server.take(count);
        let taken =
            taken.map_err(|e| Error::io("cannot read the jobserver for", self.seat.registry.path(), e))?;
        self.lying = self.lying.saturating_sub(taken);
        Ok(taken)
    }

    fn give_back_unused(&mut self, now: Instant) -> Result<()> {
        let me = self.seat.ticket();
        let others = match &self.ledger {
            Some(ledger) if ledger.others_want(me) => Others::Wait,
            _ => Others::DoNot,
        };
        let unused = self.demand.unused(now, others);
        let taken = self.take_lying(unused)?;
        if taken == 0 {
            return Ok(());
        }
        let done = self.seat.give_back(taken);
        if done.is_err() {
            self.pocket += taken;
        }
        done?;
        tracing::trace!(ticket = %me, taken, held = self.held(), "gave unused tokens back");
        self.note_own_lease();
        Ok(())
    }

    /// Says that no more is wanted, once it has not been for a while.
    fn withdraw_wish(&mut self, now: Instant) -> Result<()> {
        let lease = self.seat.lease();
        let lingers = self
            .hungry
            .is_some_and(|then| now.duration_since(then) < WISH_LINGERS);
        if lease.wanted > lease.held && !lingers {
            self.seat.give_back(0)?;
            self.note_own_lease();
        }
        Ok(())
    }

    fn note_own_lease(&mut self) {
        let (me, lease) = (self.seat.ticket(), self.seat.lease());
        for entry in self
            .ledger
            .iter_mut()
            .flat_map(|l| &mut l.entries)
            .filter(|e| e.ticket == me)
        {
            entry.lease = lease;
        }
    }

    /// Puts what is in the pocket where the children can take it.
    fn serve(&mut self, now: Instant) -> std::io::Result<()> {
        if self.lost {
            // The ledger no longer counts us: what comes back stays with the pool. But nobody must wait for ever.
            self.shared.server.take(self.lying)?;
            return self.shared.server.let_pass(std::mem::take(&mut self.stopped));
        }
        let passing = self.stopped.min(self.pocket);
        if passing > 0 {
            self.shared.server.let_pass(passing)?;
            self.stopped -= passing;
            self.pocket -= passing;
            self.leased = self.leased.saturating_sub(passing);
        }
        // As long as some wait there, a compiler that comes gets in line behind them: cargo starts what is urgent first.
        let calls = self.owed + self.stopped.min(1);
        if calls > 0 || self.calling {
            self.shared.server.call_compilers(calls)?;
            self.calling = calls > 0;
        }
        let (count, leased) = (std::mem::take(&mut self.pocket), std::mem::take(&mut self.leased));
        if count == 0 {
            return Ok(());
        }
        self.shared.server.put(count)?;
        self.lying += count;
        let lent = if leased > 0 { Lent::Anew } else { Lent::Again };
        self.demand.put(now, count, lent);
        Ok(())
    }

    fn sleep(&mut self, tick: Duration) -> std::io::Result<()> {
        let start = Instant::now();
        self.heard = self.shared.server.wait(tick)?;
        // Nothing of it if a token came back first.
        self.demand.woken_late(start.elapsed().saturating_sub(tick));
        Ok(())
    }

    /// How long to sleep, unless a token comes back.
    fn tick(&self, now: Instant) -> Duration {
        if self.lost {
            return TICK_CALM;
        }
        if self.lying > 0 {
            return TICK;
        }
        if self.stopped > 0 {
            // What a child puts into a fifo for them wakes nobody.
            return TICK_STARVED;
        }
        if self.held() >= self.most() {
            return TICK_CALM;
        }
        if self.wants(now) > 0 {
            let starved = self.seat.lease().wanted > self.held();
            return if starved { TICK_STARVED } else { TICK };
        }
        let rest = self.demand.next_trial().saturating_duration_since(now);
        if self.held() > 1 {
            rest.clamp(TICK, TICK_CALM)
        } else {
            rest.max(TICK)
        }
    }
}

/// Keeps looks at the ledger in vain from costing more than a small part of the time, however busy the pool is.
#[derive(Debug)]
struct Budget {
    debt: Duration,
    at: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            debt: Duration::ZERO,
            at: now,
        }
    }

    fn affordable(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.at) / LOOKS_PART;
        self.debt = self.debt.saturating_sub(earned);
        self.at = now;
        self.debt < LOOKS_BURST
    }

    fn spend(&mut self, time: Duration) {
        // A look that was itself kept from the processor did not cost what it took.
        self.debt += time.min(Duration::from_millis(1));
    }
}
