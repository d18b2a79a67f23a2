//! What a test says to a `holder` process, and what it hears back: one line of JSON each, over a loopback connection.

use buildlock::Mode;
use serde::{Deserialize, Serialize};

/// What a holder is told to do. It does one thing after the other; only [`Order::Cancel`] is heard at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Take the lock: answered by [`Report::Waiting`] if it has to wait, then by [`Report::Granted`] or [`Report::Refused`].
    Acquire(Mode, Patience),
    /// Ask for the exclusive hold as well: answered likewise.
    Upgrade(Patience),
    /// Turn the exclusive hold into a shared one: answered by [`Report::Done`].
    Downgrade,
    /// Let go: answered by [`Report::Done`].
    Release,
    /// Give up the wait.
    Cancel,
    /// Start another holder under this name, which reports for itself.
    Start(String, Bond),
    /// Say who wants the lock: answered by [`Report::Wanted`].
    WantedBy,
}

/// How long to wait for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Patience {
    /// As long as it takes.
    Endless,
    /// Not at all.
    None,
    /// This many milliseconds.
    Millis(u64),
}

/// What ties a child to its parent's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bond {
    /// It counts as nested, and keeps the session alive.
    Lent,
    /// It counts as nested.
    Named,
    /// Its environment names these sessions.
    Environment(String),
}

/// What a holder says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It has started.
    Here {
        /// Its name.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// It stands in the queue, behind this many.
    Waiting {
        /// The ticket of the session that it waits for, where its record can be read.
        on: Option<u64>,
        /// How many are in its way.
        ahead: usize,
    },
    /// It holds the lock.
    Granted(Grant),
    /// It could not have the lock.
    Refused {
        /// The error's kind, as `Debug` writes it.
        kind: String,
        /// The error's text.
        text: String,
    },
    /// The order was carried out.
    Done,
    /// The labels of the mutators that wait for its session.
    Wanted(Vec<String>),
}

/// What a holder was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its session's name.
    pub session: u64,
    /// The ticket of what it now holds.
    pub ticket: u64,
    /// How many exclusive grants there have been.
    pub epoch: u64,
    /// The label of a mutator that did not finish.
    pub unfinished: Option<String>,
}
