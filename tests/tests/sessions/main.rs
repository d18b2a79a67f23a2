//! Sessions of real processes: who gets the lock, who waits, and what becomes of it when processes are killed.
//!
//! Whatever shows that one process waits for another is played a second time without locks, and must then fail.

mod crashes;
#[cfg(windows)]
mod jobs;
mod nesting;
mod orphans;
mod queue;

/// The program that takes and leaves the lock as it is told.
const HOLDER: &str = env!("CARGO_BIN_EXE_holder");
