//! What the tests of real processes are made of.
//!
//! Processes synchronise by handshake: a line sent, a line read. None sleeps in the hope that another has got somewhere.

pub mod clock;
pub mod holder;
pub mod in_turn;
#[cfg(unix)]
pub mod process;
pub mod program;
pub mod project;
#[cfg(unix)]
pub mod rustup;
pub mod scene;
#[cfg(unix)]
pub mod script;
pub mod storm;
pub mod tokens;
