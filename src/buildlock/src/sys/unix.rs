//! The contract on Unix: `flock`, which follows the open file description, so that `fork` shares it and `exec` keeps it
//! unless the descriptor is close-on-exec (flock(2)).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::io::{Errno, FdFlags};

/// Readable by all who can enter the folder, because `sudo ./x` must leave locks that the user can probe.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o700;

/// The options to open a file of ours with: links that somebody planted are not followed.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A fifo that somebody planted must not block us either.
    options
        .mode(FILE_MODE)
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32);
    options
}

/// Creates a folder, and those above it, that only this user can enter.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).create(parent)?;
    }
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// Why others could plant files in this folder, if they could.
pub(crate) fn not_private(path: &Path) -> io::Result<Option<String>> {
    let folder = std::fs::symlink_metadata(path)?;
    if !folder.is_dir() {
        return Ok(Some("it is not a folder".to_owned()));
    }
    let me = rustix::process::geteuid();
    // Root may use a user's folder: `sudo ./x install` must see the sessions of the user.
    if folder.uid() != me.as_raw() && !me.is_root() {
        return Ok(Some(format!("it belongs to user {}", folder.uid())));
    }
    if folder.mode() & 0o022 != 0 {
        return Ok(Some(format!(
            "others may write to it (mode {:o})",
            folder.mode() & 0o777
        )));
    }
    Ok(None)
}

/// Whether the open file has no name any more.
pub(crate) fn is_removed(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0)
}

/// Turns the errors by which a system says that it cannot lock into [`io::ErrorKind::Unsupported`].
pub(crate) fn locking_refused(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        // ENOLCK is what NFS without a lock daemon answers, the others what file systems without locks do. On some
        // systems two of these are one number.
        Some(e) if [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP].contains(&e) => {
            io::Error::new(io::ErrorKind::Unsupported, error)
        }
        _ => error,
    }
}

/// Lets a child, and what it starts, keep these locks alive.
pub(crate) fn lend(command: &mut Command, locks: &[&File]) {
    let descriptors: Vec<_> = locks.iter().map(|f| f.as_raw_fd()).collect();
    let keep = move || {
        for &fd in &descriptors {
            // SAFETY: the caller of `Session::lend` keeps the session, and so the descriptor, until the child has started.
            let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
            rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: fcntl is async-signal-safe, and nothing is allocated or locked between fork and exec.
    unsafe { command.pre_exec(keep) };
}

/// Makes the kernel kill the child when the thread that starts it ends.
///
/// # Platform notes
/// Linux and FreeBSD only; elsewhere this does nothing, and the child lives on, holding what it was lent.
pub(crate) fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getpid();
        let arm = move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // The parent may have died before the call above: then nobody would ever send the signal.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(Errno::CHILD.into())
            }
        };
        // SAFETY: prctl and getppid are async-signal-safe, and nothing is allocated or locked between fork and exec.
        unsafe { command.pre_exec(arm) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// When a process started: clock ticks since boot on Linux (proc(5), field 22 of `stat`).
pub(crate) fn process_start(pid: u32) -> Option<u64> {
    process_stat(pid)?.start
}

/// What `/proc` says of a process (proc(5), `stat`).
struct ProcessStat {
    start: Option<u64>,
    /// It has ended, and closed all that it had open; only its parent has not heard of it yet.
    ended: bool,
}

fn process_stat(pid: u32) -> Option<ProcessStat> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself contain any character.
    let mut after_name = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let ended = matches!(after_name.next()?, "Z" | "X");
    let start = after_name.nth(18).and_then(|field| field.parse().ok());
    Some(ProcessStat { start, ended })
}

/// The pid namespace of this process, by its inode (namespaces(7)).
pub(crate) fn pid_namespace() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// Whether a process with this pid and start time is there now; nothing where that cannot be told.
pub(crate) fn process_is_there(pid: u32, start: Option<u64>) -> Option<bool> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)?;
    match rustix::process::test_kill_process(pid) {
        Err(Errno::SRCH) => Some(false),
        Ok(()) | Err(Errno::PERM) => Some(process_stat(pid.as_raw_pid().cast_unsigned()).is_none_or(|now| {
            let another = matches!((start, now.start), (Some(then), Some(now)) if then != now);
            !now.ended && !another
        })),
        Err(_) => None,
    }
}

/// The host's name.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of the user, from the environment, else the number.
pub(crate) fn user_name() -> String {
    let uid = rustix::process::getuid();
    match std::env::var("USER") {
        Ok(name) if !name.is_empty() && (name == "root") == uid.is_root() => name,
        _ => uid.as_raw().to_string(),
    }
}
