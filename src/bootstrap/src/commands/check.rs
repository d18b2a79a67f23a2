//! `check`: type-checks packages.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::CheckArgs;
use crate::workspace;

pub(super) fn run(ctx: &Context, args: &CheckArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.cargo.selection.names)?;
    on_each(ctx, &chosen, |one| {
        Cargo::building(ctx, "check", one)
            .in_configured_profile()
            .with_messages()
            .args(&args.cargo.rest)
            .run()
    })
}
