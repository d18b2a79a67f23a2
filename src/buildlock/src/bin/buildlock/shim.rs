//! Shims: small stand-ins for programs that cannot be changed, found by their callers where the real ones were.
//!
//! A shim is this program under another name. Beside it, in `.buildlock`, are the real programs and the rules by which they
//! are run. It is found there because rustup's proxies put their own folder first on `PATH`: stand-ins elsewhere would be
//! passed by whenever one of them starts another.

mod folder;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use buildlock::{Mode, Registry, Request, Session, Timeout};

use crate::flags::{ShimFolderArgs, ShimInstallArgs};
use crate::rules::Rules;
use crate::run::{ParentsEnd, Plan, Preemption, Task};
use crate::{EXIT_OURS, Failure, print};
use folder::{Config, State};

pub(crate) use folder::Shims;

/// Runs the program that this process stands in for; nothing where it stands in for none.
pub(crate) fn stand_in() -> Option<Result<ExitCode, Failure>> {
    let program = std::env::current_exe().ok()?;
    if program.file_stem() == Some(OsStr::new("buildlock")) {
        return None;
    }
    match Shims::beside(&program) {
        Ok(Some(shims)) => Some(run_real(&program, shims)),
        Ok(None) => put_back_meanwhile(&program).map(Plan::become_program),
        Err(failure) => Some(Err(failure)),
    }
}

fn run_real(program: &Path, shims: Shims) -> Result<ExitCode, Failure> {
    let mut words = std::env::args_os();
    // A link to the shim of another program means the program that the link is named after.
    let called = words.next().unwrap_or_default();
    let called = Path::new(&called).file_name().filter(|name| shims.has(name));
    let Some(name) = called.or(program.file_name()) else {
        return Err(ours("cannot tell by which name this was called".to_owned()));
    };
    let command: Vec<OsString> = std::iter::once(name.to_owned()).chain(words).collect();
    let plan = Plan::by_rules(shims.rules(), command);
    Task {
        dir: shims.lock_folder().map_or_else(|| plan.folder(), Ok),
        timeout: Timeout::Never,
        preemption: Preemption::None,
        parent: ParentsEnd::Ignored,
        share: plan.share(),
        plan: plan.with_shims(shims),
    }
    .run()
}

/// What stands in this program's place, if that was replaced after it was started.
fn put_back_meanwhile(program: &Path) -> Option<PathBuf> {
    // How Linux names the file of a process whose file has lost its name (proc(5)).
    let path = program.to_str()?.strip_suffix(" (deleted)")?;
    Some(path.into())
}

pub(crate) fn install(args: &ShimInstallArgs) -> Result<ExitCode, Failure> {
    let rules = Rules::load(&args.rules)?;
    let lock_folder = args.dir.as_ref().map(|d| absolute(d)).transpose()?;
    let dir = lock_folder.clone().map_or_else(|| rules.folder(), Ok);
    let dir = dir.map_err(|why| no_folder(&why, &args.into))?;
    let into = absolute(&args.into)?;
    let session = alone(&dir)?;
    let shims = Shims::new(into, Config::new(lock_folder, rules));
    if shims.names().is_empty() {
        return Err(ours(format!(
            "none of the programs that the rules are about is in `{}`",
            args.into.display()
        )));
    }
    shims.create()?;
    let names = shims.install()?;
    session.release()?;
    let names = names.join(", ");
    print::note(&format!("shims stand in `{}` for {names}", args.into.display()));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn remove(args: &ShimFolderArgs) -> Result<ExitCode, Failure> {
    let shims = existing(args)?;
    let dir = shims.lock_folder().map_or_else(|| shims.rules().folder(), Ok);
    let session = alone(&dir.map_err(|why| no_folder(&why, &args.from))?)?;
    let names = shims.remove()?;
    session.release()?;
    print::note(&format!(
        "put back in `{}`: {}",
        args.from.display(),
        names.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn status(args: &ShimFolderArgs) -> Result<ExitCode, Failure> {
    let mut all_stand = true;
    for (name, state) in existing(args)?.states()? {
        all_stand &= state == State::Shim;
        let text = match state {
            State::Shim => "shim",
            State::Real => "REAL: it was rewritten since; `buildlock shim install` puts the shim back",
            State::Missing => "MISSING: `buildlock shim remove` puts the program back",
            State::Lost => "LOST: a shim whose program is gone from `.buildlock`; install the program again",
        };
        print::result(&format!("{name}: {text}\n"))?;
    }
    Ok(if all_stand {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// No program of the folder runs under a session meanwhile.
fn alone(dir: &Path) -> Result<Session, Failure> {
    let on_wait = |waiting: &buildlock::Waiting| print::note(&format!("waiting for {waiting}"));
    let request = Request::new(Mode::Exclusive, "shim").on_wait(on_wait);
    Ok(Session::acquire(&Registry::open(dir)?, request)?)
}

fn existing(args: &ShimFolderArgs) -> Result<Shims, Failure> {
    let shims = Shims::in_folder(&absolute(&args.from)?)?;
    shims.ok_or_else(|| ours(format!("there are no shims in `{}`", args.from.display())))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| ours(format!("cannot find `{}`: {e}", path.display())))
}

fn no_folder(why: &str, shims: &Path) -> Failure {
    ours(format!(
        "{why}; `buildlock shim install --dir` gives one for `{}`",
        shims.display()
    ))
}

fn ours(text: String) -> Failure {
    Failure {
        text,
        code: EXIT_OURS,
    }
}
