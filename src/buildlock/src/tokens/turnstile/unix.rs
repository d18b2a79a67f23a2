//! The turnstile on Unix: three pipes, which the compilers inherit.
//!
//! From `calls` whoever takes a byte must stop; to `stopped` it writes one when it does; from `passes` it then
//! reads one, or the pipe's end where the broker is gone. What is killed while it waits takes its token with it until its
//! build ends, as killed compilers do.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sys;
use crate::tokens::server::{nonblocking, pipe, read_some};

/// Where the three pipes are, and which they are.
const PIPES: &str = "BUILDLOCK_TURNSTILE";
/// The program that stands there.
const PROGRAM: &str = "BUILDLOCK_TURNSTILE_PROGRAM";
/// The wrapper that the user has chosen, which comes after ours.
const USERS_WRAPPER: &str = "BUILDLOCK_TURNSTILE_WRAPPER";
const WRAPPER: &str = "RUSTC_WRAPPER";

/// One byte is as good as another here.
const BYTE: u8 = b'!';

/// The broker's side.
#[derive(Debug)]
pub(in crate::tokens) struct Turnstile {
    calls: (File, File),
    stopped: (File, File),
    passes: (File, File),
}

impl Turnstile {
    pub(in crate::tokens) fn new() -> io::Result<Self> {
        let (calls, stopped, passes) = (pipe()?, pipe()?, pipe()?);
        // Nobody waits at these: neither compilers for a call, nor the broker for compilers.
        nonblocking(&calls.0)?;
        nonblocking(&stopped.0)?;
        Ok(Self {
            calls,
            stopped,
            passes,
        })
    }

    /// Has a command's compilers stop here, where that can be.
    pub(in crate::tokens) fn install(&self, command: &mut Command, program: &Path) -> io::Result<()> {
        if !wrap(command, program) {
            return Ok(());
        }
        let ends = [&self.calls.0, &self.stopped.1, &self.passes.0];
        let words: io::Result<Vec<_>> = ends.iter().map(|end| word(end)).collect();
        command.env(PIPES, words?.join(","));
        sys::lend(command, &ends);
        Ok(())
    }

    /// The next `count` compilers are to stop, whatever was said before.
    pub(in crate::tokens) fn call(&self, count: u32) -> io::Result<()> {
        let called = u32::try_from(rustix::io::ioctl_fionread(&self.calls.0)?).unwrap_or(u32::MAX);
        read_some(&self.calls.0, called.saturating_sub(count))?;
        (&self.calls.1).write_all(&vec![BYTE; count.saturating_sub(called) as usize])
    }

    /// How many have stopped since this was last asked.
    pub(in crate::tokens) fn stopped(&self) -> io::Result<u32> {
        read_some(&self.stopped.0, u32::MAX)
    }

    /// Lets that many pass of those that have stopped.
    pub(in crate::tokens) fn let_pass(&self, count: u32) -> io::Result<()> {
        (&self.passes.1).write_all(&vec![BYTE; count as usize])
    }

    /// Readable when a compiler has stopped.
    pub(in crate::tokens) fn bell(&self) -> BorrowedFd<'_> {
        self.stopped.0.as_fd()
    }
}

/// Where this process was started in front of a compiler, by the `RUSTC_WRAPPER` that
/// [`JobServer::stop_compilers_with`](crate::tokens::JobServer::stop_compilers_with) sets: passes the turnstile, and becomes
/// the compiler that its arguments name. Returns only where it was not, or where the compiler cannot be started.
///
/// # Platform notes
/// On Windows there is no turnstile.
#[must_use]
pub fn stand_before_compiler() -> Option<io::Error> {
    let mut words = std::env::args_os();
    if words.next() != Some(std::env::var_os(PROGRAM)?) {
        return None;
    }
    let users_wrapper = std::env::var_os(USERS_WRAPPER).filter(|w| !w.is_empty());
    let mut words = users_wrapper.into_iter().chain(words);
    let Some(program) = words.next() else {
        return Some(io::Error::other("no compiler is named"));
    };
    pass(&std::env::var(PIPES).unwrap_or_default());
    Some(Command::new(program).args(words).exec())
}

/// The compiler's side: stops if it is called.
fn pass(pipes: &str) {
    let mut ends = pipes.split(',').map_while(open);
    let (Some(calls), Some(stopped), Some(passes)) = (ends.next(), ends.next(), ends.next()) else {
        return;
    };
    // Whatever fails here: the compiler's token is still its own, and it may run.
    if matches!((&calls).read(&mut [0]), Ok(1)) && (&stopped).write_all(&[BYTE]).is_ok() {
        let interrupted = |e: io::Error| e.kind() == io::ErrorKind::Interrupted;
        while (&passes).read(&mut [0]).is_err_and(interrupted) {}
    }
}

/// A pipe's end by its number, and by what no other pipe has in common with it: further down, where somebody in between has
/// closed what it inherited, the number may be another's.
fn word(end: &File) -> io::Result<String> {
    let stat = rustix::fs::fstat(end)?;
    Ok(format!("{}:{}:{}", end.as_raw_fd(), stat.st_dev, stat.st_ino))
}

/// The end that a word names, if it is still that.
fn open(word: &str) -> Option<File> {
    let mut numbers = word.split(':');
    let fd: RawFd = numbers.next()?.parse().ok().filter(|&fd| fd >= 0)?;
    // SAFETY: nothing in this process closes what it inherited, and where nothing was the calls fail.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let stat = rustix::fs::fstat(fd).ok()?;
    let is_it = numbers.next()? == stat.st_dev.to_string() && numbers.next()? == stat.st_ino.to_string();
    let end = is_it.then(|| fd.try_clone_to_owned())?;
    end.ok().map(File::from)
}

/// Puts a program in front of a cargo's compilers, and of the wrapper that the environment names. Not where cargo's
/// configuration may name one, which would be passed by.
fn wrap(command: &mut Command, program: &Path) -> bool {
    if configuration_may_wrap(command) {
        return false;
    }
    // In cargo's order ("Environment Variables" in its book).
    let set = [WRAPPER, "CARGO_BUILD_RUSTC_WRAPPER"]
        .into_iter()
        .find_map(|name| variable(command, name).filter(|w| !w.is_empty()));
    // In a build below another one it may be that one's turnstile, which ours replaces.
    let users = if set == variable(command, PROGRAM) {
        variable(command, USERS_WRAPPER)
    } else {
        set
    };
    command.env(USERS_WRAPPER, users.unwrap_or_default());
    command.env(PROGRAM, program);
    command.env(WRAPPER, program);
    true
}

/// What a command's process will find in its environment.
fn variable(command: &Command, name: &str) -> Option<OsString> {
    let set = command.get_envs().find(|(n, _)| *n == OsStr::new(name));
    set.map_or_else(|| std::env::var_os(name), |(_, value)| value.map(OsStr::to_owned))
}

/// Whether some configuration file of cargo's speaks of a wrapper, or includes others, as far as can be told without reading
/// it as cargo does.
fn configuration_may_wrap(command: &Command) -> bool {
    let folder = command.get_current_dir().map(Path::to_owned);
    let folder = folder
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_default();
    let home = variable(command, "CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let above = folder.ancestors().map(|f| f.join(".cargo"));
    above.chain(home).any(|folder| {
        ["config.toml", "config"].iter().any(|name| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            text.contains("rustc-wrapper") || text.contains("include")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<'a>(command: &'a Command, name: &str) -> Option<&'a OsStr> {
        command.get_envs().find(|(n, _)| *n == OsStr::new(name))?.1
    }

    #[test]
    fn the_users_wrapper_comes_after_ours_and_one_in_a_configuration_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = || {
            let mut command = Command::new("cargo");
            command
                .current_dir(folder.path())
                .env("CARGO_HOME", folder.path().join("home"));
            command
                .env_remove("CARGO_BUILD_RUSTC_WRAPPER")
                .env_remove(WRAPPER);
            command
        };
        let mut plain = cargo();
        assert!(wrap(&mut plain, Path::new("/turnstile")));
        assert_eq!(set(&plain, WRAPPER), Some(OsStr::new("/turnstile")));
        assert_eq!(set(&plain, USERS_WRAPPER), Some(OsStr::new("")));
        let mut cached = cargo();
        cached.env("CARGO_BUILD_RUSTC_WRAPPER", "sccache");
        assert!(wrap(&mut cached, Path::new("/turnstile")));
        assert_eq!(set(&cached, USERS_WRAPPER), Some(OsStr::new("sccache")));
        // As in a build below that one.
        assert!(wrap(&mut cached, Path::new("/another")));
        assert_eq!(set(&cached, WRAPPER), Some(OsStr::new("/another")));
        assert_eq!(set(&cached, USERS_WRAPPER), Some(OsStr::new("sccache")));
        let configuration = folder.path().join("home/config.toml");
        std::fs::create_dir(folder.path().join("home")).unwrap();
        std::fs::write(configuration, "[build]\nrustc-wrapper = \"sccache\"\n").unwrap();
        assert!(!wrap(&mut cargo(), Path::new("/turnstile")));
    }

    #[test]
    fn a_compiler_that_is_called_waits_until_it_may_pass_and_any_other_does_not() {
        let turnstile = Turnstile::new().unwrap();
        let ends = [&turnstile.calls.0, &turnstile.stopped.1, &turnstile.passes.0];
        let pipes = ends.map(|end| word(end).unwrap()).join(",");
        pass(&pipes);
        assert_eq!(turnstile.stopped().unwrap(), 0);
        turnstile.call(3).unwrap();
        turnstile.call(1).unwrap();
        std::thread::scope(|scope| {
            let compiler = scope.spawn(|| pass(&pipes));
            let mut bell = [rustix::event::PollFd::from_borrowed_fd(
                turnstile.bell(),
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut bell, None).unwrap();
            assert_eq!(turnstile.stopped().unwrap(), 1);
            assert!(!compiler.is_finished());
            // Only one was called.
            pass(&pipes);
            turnstile.let_pass(1).unwrap();
        });
    }

    #[test]
    fn a_number_that_is_another_files_meanwhile_is_not_used() {
        let turnstile = Turnstile::new().unwrap();
        let real = word(&turnstile.calls.0).unwrap();
        assert!(open(&real).is_some());
        let fd = turnstile.stopped.0.as_raw_fd().to_string();
        let another = format!("{fd}:{}", real.split_once(':').unwrap().1);
        for wrong in [another.as_str(), "-1:0:0", "977:0:0", "x", ""] {
            assert!(open(wrong).is_none(), "{wrong}");
        }
    }
}
