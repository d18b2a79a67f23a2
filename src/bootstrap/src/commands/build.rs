//! `build`: builds packages, and copies what they make to `<build-dir>/host/bin`.

use std::path::PathBuf;

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::CargoArgs;
use crate::messages::{self, Forward};
use crate::outputs::{Outputs, Put};
use crate::tokens::OwnWork;
use crate::workspace::{self, Chosen};

pub(super) fn run(ctx: &Context, args: &CargoArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.selection.names)?;
    let outputs = ctx.outputs();
    let mut made_before = Vec::new();
    on_each(ctx, &chosen, |one| {
        let (exit, made) = build(ctx, args, one)?;
        put(ctx, &outputs, &made, &mut made_before)?;
        Ok(exit)
    })
}

/// Builds, and returns what was made that other people run or load: programs and C libraries.
fn build(ctx: &Context, args: &CargoArgs, one: &Chosen) -> Result<(Exit, Vec<PathBuf>)> {
    let cargo = Cargo::building(ctx, "build", one)
        .in_configured_profile()
        .args(&args.rest);
    let mut made = Vec::new();
    let exit = messages::read(ctx, cargo, Forward::IfAsked, |artifact| {
        made.extend(messages::outputs(&artifact));
    })?;
    Ok((exit, made))
}

/// Puts files in place, also those of a build that failed elsewhere: each is whole.
fn put(ctx: &Context, outputs: &Outputs, made: &[PathBuf], made_before: &mut Vec<PathBuf>) -> Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let _work = OwnWork::start(ctx, "copy")?;
    for file in made {
        ctx.interrupts.check()?;
        if let Some(other) = made_before
            .iter()
            .find(|other| other.file_name() == file.file_name())
        {
            ctx.shell.warn(format_args!(
                "`{}` takes the place of `{}`: two packages make a file of this name",
                file.display(),
                other.display()
            ));
        }
        if outputs.put(file)? == Put::Copied {
            let place = outputs.bin().join(file.file_name().unwrap_or_default());
            ctx.shell.status("Copied", place.display());
        }
    }
    made_before.extend_from_slice(made);
    Ok(())
}
