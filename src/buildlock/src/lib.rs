//! A build-session lock: many readers or one mutator at a time, first in, first out, for the processes of one machine that
//! share a build directory.
//!
//! * **Fair.** Requests are served in the order they came. A stream of readers cannot starve a mutator, nor the reverse.
//! * **Nested.** A process that a session started, however indirectly, is never blocked by that session, may take the lock
//!   again, and may ask for more than its ancestor holds. It neither deadlocks nor is refused.
//! * **Crash-safe, without a daemon.** The kernel's lock on a session's own file is the only sign of life. `kill -9` frees
//!   it at once and wakes the next in line; no pid is probed, no age is judged.
//! * **Accountable.** Who holds the lock, since when, what they run and who waits for them can be read at any time.
//!
//! ```
//! # fn main() -> buildlock::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! use buildlock::{Mode, Registry, Request, Session};
//!
//! let registry = Registry::open(folder.path().join("session"))?;
//! let reader = Session::acquire(&registry, Request::new(Mode::Shared, "check"))?;
//! assert!(Session::try_acquire(&registry, Request::new(Mode::Exclusive, "build"))?.is_none());
//! drop(reader);
//! let mutator = Session::try_acquire(&registry, Request::new(Mode::Exclusive, "build"))?;
//! assert!(mutator.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Caveats
//!
//! * The lock is advisory: it binds those who ask for it.
//! * A session belongs to a process, not to a thread. Two sessions in one process exclude each other like strangers; to get
//!   more than a session holds, [`Session::upgrade`] it.
//! * By asking for an upgrade, a session gives up its snapshot: another tree that upgrades at the same time may change
//!   things before it is served. (Otherwise both would wait for each other for ever.)
//! * A wait that is given up leaves behind a thread that is blocked until the lock it waited for is freed. It holds nothing.
//! * A child that was [lent](Session::lend) a session keeps it alive if its parent is killed. A daemon should close what it
//!   inherited.
//! * A fork that starts no other program has the files that were open: what its parent held or was about to change is free for
//!   others when both have let go or ended. Close what it inherited, or use the library in one of the two only.
//! * The folder must be on a file system that can lock: a network file system may not, and says so, or pretends to.
//!   See `docs/platforms.md`.
//! * After a power failure the registry repairs itself, but the mark of an unfinished mutator may be lost.

#![warn(missing_docs)]

mod session;
pub use session::{HumanDuration, Request, Session, Timeout, Waiting, Watch};

mod status;
pub use status::{Entry, Process, Snapshot, Writer};

mod registry;
pub use registry::{Broken, Registry};

mod cache_lock;
pub use cache_lock::{CacheHolder, CacheLock};

mod error;
pub use error::{Error, ErrorKind, Result};

mod wait;
pub use wait::Cancel;

mod ancestry;
pub use ancestry::{Ancestry, SESSION_VARIABLE};

mod record;
pub use record::{Lease, Record, Who};

pub mod gate;
pub mod protocol;
pub mod queue;
pub mod scan;
pub use queue::{Mode, SessionId, State, Ticket};

pub mod tokens;

mod children;
mod folder;
pub use children::{Parent, adopt_orphans, die_with_parent, end_descendants, spare_descendants};
mod sys;

#[cfg(feature = "fault-injection")]
pub mod faults;
#[cfg(not(feature = "fault-injection"))]
mod faults;
