//! The collector: a thread that gets tokens out of a fifo from which many children read, too.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::unix::ring;

/// Gets as many tokens as were ordered, each as soon as it can be had.
#[derive(Debug)]
pub(super) struct Collector {
    orders: Mutex<Orders>,
    changed: Condvar,
    /// The fifo. Reading it blocks.
    fifo: File,
    #[cfg(target_os = "linux")]
    drain: (File, File),
    waker: File,
}

#[derive(Debug, Default)]
struct Orders {
    /// How many tokens to get.
    open: u32,
    /// How many were got.
    got: u32,
    /// Whether the thread runs. Most builds never need it.
    hired: bool,
    over: bool,
}

impl Collector {
    /// Rings at `waker` for each token that it gets out of `fifo`.
    pub(super) fn new(fifo: File, waker: File) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            orders: Mutex::default(),
            changed: Condvar::new(),
            fifo,
            #[cfg(target_os = "linux")]
            drain: super::unix::pipe()?,
            waker,
        }))
    }

    /// Orders that many tokens, no more and no fewer, whatever was ordered before.
    pub(super) fn call_in(self: &Arc<Self>, count: u32) -> io::Result<()> {
        let mut orders = self.orders();
        if orders.open == count {
            return Ok(());
        }
        orders.open = count;
        if !orders.hired {
            let collector = Arc::clone(self);
            std::thread::Builder::new()
                .name("buildlock collects tokens".to_owned())
                .stack_size(64 * 1024)
                .spawn(move || collector.collect())?;
            orders.hired = true;
        }
        drop(orders);
        self.changed.notify_all();
        Ok(())
    }

    /// How many tokens were got since this was last asked. A token that came when the order had been withdrawn is among
    /// them: it is to be put back.
    pub(super) fn got(&self) -> u32 {
        std::mem::take(&mut self.orders().got)
    }

    /// Lets the thread end.
    pub(super) fn dismiss(&self) {
        let mut orders = self.orders();
        orders.over = true;
        if orders.hired {
            // It may wait for a token. A child that is still there may get this one in its stead: then the thread stays until
            // that child ends, and holds nothing but the nameless fifo.
            ring(&self.fifo);
        }
        drop(orders);
        self.changed.notify_all();
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self) {
        loop {
            let mut orders = self.orders();
            while orders.open == 0 && !orders.over {
                orders = self.changed.wait(orders).unwrap_or_else(PoisonError::into_inner);
            }
            if orders.over {
                return;
            }
            drop(orders);
            match self.wait_for_one() {
                Ok(1) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // The broker's own reads meet the same and report it.
                _ => return,
            }
            let mut orders = self.orders();
            orders.got += 1;
            orders.open = orders.open.saturating_sub(1);
            drop(orders);
            ring(&self.waker);
        }
    }

    /// Linux serves blocked `read`s in the order in which they came, and many children may wait. A blocked `splice` is woken
    /// beside the first of them (it waits non-exclusively), however many there are: it gets two of five tokens that come
    /// back, where a `read` behind fifteen others gets one of sixteen (measured).
    #[cfg(target_os = "linux")]
    fn wait_for_one(&self) -> io::Result<usize> {
        let flags = rustix::pipe::SpliceFlags::empty();
        rustix::pipe::splice(&self.fifo, None, &self.drain.1, None, 1, flags)?;
        (&self.drain.0).read(&mut [0])
    }

    #[cfg(not(target_os = "linux"))]
    fn wait_for_one(&self) -> io::Result<usize> {
        (&self.fifo).read(&mut [0])
    }
}
