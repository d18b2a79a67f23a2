//! `check`: type-checks packages.
//!
//! `--compile-time-deps` is a flag of nightly cargos. Elsewhere everything is checked: that includes the build scripts and
//! proc macros, and the editor's next check finds the rest done.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::CheckArgs;
use crate::workspace;

pub(super) fn run(ctx: &Context, args: &CheckArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.cargo.selection.names)?;
    on_each(ctx, &chosen, |one| {
        let mut cargo = Cargo::building(ctx, "check", one)
            .in_configured_profile()
            .with_messages();
        if args.compile_time_deps && ctx.launch.is_nightly() {
            cargo = cargo.arg("-Zunstable-options").arg("--compile-time-deps");
        }
        if args.all_targets {
            cargo = cargo.arg("--all-targets");
        }
        cargo.args(&args.cargo.rest).run()
    })
}
