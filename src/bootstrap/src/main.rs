//! The driver behind `./x`.

fn main() {}
