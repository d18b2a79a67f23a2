//! The driver behind `./x`: parses, loads the configuration, and hands over.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use bootstrap::config::{Config, Surroundings};
use bootstrap::flags::Cli;

fn main() -> ExitCode {
    let cli = match Cli::from_args(env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match surroundings().and_then(|around| Ok(Config::load(&around, &cli.global)?)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            report(&*error);
            ExitCode::from(2)
        }
    }
}

fn surroundings() -> Result<Surroundings, Box<dyn Error>> {
    let root =
        env::var_os("BOOTSTRAP_ROOT").ok_or("BOOTSTRAP_ROOT is not set: start the driver through ./x")?;
    Ok(Surroundings {
        root: PathBuf::from(root),
        cwd: env::current_dir().map_err(|error| format!("cannot tell the working directory: {error}"))?,
        config_env: env::var_os("RUST_BOOTSTRAP_CONFIG"),
    })
}

#[expect(clippy::print_stderr, reason = "the place where errors meet the user")]
fn report(error: &dyn Error) {
    eprintln!("error: {error}");
}
