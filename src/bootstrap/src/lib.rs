//! The driver behind `./x`: commands, configuration and steps, each run under a build session.

pub mod class;
pub mod config;
pub mod flags;
pub mod launch;
pub mod relaunch;

pub mod hold;
pub mod interrupt;
pub mod parent;
pub mod preempt;
pub mod repeats;
mod tokens;
mod waiting;

pub mod cargo;
pub mod commands;
pub mod context;
pub mod messages;
pub mod outputs;
pub mod recover;
pub mod suites;
pub mod tally;
pub mod workspace;

pub mod components;
pub mod stage0;

pub mod aside;
pub mod dist;
mod file_times;
pub mod release;
pub mod setup;
pub mod tidy;

pub mod error;
pub mod exit;
pub mod log;
pub mod shell;
pub mod suggest;
