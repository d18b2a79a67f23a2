//! The driver behind `./x`: parses, loads the configuration, and hands over.

use std::env;

use bootstrap::flags::Cli;

fn main() {
    match Cli::from_args(env::args_os()) {
        Ok(_) => {}
        Err(error) => error.exit(),
    }
}
