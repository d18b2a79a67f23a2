//! `status`, `watch` and `break`.

use std::fmt;
use std::io::IsTerminal as _;
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
    /// Why they are not known. What is wrong with them is no reason not to show the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    turns_unknown: Option<String>,
}

pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let status = Status::of(&existing(&args.folder)?)?;
    print::result(&if args.json {
        as_json(serde_json::to_string_pretty(&status))?
    } else {
        status.to_string()
    })?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(written: serde_json::Result<String>) -> Result<String, Failure> {
    let json = written.map_err(|e| Failure {
        text: format!("cannot print the status: {e}"),
        code: EXIT_OURS,
    })?;
    Ok(format!("{json}\n"))
}

impl Status {
    fn of(registry: &Registry) -> Result<Self, Failure> {
        let (turns, turns_unknown) = match turns_beside(registry) {
            Ok(turns) => (turns, None),
            Err(why) => (None, Some(why.to_string())),
        };
        Ok(Self {
            sessions: registry.snapshot()?,
            turns: turns.filter(|turns| !turns.entries.is_empty()),
            turns_unknown,
        })
    }

    /// All that is shown, but for how long ago it began.
    fn without_ages(&self) -> Result<String, Failure> {
        let turns = self.turns.as_ref().map(|t| (t.capacity, t.free, &t.entries));
        let sessions = (&self.sessions.entries, &self.sessions.unfinished);
        as_json(serde_json::to_string(&(sessions, turns, &self.turns_unknown)))
    }
}

/// The turns, unless it is they that are asked about: then they are no other folder's.
fn turns_beside(registry: &Registry) -> Result<Option<PoolSnapshot>, buildlock::Error> {
    let pool = turns()?.filter(|pool| pool.path() != registry.path());
    pool.map(|pool| pool.snapshot(&MemoryLimits::OFF)).transpose()
}

/// ```text
/// turns: 2, 0 free
/// - cargo build (pid 4242, 3m12s) has one
/// - cargo test (pid 4250, 4s) waits for one
/// ```
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sessions)?;
        if let Some(why) = &self.turns_unknown {
            writeln!(f, "turns: unknown: {why}")?;
        }
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

pub(crate) fn watch(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let registry = existing(&args.folder)?;
    let in_place = !args.json && std::io::stdout().is_terminal();
    let mut told = String::new();
    loop {
        let status = Status::of(&registry)?;
        // A line for each, for programs that read line by line.
        let now = if args.json {
            as_json(serde_json::to_string(&status))?
        } else {
            status.to_string()
        };
        // In a pipe what was told stays, and that time passes is no news.
        let news = if args.json || in_place {
            now.clone()
        } else {
            status.without_ages()?
        };
        if news != told {
            let before = match (in_place, args.json || told.is_empty()) {
                // Home, then clear to the end of the screen: nothing flickers.
                (true, _) => "\x1b[H\x1b[J",
                (false, true) => "",
                (false, false) => "\n",
            };
            print::result(&format!("{before}{now}"))?;
            told = news;
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
