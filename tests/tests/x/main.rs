//! `./x` as people use it: several at once, in one build directory.

#![cfg(unix)]

mod crash;
mod editor;
mod faces;
mod nesting;
mod order;
mod terminal;
mod tokens;
mod waiting;
