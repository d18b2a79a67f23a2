//! `buildlock` around tools that cannot be changed, with real processes.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

#[cfg(unix)]
mod adopting;
#[cfg(unix)]
mod multiplexer;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod rustup;
#[cfg(unix)]
mod share;
#[cfg(unix)]
mod shim;
