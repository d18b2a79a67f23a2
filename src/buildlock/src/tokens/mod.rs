//! Tokens: one pool of jobs for all builds of a machine, whose tokens come back whatever is killed.
//!
//! A pool is a [registry](crate::Registry): each build that takes part is registered in it, and its record says how many
//! tokens it leases. What is free is nowhere stored; it is the capacity less the leases of the living. The kernel's lock says
//! who lives, so a killed build's tokens are back at once, and no daemon keeps the count.
//!
//! Each build serves its own children a **private jobserver**, as GNU make does for its own ("POSIX Jobserver Interaction"
//! in its manual), and a broker thread moves tokens between that and the pool. Whatever killed compilers lose of a private
//! jobserver comes back when that build ends, because a new one is made for the next.
//!
//! ```no_run
//! # fn main() -> buildlock::Result<()> {
//! use buildlock::tokens::{Joining, Style, TokenPool, user_pool_folder};
//!
//! let pool = TokenPool::open(user_pool_folder()?, 8)?;
//! // Waits for the token that the build itself costs, then serves what it starts.
//! let server = pool.join(Joining::new("build"))?.serve(Style::Auto)?;
//! let mut cargo = std::process::Command::new("cargo");
//! cargo.arg("build");
//! server.configure(&mut cargo);
//! let status = cargo.status();
//! server.end()?;
//! # drop(status);
//! # Ok(())
//! # }
//! ```
//!
//! # Caveats
//!
//! * Tokens bind those who ask for them: a program with threads of its own that is no jobserver client runs as many as it
//!   likes.
//! * A token goes back to the pool when its job ends, never before: jobs are not suspended. cargo keeps it for its next job
//!   unless its compilers [stop before they begin](JobServer::stop_compilers_with).
//! * A build never leases less than one token while it runs. With more builds than tokens the later ones wait.
//! * The children of a killed build are not counted any more. Make them [end with it](crate::die_with_parent).

mod pool;
pub use pool::{CAPACITY_MAX, Joining, Member, PoolWait, TokenPool, Weight, capacity_of_this_process};

mod broker;
pub use broker::{JobServer, Token};

mod outer;
pub use outer::{Outer, make_flags};

mod snapshot;
pub use snapshot::{PoolEntry, PoolSnapshot};

mod location;
pub use location::user_pool_folder;

mod memory;
pub use memory::{MemoryLimits, MemoryReading};

pub mod ledger;

mod turnstile;
#[cfg(unix)]
pub use turnstile::stand_before_compiler;

mod alarm;
mod demand;
mod seat;
mod server;
pub use server::Style;
