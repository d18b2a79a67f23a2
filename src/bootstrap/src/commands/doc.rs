//! `doc`: builds the documentation of packages, not of what they depend on.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::CargoArgs;
use crate::workspace;

pub(super) fn run(ctx: &Context, args: &CargoArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.selection.names)?;
    on_each(ctx, &chosen, |one| {
        let exit = Cargo::building(ctx, "doc", one)
            .in_configured_profile()
            .with_messages()
            .arg("--no-deps")
            .args(&args.rest)
            .run()?;
        if exit == Exit::Done {
            let docs = one.workspace.target.join("doc");
            ctx.shell.status("Documented", docs.display());
        }
        Ok(exit)
    })
}
