//! Requests: what a session asks for, and how it wants to wait.

use std::fmt;
use std::time::Duration;

use crate::ancestry::Ancestry;
use crate::queue::Mode;
use crate::session::Waiting;
use crate::wait::Cancel;

/// How long to wait for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// As long as it takes.
    Never,
    /// Not at all: what cannot be had now is a [`ErrorKind::Timeout`](crate::ErrorKind::Timeout).
    AtOnce,
    /// This long.
    After(Duration),
}

/// What a session asks for, and how it wants to wait.
///
/// ```
/// # fn main() -> buildlock::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use buildlock::{Mode, Registry, Request, Session, Timeout};
///
/// let registry = Registry::open(folder.path().join("session"))?;
/// let request = Request::new(Mode::Exclusive, "build")
///     .timeout(Timeout::After(std::time::Duration::from_secs(600)))
///     .on_wait(|waiting| eprintln!("waiting for {waiting}"));
/// let session = Session::acquire(&registry, request)?;
/// // … change things …
/// session.release()
/// # }
/// ```
pub struct Request<'a> {
    pub(super) mode: Mode,
    pub(super) label: String,
    pub(super) timeout: Timeout,
    pub(super) timeout_advice: Option<String>,
    pub(super) notice_after: Duration,
    pub(super) notice_every: Duration,
    pub(super) on_wait: Option<OnWait<'a>>,
    pub(super) cancel: Cancel,
    pub(super) ancestry: Ancestry,
    pub(super) preemptible: bool,
    pub(super) uses: Vec<String>,
    pub(super) command: Option<Vec<String>>,
}

type OnWait<'a> = Box<dyn FnMut(&Waiting) + 'a>;

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("mode", &self.mode)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// Asks for `mode`. `label` says in a word, to whoever looks at the queue, what for.
    #[must_use]
    pub fn new(mode: Mode, label: impl Into<String>) -> Self {
        Self {
            mode,
            label: label.into(),
            timeout: Timeout::Never,
            timeout_advice: None,
            notice_after: Duration::from_millis(200),
            notice_every: Duration::from_secs(1),
            on_wait: None,
            cancel: Cancel::new(),
            ancestry: Ancestry::from_environment(),
            preemptible: false,
            uses: Vec::new(),
            command: None,
        }
    }

    /// The command line to show for this session, where this process's own is not what the user typed.
    #[must_use]
    pub fn command(mut self, words: Vec<String>) -> Self {
        self.command = Some(words);
        self
    }

    /// How long to wait. [`Timeout::Never`] unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Timeout) -> Self {
        self.timeout = timeout;
        self
    }

    /// What a timeout's text should tell the user to change, such as the name of a key or flag.
    #[must_use]
    pub fn timeout_advice(mut self, advice: impl Into<String>) -> Self {
        self.timeout_advice = Some(advice.into());
        self
    }

    /// Called when the wait has lasted a while (see [`Request::notice_after`]), and every second from then on; less often
    /// in a long queue.
    ///
    /// It runs in the waiting thread, which holds nothing meanwhile but its place in the queue.
    #[must_use]
    pub fn on_wait(mut self, notice: impl FnMut(&Waiting) + 'a) -> Self {
        self.on_wait = Some(Box::new(notice));
        self
    }

    /// How long a wait may last before [`Request::on_wait`] is called. 0.2 s unless set.
    #[must_use]
    pub fn notice_after(mut self, after: Duration) -> Self {
        self.notice_after = after;
        self
    }

    /// Lets another thread give up this wait.
    #[must_use]
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Under which sessions this one counts as started. That of the environment unless set.
    #[must_use]
    pub fn ancestry(mut self, ancestry: Ancestry) -> Self {
        self.ancestry = ancestry;
        self
    }

    /// Says in the record that this session steps aside when a mutator queues. That it does so is its owner's business: see
    /// [`Session::watch`](crate::Session::watch).
    #[must_use]
    pub fn preemptible(mut self) -> Self {
        self.preemptible = true;
        self
    }

    /// Names shared things that this session uses, so that nobody collects them meanwhile.
    #[must_use]
    pub fn uses(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.uses = names.into_iter().collect();
        self
    }
}
