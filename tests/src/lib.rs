//! What the tests of real processes are made of.
//!
//! Processes synchronise by handshake: a line sent, a line read. None sleeps in the hope that another has got somewhere.

pub mod holder;
pub mod project;
pub mod scene;
pub mod storm;
#[cfg(unix)]
pub mod tokens;
