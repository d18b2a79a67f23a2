//! `bump-stage0`: moves the pin in `src/stage0` to another release.

use std::fs;

use crate::aside;
use crate::components;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::BumpStage0Args;
use crate::stage0::{Pin, Progress, manifest, pin};

pub(super) fn run(ctx: &Context, args: &BumpStage0Args) -> Result<Exit> {
    let old = Pin::read(&ctx.launch.root)?;
    let manifest = match (&args.manifest, &args.version) {
        (Some(file), _) => fs::read_to_string(file).map_err(|e| Error::io("cannot read", file, e))?,
        (None, Some(release)) => {
            let mut progress = Progress::new();
            let server = components::dist_server(&ctx.config, &old);
            manifest::download(release, &server, &ctx.interrupts, &mut |event| {
                progress.show(event);
            })?
        }
        (None, None) => return Err(Error::usage("say a version, or a manifest")),
    };
    let new = manifest::move_pin(&old, &manifest)?;
    let path = ctx.launch.root.join(pin::FILE);
    let (from, to) = (describe(&old), describe(&new));
    if new == old {
        ctx.shell.status("Unchanged", format_args!("stage0 is {to}"));
        return Ok(Exit::Done);
    }
    if !ctx.flags.dry_run {
        aside::write(&path, new.to_string().as_bytes()).map_err(|e| Error::io("cannot write", &path, e))?;
    }
    ctx.shell
        .status("Moved", format_args!("stage0 from {from} to {to}"));
    Ok(Exit::Done)
}

fn describe(pin: &Pin) -> String {
    format!("{} {} of {}", pin.channel, pin.version, pin.date)
}
