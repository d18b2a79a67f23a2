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
const PARENT_MODE: u32 = 0o777;

/// The options to open a file of ours with: links that somebody planted are not followed.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A fifo that somebody planted must not block us either.
    options
        .mode(FILE_MODE)
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32);
    options
}

/// Creates a folder, and those above it, that only this user can enter; or, where root makes it in a user's, that user.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    create_folder(path, FOLDER_MODE)
}

fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            if let Some(owner) = owner_to_give(parent)? {
                // Not by its path, which the user could have made a link of by now.
                let no_link = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY;
                let folder = OpenOptions::new()
                    .read(true)
                    .custom_flags(no_link.bits() as i32)
                    .open(path)?;
                give(&folder, owner);
            }
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            create_folder(parent, PARENT_MODE)?;
            create_folder(path, mode)
        }
        Err(e) => Err(e),
    }
}

/// Whose a file is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner(rustix::fs::Uid, rustix::fs::Gid);

/// The user to whom belongs what is made in this folder: its owner, where root works in a user's, as after `sudo`. Nothing
/// where it is ours anyway.
pub(crate) fn owner_to_give(folder: &Path) -> io::Result<Option<Owner>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let folder = std::fs::metadata(folder)?;
    let owner = Owner(
        rustix::fs::Uid::from_raw(folder.uid()),
        rustix::fs::Gid::from_raw(folder.gid()),
    );
    Ok((!owner.0.is_root()).then_some(owner))
}

/// Gives a file to its owner. Where root may not do so, in a container, say, the file stays root's.
pub(crate) fn give(file: &File, Owner(user, group): Owner) {
    if let Err(error) = rustix::fs::fchown(file, Some(user), Some(group)) {
        tracing::debug!(%error, "a file in a user's folder stays root's");
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

/// Why a folder is not this user's alone to write to, if it is not. Stricter than [`not_private`]: for root, too, only its own.
pub(crate) fn not_mine(path: &Path) -> io::Result<Option<String>> {
    let owner = std::fs::symlink_metadata(path)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Ok(Some(format!("it belongs to user {owner}")));
    }
    not_private(path)
}

/// The number of the user whose rights this process has.
pub(crate) fn user_number() -> String {
    rustix::process::geteuid().as_raw().to_string()
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

/// Makes orphaned descendants children of this process.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Kills all descendants.
///
/// A process may start another between the listing and its death, so it goes on until a listing shows none alive.
#[cfg(target_os = "linux")]
pub(crate) fn end_descendants() -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let me = rustix::process::getpid().as_raw_pid();
    // Each round kills all that it sees, so only a fork bomb would need more.
    for _ in 0..1000 {
        let processes = processes()?;
        let mut family = vec![me];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(processes.iter().filter(|p| p.parent == parent).map(|p| p.pid));
            next += 1;
        }
        let living = |pid: &&i32| processes.iter().any(|p| p.pid == **pid && !p.ended);
        let mut any = false;
        for pid in family[1..]
            .iter()
            .filter(living)
            .filter_map(|&pid| Pid::from_raw(pid))
        {
            any = true;
            // It may have ended by itself.
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
        if !any {
            return Ok(());
        }
        std::thread::yield_now();
    }
    Err(io::Error::other(
        "processes are started faster than they can be ended",
    ))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn end_descendants() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
struct Process {
    pid: i32,
    parent: i32,
    /// A zombie: dead, and only not reaped yet.
    ended: bool,
}

/// All processes that can be seen (proc(5)).
#[cfg(target_os = "linux")]
fn processes() -> io::Result<Vec<Process>> {
    let process = |entry: io::Result<std::fs::DirEntry>| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut after_name = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
        let ended = matches!(after_name.next()?, "Z" | "X");
        Some(Process {
            pid,
            parent: after_name.next()?.parse().ok()?,
            ended,
        })
    };
    Ok(std::fs::read_dir("/proc")?.filter_map(process).collect())
}

/// The process that started this one.
#[derive(Debug)]
pub(crate) struct Parent {
    pid: rustix::process::Pid,
    #[cfg(target_os = "linux")]
    handle: Option<std::os::fd::OwnedFd>,
}

impl Parent {
    pub(crate) fn find() -> io::Result<Option<Self>> {
        // Init adopts orphans, so a parent that is init is one that is gone.
        let Some(pid) = rustix::process::getppid().filter(|p| p.as_raw_pid() != 1) else {
            return Ok(None);
        };
        let parent = Self {
            pid,
            // Nothing where the kernel is too old, or a sandbox forbids it.
            #[cfg(target_os = "linux")]
            handle: rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok(),
        };
        // If it died before it was opened, the handle may be that of another process with the same pid.
        Ok(parent.is_there().then_some(parent))
    }

    fn is_there(&self) -> bool {
        rustix::process::getppid() == Some(self.pid)
    }

    pub(crate) fn wait_until_gone(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(handle) = &self.handle {
            let mut poll = [rustix::event::PollFd::new(handle, rustix::event::PollFlags::IN)];
            while self.is_there() {
                match rustix::event::poll(&mut poll, None) {
                    Ok(_) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            return Ok(());
        }
        while self.is_there() {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        Ok(())
    }
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

/// The processes, with their names, that have a lock file open as its holder does, for writing. Those that wait for it, or
/// probe it, open it for reading.
///
/// # Platform notes
/// Linux only (proc(5)), and only those of this user; elsewhere none is seen.
pub(crate) fn processes_that_hold(path: &Path) -> Vec<(u32, String)> {
    let Ok(wanted) = std::fs::metadata(path).map(|m| (m.dev(), m.ino())) else {
        return Vec::new();
    };
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let has_it_open = |process: &Path| {
        let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
            return false;
        };
        // The link's own mode tells for what the file was opened (proc(5), `/proc/pid/fd`).
        let for_writing = |fd: &Path| std::fs::symlink_metadata(fd).is_ok_and(|m| m.mode() & 0o200 != 0);
        let is_it = |fd: &Path| std::fs::metadata(fd).is_ok_and(|m| (m.dev(), m.ino()) == wanted);
        descriptors
            .flatten()
            .any(|fd| is_it(&fd.path()) && for_writing(&fd.path()))
    };
    let found = |process: std::fs::DirEntry| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        has_it_open(&process.path()).then(|| {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            (pid, name.trim_end().to_owned())
        })
    };
    processes.flatten().filter_map(found).collect()
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
