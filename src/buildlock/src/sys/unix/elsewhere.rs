//! What takes the place of Linux's own on macOS, the BSDs and illumos.
//!
//! | Linux | here |
//! | --- | --- |
//! | pidfd | kqueue's `EVFILT_PROC` on macOS and the BSDs; a look once a second elsewhere |
//! | `PR_SET_PDEATHSIG` | `PROC_PDEATHSIG_CTL` on FreeBSD; elsewhere none: a child lives on, and what it was lent with it |
//! | subreaper, descendants from `/proc` | none: a session does not step aside here |
//! | start times and open files from `/proc` | none: a pid alone names a process, for people to read |
//! | whether a process is stopped, from `/proc` | none: it counts as running |

use std::io;
use std::path::Path;
use std::process::Command;

use crate::sys::ProcessState;

cfg_select! {
    any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    ) => {
        mod kqueue;
        pub(super) use kqueue::ParentsEnd;
    }
    _ => {
        mod untold;
        pub(super) use untold::ParentsEnd;
    }
}

/// Puts a whole new file in the place of another, which others may have open: they go on reading the old one.
pub(crate) fn replace(new: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(new, path)
}

/// Makes the kernel kill the child when this process ends (procctl(2)).
#[cfg(target_os = "freebsd")]
pub(crate) fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
    use std::os::unix::process::CommandExt;

    let parent = getpid();
    let arm = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the call above: then nobody would ever send the signal.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(rustix::io::Errno::CHILD.into())
        }
    };
    // SAFETY: procctl and getppid are async-signal-safe, and nothing is allocated or locked between fork and exec.
    unsafe { command.pre_exec(arm) };
}

/// Does nothing: the child lives on, and holds what it was lent.
#[cfg(not(target_os = "freebsd"))]
pub(crate) fn die_with_parent(_command: &mut Command) {}

/// Does nothing: orphans go to init.
#[expect(clippy::unnecessary_wraps, reason = "the same face as elsewhere")]
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Cannot be done: nothing portable lists the descendants.
pub(crate) fn end_descendants() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unknown: nothing portable tells it.
pub(crate) fn process_start(_pid: u32) -> Option<u64> {
    None
}

/// Running: nothing portable tells more of a process that is there.
pub(super) fn state_of_a_pid(_pid: u32, _start: Option<u64>) -> ProcessState {
    ProcessState::Running
}

/// There are no pid namespaces here.
pub(crate) fn pid_namespace() -> Option<u64> {
    None
}

/// None: nothing portable tells it.
pub(crate) fn processes_that_hold(_path: &Path) -> Vec<(u32, String)> {
    Vec::new()
}
