//! `run`: a session around a command that knows nothing of sessions.
//!
//! We stay as the command's parent, because a clean end has to be told from a crash, and because a daemon that the command
//! leaves behind must not hold the lock. Should we be killed, the command, which was lent the lock, keeps it.

use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

use buildlock::{Cancel, ErrorKind, Mode, Registry, Request, Session, Timeout};

use crate::flags::RunArgs;
use crate::signals::{Listener, end_like};
use crate::{EXIT_CANNOT_START, EXIT_NOT_FOUND, EXIT_OURS, Failure, print};

pub(crate) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let cancel = Cancel::new();
    let listener = Listener::start(&cancel)?;
    let registry = Registry::open(&args.folder.dir)?;
    let session = match Session::acquire(&registry, request(&args)?.cancel(&cancel)) {
        Err(e) if e.kind() == ErrorKind::Cancelled => return Ok(listener.die_of_it()),
        acquired => acquired?,
    };
    if let Some(mutator) = session.unfinished() {
        let (command, pid) = (mutator.command_line(), mutator.who.pid);
        print::note(&format!(
            "{command} (pid {pid}) died while it held this lock; what it changed may be half done"
        ));
    }
    let mut words = args.command.into_iter();
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(words);
    session.lend(&mut command);
    let failed = |e: io::Error| {
        let code = if e.kind() == io::ErrorKind::NotFound {
            EXIT_NOT_FOUND
        } else {
            EXIT_CANNOT_START
        };
        Failure {
            text: format!("cannot run `{}`: {e}", program.display()),
            code,
        }
    };
    let mut child = command.spawn().map_err(failed)?;
    listener.belong_to(&child);
    let status = child.wait().map_err(|e| Failure {
        text: format!("cannot wait for `{}`: {e}", program.display()),
        code: EXIT_OURS,
    })?;
    session.release()?;
    Ok(end_like(status))
}

fn request(args: &RunArgs) -> Result<Request<'static>, Failure> {
    let mode = if args.mode.exclusive {
        Mode::Exclusive
    } else {
        Mode::Shared
    };
    let timeout = match (args.no_wait, args.timeout) {
        (true, _) => Timeout::AtOnce,
        (false, None) => Timeout::Never,
        (false, Some(secs)) => Timeout::After(Duration::try_from_secs_f64(secs).map_err(|e| Failure {
            text: format!("--timeout {secs} is not a number of seconds: {e}"),
            code: EXIT_OURS,
        })?),
    };
    let mut said = false;
    let on_wait = move |waiting: &buildlock::Waiting| {
        if !std::mem::replace(&mut said, true) {
            print::note(&format!("waiting for {waiting}. Ctrl-C gives up"));
        }
    };
    let words: Vec<_> = args
        .command
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    Ok(Request::new(mode, "run")
        .command(words)
        .timeout(timeout)
        .timeout_advice("--timeout sets how long to wait")
        .on_wait(on_wait))
}
