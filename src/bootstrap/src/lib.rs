//! The driver behind `./x`: commands, configuration and steps, each run under a build session.

pub mod class;
pub mod config;
pub mod flags;
pub mod suggest;
