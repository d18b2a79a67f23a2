//! The commands, one file each. Each is given the [`Context`], with the hold that its class asks for already taken.

use crate::components;
use crate::context::Context;
use crate::error::Result;
use crate::exit::Exit;
use crate::flags::{Command, LockCommand};
use crate::stage0::Component;

mod bench;
mod build;
mod bump_stage0;
mod check;
mod clean;
mod clippy;
mod completions;
mod dist;
mod doc;
mod fix;
mod fmt;
mod install;
mod lock;
mod run;
mod setup;
mod test;
mod tidy;

/// Runs a command.
///
/// # Errors
/// Where it could not do its work. That what it ran has failed is [`Exit::Failed`].
pub fn run(ctx: &mut Context, command: &Command) -> Result<Exit> {
    match command {
        Command::Check(args) => check::run(ctx, args),
        Command::Clippy(args) => {
            components::provide(ctx, Component::Clippy)?;
            clippy::run(ctx, args)
        }
        Command::Build(args) => {
            components::collect_old(ctx);
            build::run(ctx, args)
        }
        Command::Test(args) => test::run(ctx, args),
        Command::Bench(args) => bench::run(ctx, args),
        Command::Doc(args) => doc::run(ctx, args),
        Command::Fmt(args) => {
            components::provide(ctx, Component::Rustfmt)?;
            fmt::run(ctx, args)
        }
        Command::Fix(args) => fix::run(ctx, args),
        Command::Run(args) => run::run(ctx, args),
        Command::Tidy => tidy::run(ctx),
        Command::Clean(args) => clean::run(ctx, args),
        Command::Dist(args) => dist::run(ctx, args),
        Command::Install(args) => install::run(ctx, args),
        Command::Setup(args) => setup::run(ctx, args),
        Command::Lock(args) => match &args.what {
            LockCommand::Status(args) => lock::status(ctx, args),
            LockCommand::Break(args) => lock::break_session(ctx, args),
        },
        Command::Completions(args) => completions::run(args),
        Command::BumpStage0(args) => bump_stage0::run(ctx, args),
    }
}
