//! What only Linux has: pidfds, parent-death signals, subreapers, and `/proc`.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open, set_child_subreaper,
    set_parent_process_death_signal,
};

use crate::sys::ProcessState;

/// Something that tells when the parent has ended: a pidfd becomes readable (pidfd_open(2), since 5.3).
#[derive(Debug)]
pub(super) struct ParentsEnd(OwnedFd);

impl ParentsEnd {
    pub(super) fn of(parent: Pid) -> io::Result<Self> {
        Ok(Self(pidfd_open(parent, PidfdFlags::empty())?))
    }

    pub(super) fn wait(&self) -> io::Result<()> {
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None)?;
        Ok(())
    }
}

/// Puts a whole new file in the place of another, which others may have open: they go on reading the old one.
///
/// The two are exchanged, and then the old one is removed. A rename over it would make ext4 write the new one to the disk at
/// once (ext4(5), `auto_da_alloc`): that takes twice as long, and its removal later ten times.
pub(crate) fn replace(new: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => std::fs::remove_file(new),
        // There is nothing to exchange it with, or the file system cannot (renameat2(2)), or a sandbox does not know the call.
        Err(_) => std::fs::rename(new, path),
    }
}

/// Makes the kernel kill the child when the thread that starts it ends (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let arm = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the call above: then nobody would ever send the signal.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(Errno::CHILD.into())
        }
    };
    // SAFETY: prctl and getppid are async-signal-safe, and nothing is allocated or locked between fork and exec.
    unsafe { command.pre_exec(arm) };
}

/// Makes orphaned descendants children of this process (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills all descendants.
///
/// A process may start another between the listing and its death, so it goes on until a listing shows none alive.
pub(crate) fn end_descendants() -> io::Result<()> {
    let me = getpid().as_raw_pid();
    // Each round kills all that it sees, so only a fork bomb would need more.
    for _ in 0..1000 {
        let processes = processes()?;
        let mut family = vec![me];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(
                processes
                    .iter()
                    .filter(|p| p.stat.parent == parent)
                    .map(|p| p.pid),
            );
            next += 1;
        }
        let living = |pid: &&i32| processes.iter().any(|p| p.pid == **pid && !p.stat.ended);
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

struct Process {
    pid: i32,
    stat: Stat,
}

/// All processes that can be seen (proc(5)).
fn processes() -> io::Result<Vec<Process>> {
    let process = |entry: io::Result<std::fs::DirEntry>| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = Stat::of(pid)?;
        Some(Process { pid, stat })
    };
    Ok(std::fs::read_dir("/proc")?.filter_map(process).collect())
}

/// What `/proc` says of a process (proc(5), `stat`).
struct Stat {
    /// It has ended, and closed all that it had open; only its parent has not heard of it yet.
    ended: bool,
    /// A signal stopped it (Ctrl-Z), or a debugger did.
    stopped: bool,
    parent: i32,
    group: u32,
    /// In clock ticks since boot.
    start: Option<u64>,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may itself contain any character.
        let mut after_name = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
        let state = after_name.next()?;
        let parent = after_name.next()?.parse().ok()?;
        // -1 of one that is just being reaped, whose end must be told all the same.
        let group = after_name.next()?.parse().unwrap_or(0);
        // Field 22.
        let start = after_name.nth(16).and_then(|field| field.parse().ok());
        Some(Self {
            ended: matches!(state, "Z" | "X"),
            stopped: matches!(state, "T" | "t"),
            parent,
            group,
            start,
        })
    }
}

/// When a process started: clock ticks since boot.
pub(crate) fn process_start(pid: u32) -> Option<u64> {
    Stat::of(i32::try_from(pid).ok()?)?.start
}

/// What became of the process that started then, of what now bears its pid.
pub(super) fn state_of_a_pid(pid: u32, start: Option<u64>) -> ProcessState {
    let Some(now) = i32::try_from(pid).ok().and_then(Stat::of) else {
        return ProcessState::Running;
    };
    let is_another = matches!((start, now.start), (Some(then), Some(now)) if then != now);
    if now.ended || is_another {
        ProcessState::Gone
    } else if now.stopped {
        ProcessState::Stopped(now.group)
    } else {
        ProcessState::Running
    }
}

/// The pid namespace of this process, by its inode (namespaces(7)).
pub(crate) fn pid_namespace() -> Option<u64> {
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
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
