//! `clippy`: lints packages and, with `--fix`, changes their sources.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::ClippyArgs;
use crate::workspace;

pub(super) fn run(ctx: &Context, args: &ClippyArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.selection.names)?;
    on_each(ctx, &chosen, |one| {
        let mut cargo = Cargo::building(ctx, "clippy", one)
            .in_configured_profile()
            .with_messages();
        if args.fix {
            // Whoever says `--fix` here has no other way to say that uncommitted changes are no hindrance.
            cargo = cargo.arg("--fix").arg("--allow-dirty").arg("--allow-staged");
        }
        if args.all_targets {
            cargo = cargo.arg("--all-targets");
        }
        cargo.args_for_the_program(&args.rest).run()
    })
}
