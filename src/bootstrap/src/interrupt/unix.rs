//! Signals on Unix.

use std::io;
use std::process::ExitStatus;
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::{Interrupts, Reach};

/// What asks us to end. SIGQUIT is left alone: whoever sends it wants a core dump, not a clean end.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

pub(super) fn listen(interrupts: &Interrupts) -> io::Result<()> {
    let heeded = SIGNALS.into_iter().filter(|&signal| !is_ignored(signal));
    let mut signals = SignalsInfo::<WithOrigin>::new(heeded)?;
    let interrupts = interrupts.clone();
    let listen = move || {
        for origin in signals.forever() {
            let reach = match origin.cause {
                // Ctrl-C. When a terminal goes away, the kernel tells only the leader of its session.
                Cause::Kernel if origin.signal == SIGINT => Reach::Group,
                _ => Reach::Us,
            };
            interrupts.arrived(origin.signal, reach);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(())
}

/// Whether a signal is one of those that ask a program to end.
pub(crate) fn ends_programs(signal: i32) -> bool {
    SIGNALS.contains(&signal)
}

/// Whether whoever started us had us ignore a signal, as `nohup` does.
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction(2) with no new action only writes the current one, to a place that is large enough.
    let action = unsafe {
        if libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) != 0 {
            return false;
        }
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Ends this process by a signal's own effect. Returns only where that is not possible.
pub fn die_of(signal: i32) {
    drop(signal_hook::low_level::emulate_default_handler(signal));
}

/// The signal that ended a child.
pub(crate) fn ended_by(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

pub(super) fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

pub(super) fn tell(pid: u32, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        send(pid, signal);
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = to_pid(pid) {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

/// Waits for a child's end without reaping it, so that its pid stays its own.
pub(super) fn wait_until_ended(pid: u32) {
    let Some(pid) = to_pid(pid) else { return };
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), look) {}
}

pub(super) fn reap(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Does nothing: there is no job.
pub(super) fn end_job() {}

/// Our children in our process group. What has left the group, as a daemon does, lives on.
#[cfg(target_os = "linux")]
pub(super) fn children() -> Vec<u32> {
    let group = rustix::process::getpgrp();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .filter(|&pid| to_pid(pid).is_some_and(|pid| rustix::process::getpgid(Some(pid)) == Ok(group)))
        .collect()
}

/// None are known, and none are adopted.
#[cfg(not(target_os = "linux"))]
pub(super) fn children() -> Vec<u32> {
    Vec::new()
}
