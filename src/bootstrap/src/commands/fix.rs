//! `fix`: applies the compiler's suggestions to the sources.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::CargoArgs;
use crate::workspace;

pub(super) fn run(ctx: &Context, args: &CargoArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.selection.names)?;
    on_each(ctx, &chosen, |one| {
        Cargo::building(ctx, "fix", one)
            .in_configured_profile()
            .with_messages()
            .args(&args.rest)
            .run()
    })
}
