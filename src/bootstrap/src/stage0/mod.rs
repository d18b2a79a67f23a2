//! Stage0: the pinned toolchain, and the components of it that some commands need.
//!
//! Toolchains lie in `<cache>/stage0/<key>/`, where the key is a hash over the archives that they are made of. So a folder
//! is complete or absent, never changes, and can be shared; a toolchain with one component more is another folder beside
//! it. The launcher puts the one there that compiles the driver, by the same rules and under the same lock.

pub mod collect;
mod download;
pub mod manifest;
pub mod pin;
mod progress;
mod toolchain;
mod unpack;

pub use pin::{Component, Pin};
pub use progress::{Event, Progress};
pub use toolchain::{Cache, Jobs, Patience, Toolchains};

use crate::error::Error;
use crate::interrupt::Interrupts;

/// Why something was cancelled.
fn cancelled(interrupts: &Interrupts) -> Error {
    let signal = interrupts.check().err();
    signal.unwrap_or_else(|| Error::bug("cancelled without a signal"))
}
