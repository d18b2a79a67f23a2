//! Named semaphores, as Windows has them.
//!
//! A semaphore is one thing that children take from and return to, like a fifo. Whoever waits for it is served in turn, so
//! what comes back while children are hungry never lies there to be found: to get it one has to wait as well.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use jobserver::Client;

use super::collector::{Collector, Queue};
use super::{Style, auth_words, failed};
use crate::error::{Error, ErrorKind, Result};

/// A private jobserver.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client,
    bell: Arc<Bell>,
    collector: Arc<Collector<Waiting>>,
}

/// Wakes the broker.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }
}

/// The semaphore, as one more that waits for tokens sees it.
#[derive(Debug)]
struct Waiting {
    client: Client,
    bell: Arc<Bell>,
}

impl Queue for Waiting {
    const THREADS: u32 = 1;

    fn wait_for_one(&self) -> io::Result<bool> {
        self.client.acquire_raw().map(|()| true)
    }

    fn put_one(&self) {
        // A semaphore that is full keeps nobody waiting.
        drop(self.client.release_raw());
    }

    fn tell(&self) {
        self.bell.ring();
    }
}

impl Server {
    /// Makes one without tokens. A semaphore's maximum is fixed when it is made.
    pub(crate) fn new(style: Style, at: &Path, tokens_max: u32) -> Result<Self> {
        if matches!(style, Style::Pipe | Style::Fifo) {
            let text = "pipes and fifos cannot serve as jobservers on this system";
            return Err(Error::new(ErrorKind::Unsupported, text).advice("use a semaphore: \"auto\""));
        }
        let client = Client::new(tokens_max.max(1) as usize).map_err(failed(at))?;
        let bell = Arc::<Bell>::default();
        let waiting = Waiting {
            client: client.clone(),
            bell: Arc::clone(&bell),
        };
        let server = Self {
            client,
            bell,
            collector: Collector::new(waiting),
        };
        server.take(tokens_max.max(1)).map_err(failed(at))?;
        Ok(server)
    }

    /// The words for `MAKEFLAGS`: the semaphore's name.
    pub(crate) fn words(&self) -> String {
        // The crate keeps the name to itself, and tells it to commands only.
        let mut probe = Command::new("");
        self.client.configure(&mut probe);
        let told = probe.get_envs().find(|(name, _)| *name == "CARGO_MAKEFLAGS");
        let told = told.and_then(|(_, words)| words?.to_str()).unwrap_or_default();
        let auth = told.rsplit("--jobserver-auth=").next().unwrap_or_default();
        auth_words(auth)
    }

    /// A semaphore is found by its name.
    pub(crate) fn lend(&self, _command: &mut Command) {}

    pub(crate) fn lying(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.client.available()?).unwrap_or(u32::MAX))
    }

    pub(crate) fn put(&self, count: u32) -> io::Result<()> {
        (0..count).try_for_each(|_| self.client.release_raw())
    }

    pub(crate) fn take(&self, count: u32) -> io::Result<u32> {
        for taken in 0..count {
            match self.client.try_acquire()? {
                Some(token) => token.drop_without_releasing(),
                None => return Ok(taken),
            }
        }
        Ok(count)
    }

    pub(crate) fn returned(&self) -> io::Result<u32> {
        Ok(self.collector.got())
    }

    /// Nothing stands in front of compilers here.
    pub(crate) fn stop_compilers(&self, _command: &mut Command, _program: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn call_compilers(&self, _count: u32) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn stopped(&self) -> io::Result<u32> {
        Ok(0)
    }

    pub(crate) fn let_pass(&self, _count: u32) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn call_in(&self, count: u32) -> io::Result<()> {
        self.collector.call_in(count)
    }

    /// Returns whether something came before the time was over.
    pub(crate) fn wait(&self, time: Duration) -> io::Result<bool> {
        let rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) = self
            .bell
            .heard
            .wait_timeout_while(rung, time, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *rung))
    }

    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// Takes a token for this process's own work, as a child would; nothing where none lies there.
    pub(crate) fn try_token(&self) -> io::Result<Option<Token>> {
        self.client.try_acquire().map(|token| token.map(Token))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.collector.dismiss();
    }
}

/// The right to run one job. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Token(#[expect(dead_code, reason = "held for its drop")] jobserver::Acquired);
