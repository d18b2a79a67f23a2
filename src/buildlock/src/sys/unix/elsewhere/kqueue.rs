//! The parent's end as kqueue tells it (kqueue(2), `EVFILT_PROC`).

use std::io;
use std::os::fd::OwnedFd;
use std::ptr;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::process::Pid;

/// Something that tells when the parent has ended.
#[derive(Debug)]
pub(in crate::sys) struct ParentsEnd(OwnedFd);

impl ParentsEnd {
    pub(in crate::sys) fn of(parent: Pid) -> io::Result<Self> {
        let filter = EventFilter::Proc { pid: parent, flags: ProcessEvents::EXIT };
        let exit = Event::new(filter, EventFlags::ADD, ptr::null_mut());
        let queue = kqueue()?;
        let mut none: [Event; 0] = [];
        // SAFETY: the event refers to a process, not to a file descriptor.
        unsafe { kevent(&queue, &[exit], &mut none[..], None) }?;
        Ok(Self(queue))
    }

    pub(in crate::sys) fn wait(&self) -> io::Result<()> {
        let mut told = Vec::with_capacity(1);
        // SAFETY: nothing is added to the queue.
        unsafe { kevent(&self.0, &[], rustix::buffer::spare_capacity(&mut told), None) }?;
        Ok(())
    }
}
