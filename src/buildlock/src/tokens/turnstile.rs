//! The turnstile: where cargo's compilers wait for their tokens one by one.
//!
//! cargo keeps the tokens that it has for as long as it has work that is ready: when a compiler ends it starts the next one
//! with the same token, and gives none back before it has nothing to start (`job_queue/mod.rs` there, `spawn_work_if_possible`
//! and `wait_for_events`). A wide build can keep a whole pool so for minutes, whoever else wants a token. GNU make, ninja and
//! rustc give back after each job.
//!
//! So a small program stands in front of each compiler, as cargo's `RUSTC_WRAPPER`. Where the broker owes tokens, the next
//! compilers stop there, before they have cost anything, and their tokens are the broker's; it lets them pass, one for each
//! token that it then has. Where it owes none a compiler passes at the cost of one `read`.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(in crate::tokens) use unix::Turnstile;
#[cfg(unix)]
pub use unix::stand_before_compiler;
