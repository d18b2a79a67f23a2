//! `buildlock` around tools that cannot be changed, with real processes.

#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod adopting;
mod multiplexer;
mod run;
mod rustup;
mod share;
mod shim;
