//! `lock status` and `lock break`: a look at the queue, and a way out when it is stuck for good.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use buildlock::tokens::{PoolSnapshot, TokenPool};
use buildlock::{CacheHolder, CacheLock, HumanDuration, Record, Registry, Snapshot, Ticket};
use serde::Serialize;

use crate::components;
use crate::config::Build;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::{LockBreakArgs, LockStatusArgs};
use crate::tokens;

/// What `lock status --json` prints.
#[derive(Debug, Serialize)]
struct Status {
    /// The queue for the build directory; nothing where there has not been a session yet.
    queue: Option<Snapshot>,
    /// Who unpacks or builds something for all: the holder of the cache lock.
    cache: Option<CacheHolder>,
    /// The pool of job tokens; nothing where no build has used it yet.
    pool: Option<PoolSnapshot>,
}

/// How often `--watch` looks. For people's eyes, so not faster than they are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) fn status(ctx: &Context, args: &LockStatusArgs) -> Result<Exit> {
    let mut shown = text(ctx, args)?;
    let in_place = args.watch && !args.json && io::stdout().is_terminal();
    let show = |text: &str| print(&format!("{}{text}", if in_place { CLEAR_SCREEN } else { "" }));
    show(&shown)?;
    if !args.watch {
        return Ok(Exit::Done);
    }
    loop {
        ctx.interrupts.pause(LOOK_EVERY)?;
        let now = text(ctx, args)?;
        if now != shown {
            show(&now)?;
            shown = now;
        }
    }
}

/// Home, then clear to the end of the screen: nothing flickers.
const CLEAR_SCREEN: &str = "\x1b[H\x1b[J";

fn text(ctx: &Context, args: &LockStatusArgs) -> Result<String> {
    let status = Status::of(ctx)?;
    if !args.json {
        return Ok(status.table(ctx));
    }
    serde_json::to_string_pretty(&status)
        .map(|json| json + "\n")
        .map_err(|e| Error::bug("cannot write the status as JSON").because(e))
}

fn pool(build: &Build) -> Result<Option<PoolSnapshot>> {
    let pool = TokenPool::existing(tokens::pool_folder(build)?, tokens::capacity(build))?;
    let snapshot = pool.map(|pool| pool.snapshot(&tokens::memory_limits(build)));
    Ok(snapshot.transpose()?)
}

impl Status {
    fn of(ctx: &Context) -> Result<Self> {
        let lock_dir = &ctx.config.build.lock_dir;
        Ok(Self {
            queue: Registry::existing(lock_dir)?
                .map(|registry| registry.snapshot())
                .transpose()?,
            cache: CacheLock::holder(components::cache(&ctx.config).lock_folder())?,
            pool: pool(&ctx.config.build)?,
        })
    }

    fn table(&self, ctx: &Context) -> String {
        let mut text = match &self.queue {
            Some(queue) => queue.to_string(),
            None => format!("no session in {}\n", ctx.config.build.lock_dir.display()),
        };
        if let Some(holder) = &self.cache {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "cache lock: {holder}");
        }
        if let Some(pool) = &self.pool {
            let _ = write!(text, "\n{pool}");
        }
        text
    }
}

pub(super) fn break_session(ctx: &Context, args: &LockBreakArgs) -> Result<Exit> {
    let ticket = Ticket(args.ticket);
    let registry = Registry::existing(&ctx.config.build.lock_dir)?;
    let snapshot = registry.as_ref().map(Registry::snapshot).transpose()?;
    let entry =
        snapshot.and_then(|snapshot| snapshot.entries.into_iter().find(|entry| entry.ticket == ticket));
    let (Some(registry), Some(entry)) = (registry, entry) else {
        return Err(Error::usage(format!("no living session has the ticket {ticket}"))
            .advice("`./x lock status` shows those that there are; a dead one needs no breaking"));
    };
    ctx.shell.warn(format_args!(
        "{} is taken out of the queue. It is not stopped and does not notice: what it still writes may damage what the \
         next command makes. End its process first if you can.",
        entry.record.as_ref().map_or_else(|| format!("session {ticket}"), describe)
    ));
    if !args.yes && !confirmed(ctx, ticket)? {
        ctx.shell.note("nothing was changed");
        return Ok(Exit::Failed);
    }
    match registry.break_session(ticket)? {
        Some(_) => ctx.shell.status("Broke", format_args!("session {ticket}")),
        None => ctx
            .shell
            .note(format_args!("session {ticket} has ended by itself")),
    }
    Ok(Exit::Done)
}

fn describe(record: &Record) -> String {
    format!(
        "session {}, `{}` (pid {}, {}, for {}),",
        record.claim.ticket,
        record.command_line(),
        record.who.pid,
        record.claim.mode,
        HumanDuration(record.age())
    )
}

fn confirmed(ctx: &Context, ticket: Ticket) -> Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Error::usage(format!("breaking session {ticket} has to be confirmed"))
                .advice("`--yes` does that where nobody can be asked"),
        );
    }
    ctx.shell.plain(format_args!("Break session {ticket}? [y/N] "));
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::environment("cannot read your answer").because(e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn print(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|e| Error::environment("cannot write to stdout").because(e))
}
