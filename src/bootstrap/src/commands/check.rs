//! `check`: type-checks packages.
//!
//! `--compile-time-deps` compiles build scripts and proc macros, and runs the former. A cargo that does not know the flag checks
//! everything instead: that includes them, and the editor's next check finds the rest done.

use std::process::Command;

use cargo_metadata::semver::Version;

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::CheckArgs;
use crate::launch;
use crate::workspace;

/// The first cargo that knows `--compile-time-deps`, and how every channel of it is made to take what is unstable. Both as in
/// rust-analyzer 1.96 (`project-model/src/build_dependencies.rs`). `RUSTC_BOOTSTRAP` would do, too, but it reaches the compiler:
/// build scripts look at it and decide otherwise, and then the next check compiles again what depends on them.
const COMPILE_TIME_DEPS_SINCE: Version = Version::new(1, 89, 0);
const CHANNEL_VARIABLE: &str = "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS";

pub(super) fn run(ctx: &Context, args: &CheckArgs) -> Result<Exit> {
    let chosen = workspace::choose(ctx, &args.cargo.selection.names)?;
    let only_compile_time_deps = args.compile_time_deps && knows_compile_time_deps(ctx)?;
    on_each(ctx, &chosen, |one| {
        let mut cargo = Cargo::building(ctx, "check", one)
            .in_configured_profile()
            .with_messages();
        if only_compile_time_deps {
            cargo = cargo
                .env(CHANNEL_VARIABLE, "nightly")
                .arg("-Zunstable-options")
                .arg("--compile-time-deps");
        }
        if args.all_targets {
            cargo = cargo.arg("--all-targets");
        }
        cargo.args(&args.cargo.rest).run()
    })
}

fn knows_compile_time_deps(ctx: &Context) -> Result<bool> {
    let mut command = Command::new(&ctx.launch.cargo);
    command.arg("--version");
    launch::forget_launch(&mut command);
    let said = command
        .output()
        .map_err(|e| Error::io("cannot start", &ctx.launch.cargo, e))?;
    Ok(version(&String::from_utf8_lossy(&said.stdout)).is_some_and(|it| it >= COMPILE_TIME_DEPS_SINCE))
}

/// The version in `cargo 1.97.0-nightly (rev date)`, without its channel: a nightly has what its release will have.
fn version(said: &str) -> Option<Version> {
    let found = Version::parse(said.split_whitespace().nth(1)?).ok()?;
    Some(Version::new(found.major, found.minor, found.patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_every_channel_is_understood() {
        for said in [
            "cargo 1.89.0 (c24e10642 2025-06-23)\n",
            "cargo 1.89.0-nightly (c24e10642 2025-06-23)",
            "cargo 1.89.0",
        ] {
            assert_eq!(version(said), Some(COMPILE_TIME_DEPS_SINCE), "{said}");
        }
        assert!(version("cargo 1.88.0 (873a06493 2025-05-10)") < Some(COMPILE_TIME_DEPS_SINCE));
        assert_eq!(version(""), None);
    }
}
