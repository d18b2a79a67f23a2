//! `fmt`: formats sources or, with `--check`, says which are not formatted.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

use clap::ColorChoice;

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
        let mut for_rustfmt = vec![OsString::from("--color"), color(ctx).into()];
        for_rustfmt.extend_from_slice(&args.rest);
        cargo.args_for_the_program(&for_rustfmt).run()
    })
}

/// Rustfmt, left alone, colors whatever a terminal could, also what goes into a file.
fn color(ctx: &Context) -> &'static str {
    match ctx.config.build.color {
        ColorChoice::Always => "always",
        ColorChoice::Auto if io::stdout().is_terminal() => "auto",
        ColorChoice::Auto | ColorChoice::Never => "never",
    }
}
