//! The collector: threads that stand in the queue in which children wait for tokens, too.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What children take tokens from and give them back to: a fifo, or a semaphore.
pub(super) trait Queue: Debug + Send + Sync + 'static {
    /// How many threads wait in it at once.
    const THREADS: u32;

    /// Waits for a token, however long it takes; returns whether one was got.
    fn wait_for_one(&self) -> io::Result<bool>;
    /// Puts one in, if that can be done.
    fn put_one(&self);
    /// Tells the broker that something was got.
    fn tell(&self);
}

/// Gets as many tokens as were ordered, each as soon as it can be had.
#[derive(Debug)]
pub(super) struct Collector<Q> {
    orders: Mutex<Orders>,
    changed: Condvar,
    queue: Q,
}

#[derive(Debug, Default)]
struct Orders {
    /// How many tokens to get.
    open: u32,
    /// How many were got.
    got: u32,
    /// How many threads there are. Most builds never need one.
    hired: u32,
    over: bool,
}

impl<Q: Queue> Collector<Q> {
    pub(super) fn new(queue: Q) -> Arc<Self> {
        Arc::new(Self {
            orders: Mutex::default(),
            changed: Condvar::new(),
            queue,
        })
    }

    /// Orders that many tokens, no more and no fewer, whatever was ordered before.
    pub(super) fn call_in(self: &Arc<Self>, count: u32) -> io::Result<()> {
        let mut orders = self.orders();
        if orders.open == count {
            return Ok(());
        }
        orders.open = count;
        while count > 0 && orders.hired < Q::THREADS {
            let collector = Arc::clone(self);
            std::thread::Builder::new()
                .name("buildlock collects tokens".to_owned())
                .stack_size(64 * 1024)
                .spawn(move || collector.collect())?;
            orders.hired += 1;
        }
        drop(orders);
        self.changed.notify_all();
        Ok(())
    }

    /// How many tokens were got since this was last asked. What came when the order had been withdrawn, or filled by another
    /// thread, is among them: it is to be put back.
    pub(super) fn got(&self) -> u32 {
        std::mem::take(&mut self.orders().got)
    }

    /// Lets the threads end.
    pub(super) fn dismiss(&self) {
        let mut orders = self.orders();
        orders.over = true;
        for _ in 0..orders.hired {
            // It may wait for a token. A child that is still there may get this one in its stead: then the thread stays until
            // that child ends, and holds nothing but the nameless queue.
            self.queue.put_one();
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
            match self.queue.wait_for_one() {
                Ok(true) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // The broker's own reads meet the same and report it.
                _ => return,
            }
            let mut orders = self.orders();
            orders.got += 1;
            orders.open = orders.open.saturating_sub(1);
            drop(orders);
            self.queue.tell();
        }
    }
}
