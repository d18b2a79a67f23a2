//! `buildlock` around tools that cannot be changed, with real processes.

#[cfg(unix)]
mod run;
#[cfg(unix)]
mod rustup;
#[cfg(unix)]
mod shim;
