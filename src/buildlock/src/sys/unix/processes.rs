//! Processes on Unix.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, getppid};

use super::kernel::{self, ParentsEnd};
use crate::sys::ProcessState;

/// The process that started this one.
#[derive(Debug)]
pub(crate) struct Parent {
    pid: Pid,
    end: Option<ParentsEnd>,
}

impl Parent {
    pub(crate) fn find() -> io::Result<Option<Self>> {
        // Init adopts orphans, so a parent that is init is one that is gone.
        let Some(pid) = getppid().filter(|p| p.as_raw_pid() != 1) else {
            return Ok(None);
        };
        // Nothing where the kernel is too old, or a sandbox forbids it.
        let end = ParentsEnd::of(pid).ok();
        let parent = Self { pid, end };
        // If it died before it was opened, what was opened may be another process with the same pid.
        Ok(parent.is_there().then_some(parent))
    }

    fn is_there(&self) -> bool {
        getppid() == Some(self.pid)
    }

    pub(crate) fn wait_until_gone(&self) -> io::Result<()> {
        while self.is_there() {
            match self.end.as_ref().map(ParentsEnd::wait) {
                Some(Err(e)) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                Some(Err(_)) => {}
                Some(Ok(())) => return Ok(()),
                None => std::thread::sleep(std::time::Duration::from_secs(1)),
            }
        }
        Ok(())
    }
}

/// Does nothing: only the direct child was bound to this process, and what a child leaves behind is bound to nobody.
#[expect(clippy::unnecessary_wraps, reason = "the same face as elsewhere")]
pub(crate) fn spare_descendants() -> io::Result<()> {
    Ok(())
}

/// What became of the process with this pid and start time; nothing where that cannot be told.
pub(crate) fn process_state(pid: u32, start: Option<u64>) -> Option<ProcessState> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    match rustix::process::test_kill_process(process) {
        Err(Errno::SRCH) => Some(ProcessState::Gone),
        Ok(()) | Err(Errno::PERM) => Some(kernel::state_of_a_pid(pid, start)),
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

/// The number of the user whose rights this process has.
pub(crate) fn user_number() -> String {
    rustix::process::geteuid().as_raw().to_string()
}
