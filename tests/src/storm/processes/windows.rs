//! The processes of a storm on Windows: what each starts is in its job and ends with it, so there are no orphans.

use std::io;
use std::process::{Child, Command};

use super::Next;

pub(in crate::storm) type Id = u32;

/// The director's children.
pub(in crate::storm) struct Processes(Vec<Child>);

impl Processes {
    #[expect(clippy::unnecessary_wraps, reason = "the same face as elsewhere")]
    pub(in crate::storm) fn new() -> io::Result<Self> {
        Ok(Self(Vec::new()))
    }

    pub(in crate::storm) fn start(&mut self, command: &mut Command) -> io::Result<Id> {
        let child = command.spawn()?;
        let id = child.id();
        self.0.push(child);
        Ok(id)
    }

    pub(in crate::storm) fn kill(&mut self, id: Id) {
        if let Some(child) = self.0.iter_mut().find(|child| child.id() == id) {
            // It may have ended by itself.
            child.kill().ok();
        }
    }

    /// Kills a process, and its job what it started.
    pub(in crate::storm) fn kill_group(&mut self, id: Id) {
        self.kill(id);
    }

    /// Cannot be done: there is no documented call for it.
    #[expect(clippy::unused_self, reason = "the same face as elsewhere")]
    pub(in crate::storm) fn stop(&self, _id: Id) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "the same face as elsewhere")]
    pub(in crate::storm) fn go_on(&self, _id: Id) {}

    pub(in crate::storm) fn next_ended(&mut self) -> io::Result<Next> {
        for at in 0..self.0.len() {
            if let Some(status) = self.0[at].try_wait()? {
                return Ok(Next::Ended(self.0.remove(at).id(), status.code()));
            }
        }
        Ok(if self.0.is_empty() {
            Next::NoneLeft
        } else {
            Next::NoneYet
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same face as elsewhere")]
    pub(in crate::storm) fn kill_children(&mut self) -> io::Result<()> {
        self.0.iter_mut().for_each(|child| drop(child.kill()));
        Ok(())
    }
}
