//! `fmt`: formats sources or, with `--check`, says which are not formatted.

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::FmtArgs;
use crate::workspace::{self, Packages};

pub(super) fn run(ctx: &Context, args: &FmtArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.selection.names)?;
    on_each(ctx, &chosen, |one| {
        let mut cargo = Cargo::plain(ctx, "fmt", one);
        match &one.packages {
            Packages::All => cargo = cargo.arg("--all"),
            Packages::Only(packages) => {
                for package in packages {
                    cargo = cargo.arg("--package").arg(&package.name);
                }
            }
        }
        if args.check {
            cargo = cargo.arg("--check");
        }
        cargo.args_for_the_program(&args.rest).run()
    })
}
