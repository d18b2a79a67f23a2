//! `bench`: builds benchmarks, holding the build directory exclusively, and runs them, sharing it.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::BenchArgs;
use crate::workspace;

pub(super) fn run(ctx: &mut Context, args: &BenchArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.selection.names)?;
    let built = on_each(ctx, &chosen, |one| {
        Cargo::building(ctx, "bench", one)
            .with_messages()
            .arg("--no-run")
            .run()
    })?;
    if built != Exit::Done && !ctx.keeps_going() {
        return Ok(built);
    }
    ctx.hold.built()?;
    let ran = on_each(ctx, &chosen, |one| {
        Cargo::building(ctx, "bench", one)
            .args_for_the_program(&args.rest)
            .run()
    })?;
    Ok(built.or(ran))
}
