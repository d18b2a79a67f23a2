//! `status`, `watch` and `break`.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use buildlock::{Registry, Ticket};

use crate::flags::{BreakArgs, FolderArgs, StatusArgs};
use crate::{EXIT_OURS, Failure, print};

/// How often `watch` looks. For people's eyes, so no faster than they are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let snapshot = existing(&args.folder)?.snapshot()?;
    if args.json {
        let json = serde_json::to_string_pretty(&snapshot).map_err(|e| Failure {
            text: format!("cannot print the status: {e}"),
            code: EXIT_OURS,
        })?;
        print::result(&format!("{json}\n"));
    } else {
        print::result(&snapshot.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn watch(args: &FolderArgs) -> Result<ExitCode, Failure> {
    let registry = existing(args)?;
    let mut shown = String::new();
    loop {
        let now = registry.snapshot()?.to_string();
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
