//! The installed rustup, for real, in a world of its own: its own `RUSTUP_HOME`, `CARGO_HOME` and `HOME`, and releases made by
//! the test. It never sees those of this machine, and has no way to any other server.

mod dist;
mod home;
mod scenarios;
mod server;

pub use dist::Dist;
pub use home::{Home, Stands, installed};
pub use scenarios::{Alone, SCENARIOS, Scenario};
pub use server::Server;
