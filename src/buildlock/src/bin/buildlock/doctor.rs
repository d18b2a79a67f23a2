//! `doctor`: whether a folder's file system does what the lock relies on, found out by trying it with real processes.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use buildlock::{Mode, Registry, Request, Session, Timeout};

use crate::flags::{DoctorArgs, FolderArgs};
use crate::{EXIT_OURS, Failure, print};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::file_system;

/// How long a lock may take to come free after its holder was killed. The kernel needs microseconds, a server seconds.
const FREED_WITHIN: Duration = Duration::from_secs(10);

/// The folder inside the one that is looked at, in which all is tried.
const TRIAL: &str = "doctor-trial";

pub(crate) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let dir = &args.dir;
    let private = match Registry::open(dir) {
        Err(e) if e.kind() != buildlock::ErrorKind::NotPrivate => return Err(e.into()),
        opened => opened.map(drop).map_err(Failure::from),
    };
    if let Some(kind) = file_system(dir) {
        print::result(&format!("file system: {kind}\n"))?;
    }
    let trial = dir.join(TRIAL);
    let sound = examine(private, &trial);
    drop(std::fs::remove_dir_all(&trial));
    if sound? {
        return Ok(ExitCode::SUCCESS);
    }
    print::result(
        "Choose a lock folder of your own on a local file system (ext4, xfs, btrfs, tmpfs, APFS, NTFS).\n",
    )?;
    Ok(ExitCode::FAILURE)
}

/// Whether all is well: what `run` thinks of the folder, and what a trial folder inside it shows.
fn examine(private: Result<(), Failure>, trial: &Path) -> Result<bool, Failure> {
    let checks: [(&str, Check); 3] = [
        ("a lock excludes other processes", excludes),
        ("a lock survives a rename of its folder", survives_rename),
        ("a lock is freed when its holder is killed", freed_by_kill),
    ];
    let mut sound = say("the folder is this user's alone", private)?;
    // Left by a doctor that was killed.
    drop(std::fs::remove_dir_all(trial));
    if !say("files can be made in it", makes_files(trial))? {
        return Ok(false);
    }
    for (what, check) in checks {
        // Left by the check before.
        drop(std::fs::remove_dir_all(trial));
        sound &= say(what, check(trial))?;
    }
    Ok(sound)
}

/// Prints a verdict, and returns whether it is a good one.
fn say(what: &str, verdict: Result<(), Failure>) -> Result<bool, Failure> {
    match verdict {
        Ok(()) => print::result(&format!("ok      {what}\n")).map(|()| true),
        Err(failure) => print::result(&format!("FAILED  {what}: {}\n", failure.text)).map(|()| false),
    }
}

type Check = fn(&Path) -> Result<(), Failure>;

fn makes_files(trial: &Path) -> Result<(), Failure> {
    Registry::open(trial)?;
    let file = trial.join("file");
    std::fs::write(&file, []).map_err(|e| ours(&format!("cannot write `{}`", file.display()), &e))
}

fn excludes(trial: &Path) -> Result<(), Failure> {
    let holder = Holder::start(trial)?;
    let refused = try_exclusive(trial)?.is_none();
    holder.end()?;
    if refused {
        Ok(())
    } else {
        Err(wrong("two processes held the same lock exclusively"))
    }
}

fn survives_rename(trial: &Path) -> Result<(), Failure> {
    let holder = Holder::start(trial)?;
    let moved = trial.with_extension("moved");
    drop(std::fs::remove_dir_all(&moved));
    match std::fs::rename(trial, &moved) {
        // Windows renames no folder that has open files in it: then there is nothing to survive.
        Err(e) if cfg!(windows) && e.kind() == ErrorKind::PermissionDenied => return Ok(()),
        renamed => renamed.map_err(|e| ours("cannot rename the trial folder", &e))?,
    }
    let refused = try_exclusive(&moved).map(|session| session.is_none());
    drop(holder);
    drop(std::fs::remove_dir_all(&moved));
    if refused? {
        Ok(())
    } else {
        Err(wrong("the lock was lost when its folder was renamed"))
    }
}

fn freed_by_kill(trial: &Path) -> Result<(), Failure> {
    drop(Holder::start(trial)?);
    let request = Request::new(Mode::Exclusive, "doctor").timeout(Timeout::After(FREED_WITHIN));
    Ok(Session::acquire(&Registry::open(trial)?, request)?.release()?)
}

fn try_exclusive(trial: &Path) -> Result<Option<Session>, Failure> {
    Ok(Session::try_acquire(
        &Registry::open(trial)?,
        Request::new(Mode::Exclusive, "doctor"),
    )?)
}

/// Another process that holds the lock exclusively. Dropping it kills it.
struct Holder(Child);

impl Holder {
    fn start(trial: &Path) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| ours("cannot find this program", &e))?;
        let mut child = Command::new(program)
            .args(["hold", "--dir"])
            .arg(trial)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| ours("cannot start a second process", &e))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|e| ours("cannot hear the second process", &e))?;
        }
        let holder = Self(child);
        if line == HELD {
            Ok(holder)
        } else {
            Err(wrong("the second process could not get the lock"))
        }
    }

    /// Lets it come to a clean end.
    fn end(mut self) -> Result<(), Failure> {
        drop(self.0.stdin.take());
        self.0
            .wait()
            .map(drop)
            .map_err(|e| ours("cannot wait for the second process", &e))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const HELD: &str = "held\n";

/// The other process: holds the lock until its standard input ends.
pub(crate) fn hold(args: &FolderArgs) -> Result<ExitCode, Failure> {
    let session = Session::acquire(
        &Registry::open(&args.dir)?,
        Request::new(Mode::Exclusive, "doctor"),
    )?;
    print::result(HELD)?;
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .map_err(|e| ours("cannot read standard input", &e))?;
    session.release()?;
    Ok(ExitCode::SUCCESS)
}

fn ours(what: &str, cause: &std::io::Error) -> Failure {
    Failure {
        text: format!("{what}: {cause}"),
        code: EXIT_OURS,
    }
}

fn wrong(what: &str) -> Failure {
    Failure {
        text: what.to_owned(),
        code: 1,
    }
}

/// Unknown.
#[cfg(not(target_os = "linux"))]
fn file_system(_dir: &Path) -> Option<String> {
    None
}
