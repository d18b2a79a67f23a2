//! `completions`: prints a completion script.

use std::io::{self, Write as _};

use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::{Cli, CompletionsArgs};

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::definition(), "x", &mut script);
    io::stdout()
        .write_all(&script)
        .map_err(|e| Error::environment("cannot write the script to stdout").because(e))?;
    Ok(Exit::Done)
}
