//! The processes of a storm on Unix: each with what it starts in a group of its own, and their orphans are ours.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::Next;

pub(in crate::storm) type Id = Pid;

/// The director's children.
pub(in crate::storm) struct Processes;

#[expect(clippy::unused_self, reason = "the same face as elsewhere")]
impl Processes {
    pub(in crate::storm) fn new() -> io::Result<Self> {
        if !cfg!(target_os = "linux") {
            let why = "only Linux tells when the last orphan of a storm has ended";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        buildlock::adopt_orphans()?;
        Ok(Self)
    }

    pub(in crate::storm) fn start(&mut self, command: &mut Command) -> io::Result<Id> {
        Ok(Pid::from_child(&command.process_group(0).spawn()?))
    }

    pub(in crate::storm) fn kill(&mut self, id: Id) {
        kill_process(id, Signal::KILL).ok();
    }

    /// Kills a process with what it started.
    pub(in crate::storm) fn kill_group(&mut self, id: Id) {
        kill_process_group(id, Signal::KILL).ok();
    }

    /// Stops a process for a while, where that can be done.
    pub(in crate::storm) fn stop(&self, id: Id) -> bool {
        kill_process(id, Signal::STOP).is_ok()
    }

    pub(in crate::storm) fn go_on(&self, id: Id) {
        kill_process(id, Signal::CONT).ok();
    }

    pub(in crate::storm) fn next_ended(&mut self) -> io::Result<Next> {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((id, status))) => Ok(Next::Ended(id, status.exit_status())),
            Ok(None) => Ok(Next::NoneYet),
            Err(Errno::CHILD) => Ok(Next::NoneLeft),
            Err(e) => Err(e.into()),
        }
    }

    pub(in crate::storm) fn kill_children(&mut self) -> io::Result<()> {
        let children = format!("/proc/self/task/{}/children", std::process::id());
        for pid in std::fs::read_to_string(children)?.split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                self.kill(pid);
            }
        }
        Ok(())
    }
}
