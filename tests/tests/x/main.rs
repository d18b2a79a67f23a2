//! `./x` as people use it: several at once, in one build directory.

mod crash;
mod faces;
mod nesting;
mod order;
mod waiting;
