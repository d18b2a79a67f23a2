//! Stepping aside: a command that was started with `--preemptible`, by an editor say, gives way to one that writes.
//!
//! While it runs, a thread watches the queue. When a mutator comes, all that the command started is killed, the session is
//! let go of, a new one takes its place behind the mutator, and the command starts over. Whoever started it sees one
//! command that takes longer: messages that were handed on already are not repeated (see [`crate::repeats`]).
//!
//! Only readers step aside: what they were at cargo can do again, and nothing that they leave is half done.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use buildlock::{Record, Watch};

use crate::class::{self, Class};
use crate::commands;
use crate::config::Preempt;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::flags::Cli;
use crate::hold::Hold;
use crate::interrupt::Interrupts;

/// How often a command steps aside before it runs through: a stream of builds must not keep an editor waiting for ever.
pub const TIMES_MAX: u32 = 5;

/// How often the queue is looked at. A look costs a `stat`; a build that was just started does not notice this much.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs a command, and lets it step aside if it may.
///
/// # Errors
/// Those of the command, and of taking a session again.
pub fn run(ctx: &mut Context, cli: &Cli) -> Result<Exit> {
    let Some(patience) = patience(ctx, cli) else {
        return commands::run(ctx, &cli.command);
    };
    // So that none is overlooked whose own parent was killed first.
    buildlock::adopt_orphans()
        .map_err(|e| Error::environment("cannot adopt orphaned processes").because(e))?;
    for _ in 0..TIMES_MAX {
        let Some(session) = ctx.hold.session() else { break };
        let watcher = Watcher::start(session.watch(), patience, &ctx.interrupts)?;
        let outcome = commands::run(ctx, &cli.command);
        let mutator = watcher.end()?;
        match outcome {
            Err(error) if error.kind() == ErrorKind::Displaced => step_aside(ctx, cli, mutator.as_ref())?,
            outcome => return outcome,
        }
    }
    commands::run(ctx, &cli.command)
}

/// How long a mutator waits before the command steps aside; nothing where it does not.
fn patience(ctx: &Context, cli: &Cli) -> Option<Duration> {
    let steps_aside =
        cli.global.preemptible && class::class(cli, ctx.config.build.lock_mode) == Class::Reader;
    match ctx.config.build.preempt {
        Preempt::Now if steps_aside => Some(Duration::ZERO),
        Preempt::After(time) if steps_aside => Some(time),
        Preempt::Now | Preempt::After(_) | Preempt::Never => None,
    }
}

fn step_aside(ctx: &mut Context, cli: &Cli, mutator: Option<&Record>) -> Result<()> {
    let whom = mutator.map_or_else(|| "a command that writes".to_owned(), Record::command_line);
    ctx.shell
        .status("Displaced", format_args!("by {whom}; starting over after it"));
    ctx.hold.let_go()?;
    ctx.interrupts.be_in_place()?;
    ctx.hold = Hold::take(ctx, cli)?;
    Ok(())
}

/// A thread that watches the queue.
struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<Result<Option<Record>>>,
}

impl Watcher {
    fn start(mut watch: Watch, patience: Duration, interrupts: &Interrupts) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let interrupts = interrupts.clone();
        let look = move || {
            let mut wanted_since = None;
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let Some(mutator) = watch.wanted_by()? else {
                    continue;
                };
                if wanted_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                    interrupts.displace()?;
                    return Ok(Some(mutator));
                }
            }
            Ok(None)
        };
        let thread = thread::Builder::new()
            .name("preempt".into())
            .spawn(look)
            .map_err(|e| Error::environment("cannot start a thread to watch the queue").because(e))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, and returns the mutator that it saw.
    fn end(self) -> Result<Option<Record>> {
        drop(self.stop);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Error::bug("the thread that watches the queue panicked")))
    }
}
