//! `status`, `watch` and `break`.

use std::fmt;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use buildlock::tokens::{MemoryLimits, PoolEntry, PoolSnapshot};
use buildlock::{HumanDuration, Registry, Snapshot, Ticket};
use serde::Serialize;

use crate::flags::{BreakArgs, FolderArgs, StatusArgs};
use crate::run::turns;
use crate::{EXIT_OURS, Failure, print};

/// How often `watch` looks. For people's eyes, so no faster than they are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What there is to be seen: the folder, and who has the turns (`--builds`) that some of its commands may wait for.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    sessions: Snapshot,
    /// Those of all folders: they are the user's. Nothing where nobody has, or wants, one.
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<PoolSnapshot>,
}

pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let status = Status::of(&existing(&args.folder)?)?;
    if args.json {
        let json = serde_json::to_string_pretty(&status).map_err(|e| Failure {
            text: format!("cannot print the status: {e}"),
            code: EXIT_OURS,
        })?;
        print::result(&format!("{json}\n"));
    } else {
        print::result(&status.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

impl Status {
    fn of(registry: &Registry) -> Result<Self, Failure> {
        let turns = match turns()? {
            // It may be asked about itself: then it is no other folder's.
            Some(pool) if pool.path() != registry.path() => Some(pool.snapshot(&MemoryLimits::OFF)?),
            _ => None,
        };
        Ok(Self {
            sessions: registry.snapshot()?,
            turns: turns.filter(|turns| !turns.entries.is_empty()),
        })
    }
}

/// ```text
/// turns: 2, 0 free
/// - cargo build (pid 4242, 3m12s) has one
/// - cargo test (pid 4250, 4s) waits for one
/// ```
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sessions)?;
        let Some(turns) = &self.turns else {
            return Ok(());
        };
        writeln!(f, "turns: {}, {} free", turns.capacity, turns.free)?;
        turns.entries.iter().try_for_each(|entry| {
            let does = if entry.lease.held > 0 {
                "has one"
            } else {
                "waits for one"
            };
            writeln!(f, "- {} {does}", who(entry))
        })
    }
}

fn who(entry: &PoolEntry) -> String {
    entry.record.as_ref().map_or_else(
        || "a command whose record cannot be read".to_owned(),
        |r| {
            format!(
                "{} (pid {}, {})",
                r.command_line(),
                r.who.pid,
                HumanDuration(r.age())
            )
        },
    )
}

pub(crate) fn watch(args: &FolderArgs) -> Result<ExitCode, Failure> {
    let registry = existing(args)?;
    let mut shown = String::new();
    loop {
        let now = Status::of(&registry)?.to_string();
        if now != shown {
            // Home, then clear to the end of the screen: nothing flickers.
            print::result(&format!("\x1b[H\x1b[J{now}"));
            shown = now;
        }
        thread::sleep(LOOK_EVERY);
    }
}

pub(crate) fn break_session(args: &BreakArgs) -> Result<ExitCode, Failure> {
    let Some(broken) = existing(&args.folder)?.break_session(Ticket(args.ticket))? else {
        let text = format!("no session {} in `{}`", args.ticket, args.folder.dir.display());
        return Err(Failure { text, code: 1 });
    };
    let who = broken.record.map_or_else(
        || "whose record could not be read".to_owned(),
        |r| format!("{} (pid {}, {})", r.command_line(), r.who.pid, r.claim.mode),
    );
    print::note(&format!("session {} is out of the queue: {who}", broken.ticket));
    print::note(
        "its processes were not touched: if they still run, they now write beside whoever comes next",
    );
    Ok(ExitCode::SUCCESS)
}

fn existing(args: &FolderArgs) -> Result<Registry, Failure> {
    Registry::existing(&args.dir)?.ok_or_else(|| Failure {
        text: format!(
            "`{}` is not a lock folder: nobody has taken a lock there yet",
            args.dir.display()
        ),
        code: 1,
    })
}
