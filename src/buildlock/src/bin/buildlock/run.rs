//! `run`: a session around a command that knows nothing of sessions.
//!
//! We stay as the command's parent, because a clean end has to be told from a crash, and because a daemon that the command
//! leaves behind must not hold the lock. Should we be killed, the command, which was lent the lock, keeps it. A command that
//! takes no lock replaces us.

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use buildlock::{Cancel, ErrorKind, Mode, Registry, Request, Session, Timeout};

use crate::flags::RunArgs;
use crate::rules::{Hold, Rule, Rules, Words};
use crate::signals::{Listener, end_like};
use crate::{EXIT_CANNOT_START, EXIT_NOT_FOUND, EXIT_OURS, Failure, print};

pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::of(args)?;
    let mode = match plan.hold {
        Hold::None => return become_the_command(plan.command(&args.command)),
        Hold::Shared => Mode::Shared,
        Hold::Exclusive => Mode::Exclusive,
    };
    let cancel = Cancel::new();
    let listener = Listener::start(&cancel)?;
    match run_under_session(args, &plan, mode, &cancel, &listener) {
        Err(Stop::Cancelled) => Ok(listener.die_of_it()),
        Err(Stop::Failed(failure)) => Err(failure),
        Ok(status) => Ok(end_like(status)),
    }
}

fn run_under_session(
    args: &RunArgs,
    plan: &Plan,
    mode: Mode,
    cancel: &Cancel,
    listener: &Listener,
) -> Result<ExitStatus, Stop> {
    let registry = Registry::open(&args.folder.dir)?;
    let mut session = Session::acquire(&registry, request(args, mode)?.cancel(cancel))?;
    if let Some(mutator) = session.unfinished() {
        let (command, pid) = (mutator.command_line(), mutator.who.pid);
        print::note(&format!(
            "{command} (pid {pid}) died while it held this lock; what it changed may be half done"
        ));
    }
    if let Some(rule) = &plan.rule
        && !rule.prepare.is_empty()
    {
        let probed = !rule.probe.is_empty()
            && run_child(quiet(plan.command(&plan.filled(&rule.probe))), &session, listener)?.success();
        if !probed {
            session.upgrade(request(args, Mode::Exclusive)?.cancel(cancel))?;
            // Without the rule's environment: what it forbids the command, this is here to do.
            let prepared = run_child(plain(&plan.filled(&rule.prepare)), &session, listener)?;
            session.downgrade()?;
            if !prepared.success() {
                return Ok(prepared);
            }
        }
    }
    let status = run_child(plan.command(&args.command), &session, listener)?;
    session.release()?;
    Ok(status)
}

/// Why the command was not run to its end.
enum Stop {
    /// A signal came while we waited.
    Cancelled,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<buildlock::Error> for Stop {
    fn from(error: buildlock::Error) -> Self {
        if error.kind() == ErrorKind::Cancelled {
            Self::Cancelled
        } else {
            Self::Failed(error.into())
        }
    }
}

/// What is to be done for a command.
struct Plan {
    hold: Hold,
    rule: Option<Rule>,
    program: String,
}

impl Plan {
    fn of(args: &RunArgs) -> Result<Self, Failure> {
        let Some(file) = &args.mode.rules else {
            let hold = if args.mode.exclusive {
                Hold::Exclusive
            } else {
                Hold::Shared
            };
            return Ok(Self {
                hold,
                rule: None,
                program: String::new(),
            });
        };
        let rules = Rules::load(file)?;
        let words = Words::of(&args.command, &rules.interpreters);
        let rule = rules.find(&words).cloned();
        let hold = rule.as_ref().map_or(rules.default, |rule| rule.hold);
        Ok(Self {
            hold,
            rule,
            program: words.program,
        })
    }

    /// A command with the environment that the rule asks for.
    fn command(&self, words: &[OsString]) -> Command {
        let mut command = plain(words);
        if let Some(rule) = &self.rule {
            command.envs(&rule.env);
        }
        command
    }

    /// A rule's own command, with `{program}` filled in.
    fn filled(&self, words: &[String]) -> Vec<OsString> {
        words
            .iter()
            .map(|w| w.replace("{program}", &self.program).into())
            .collect()
    }
}

fn plain(words: &[OsString]) -> Command {
    let (program, arguments) = words
        .split_first()
        .map_or((OsString::new(), &[][..]), |(p, a)| (p.clone(), a));
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A probe answers by its exit code alone.
fn quiet(mut command: Command) -> Command {
    use std::process::Stdio;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn run_child(mut command: Command, session: &Session, listener: &Listener) -> Result<ExitStatus, Failure> {
    session.lend(&mut command);
    let mut child = command.spawn().map_err(|e| cannot_start(&command, &e))?;
    listener.belong_to(&child);
    child.wait().map_err(|e| {
        let program = command.get_program().display();
        Failure {
            text: format!("cannot wait for `{program}`: {e}"),
            code: EXIT_OURS,
        }
    })
}

/// Nothing of us is needed any more.
#[cfg(unix)]
fn become_the_command(mut command: Command) -> Result<ExitCode, Failure> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(cannot_start(&command, &error))
}

#[cfg(not(unix))]
fn become_the_command(mut command: Command) -> Result<ExitCode, Failure> {
    command
        .status()
        .map(end_like)
        .map_err(|e| cannot_start(&command, &e))
}

fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound {
        EXIT_NOT_FOUND
    } else {
        EXIT_CANNOT_START
    };
    Failure {
        text: format!("cannot run `{}`: {error}", command.get_program().display()),
        code,
    }
}

fn request(args: &RunArgs, mode: Mode) -> Result<Request<'static>, Failure> {
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
