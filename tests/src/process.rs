//! Other processes, as the kernel tells of them.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

use rustix::process::{Pid, test_kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};

/// Makes this process and those that it starts heed the signals of a terminal, whatever it was started with: a shell has
/// what runs in the background ignore SIGINT and SIGQUIT, `nohup` SIGHUP, and children inherit that.
///
/// # Panics
/// If signals cannot be handled.
pub fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [SIGHUP, SIGINT, SIGQUIT] {
            // A handler that does what no handler would: it is gone in children, unlike a signal that is ignored (execve(2)).
            signal_hook::flag::register_conditional_default(signal, Arc::new(AtomicBool::new(true)))
                .expect("signals can be handled");
        }
    });
}

/// Whether a process runs. One that has ended and was not waited for does not: who inherits an orphan, the first process of
/// a container say, may never wait for it.
///
/// # Panics
/// If that is no process id.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state comes after the name, which is in brackets and may hold some itself (proc_pid_stat(5)).
        return stat
            .rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.starts_with(" Z") && !rest.starts_with(" X"));
    }
    test_kill_process(Pid::from_raw(pid.cast_signed()).expect("a pid")).is_ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_has_ended_is_not_alive_even_before_anybody_waits_for_it() {
        assert!(is_alive(std::process::id()));
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        assert!(is_alive(child.id()));
        drop(child.stdin.take());
        // Waits, and leaves it as it is.
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let id = rustix::process::WaitId::Pid(Pid::from_child(&child));
        rustix::process::waitid(id, options).expect("it ends");
        assert!(!is_alive(child.id()) || !cfg!(target_os = "linux"));
        child.wait().expect("it has ended");
        assert!(!is_alive(child.id()));
    }
}
