//! The cache as a command sees it: the toolchain with the components that it needs, and what nobody needs any more.

use std::env;
use std::path::{Path, PathBuf};

use buildlock::Registry;

use crate::config::{Config, Stage0};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::hold;
use crate::stage0::collect::{self, Extent, Freed};
use crate::stage0::{Cache, Component, Jobs, Patience, Pin, Progress, Toolchains};
use crate::tokens::OwnWork;

/// The cache that a configuration names.
#[must_use]
pub fn cache(config: &Config) -> Cache {
    let build = &config.build;
    Cache::new(&build.cache_dir, &build.build_dir, &build.lock_dir)
}

/// How the configuration says to wait for the cache.
#[must_use]
pub fn patience(ctx: &Context) -> Patience<'_> {
    Patience {
        timeout: hold::timeout(ctx.config.build.lock_timeout),
        interrupts: &ctx.interrupts,
    }
}

/// Where archives come from: `build.dist-server`, else `RUSTUP_DIST_SERVER`, else what the pin says.
#[must_use]
pub fn dist_server(config: &Config, pin: &Pin) -> String {
    let from_environment = || {
        env::var("RUSTUP_DIST_SERVER")
            .ok()
            .filter(|server| !server.is_empty())
    };
    let configured = config.build.dist_server.clone();
    configured
        .or_else(from_environment)
        .unwrap_or_else(|| pin.dist_server.clone())
}

/// Unpacking costs the driver a job token.
struct Unpacking<'a>(&'a Context);

impl Jobs for Unpacking<'_> {
    type Job = OwnWork;

    fn try_start(&self) -> Result<Option<OwnWork>> {
        OwnWork::try_start(self.0, "unpack")
    }

    fn start(&self) -> Result<OwnWork> {
        OwnWork::start(self.0, "unpack")
    }
}

/// Makes sure that the toolchain has a component; where it lacks it, the command gets the pinned toolchain that has it.
///
/// What is needed goes into the content-addressed cache, so a reader need not become a mutator for it. A dry run fetches nothing.
///
/// # Errors
/// Where it can't be had, or the configuration says not to look for it.
pub fn provide(ctx: &mut Context, component: Component) -> Result<()> {
    if find(ctx, component)? || ctx.flags.dry_run {
        return Ok(());
    }
    if tools_are_the_users(&ctx.config) {
        let name = component.name();
        return Err(Error::environment(format!(
            "the toolchain has no {name}: it is neither on PATH nor beside"
        ))
        .at(&ctx.launch.cargo)
        .advice(format!(
            "install it (`rustup component add {name}`), or set `build.stage0 = \"download\"`"
        )));
    }
    let pin = Pin::read(&ctx.launch.root)?;
    let cache = cache(&ctx.config);
    let server = dist_server(&ctx.config, &pin);
    let toolchains = Toolchains {
        pin: &pin,
        host: &ctx.launch.host,
        server: &server,
        cache: &cache,
        patience: patience(ctx),
    };
    let mut progress = Progress::new();
    let toolchain = toolchains.with(component, &Unpacking(ctx), &mut |event| progress.show(event))?;
    drop(progress);
    use_toolchain(ctx, &toolchain);
    Ok(())
}

/// Looks for a component where nothing has to be fetched: beside cargo, on PATH, and in the cache, from where the command then
/// gets its toolchain. Returns whether it is there.
///
/// # Errors
/// Where the pin cannot be read.
pub fn find(ctx: &mut Context, component: Component) -> Result<bool> {
    let launch = &ctx.launch;
    let mut folders: Vec<_> = launch.cargo.parent().map(Path::to_owned).into_iter().collect();
    // What is on PATH belongs to the user's own toolchain: with another compiler it does not work.
    if launch.stage0 == "local" {
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    }
    if component
        .subcommand()
        .is_none_or(|program| is_in(&folders, program))
    {
        return Ok(true);
    }
    if tools_are_the_users(&ctx.config) {
        return Ok(false);
    }
    // A host that has no archives has none in the cache, either.
    let Ok(key) = Pin::read(&ctx.launch.root)?.key_with(component, &ctx.launch.host) else {
        return Ok(false);
    };
    let toolchain = cache(&ctx.config).toolchain(&key);
    let found = toolchain.is_dir();
    if found {
        use_toolchain(ctx, &toolchain);
    }
    Ok(found)
}

/// Whether the configuration says which tools there are, so that none is looked for in the cache.
fn tools_are_the_users(config: &Config) -> bool {
    let build = &config.build;
    build.stage0 == Stage0::Local || build.rustc.is_some() || build.cargo.is_some()
}

fn use_toolchain(ctx: &mut Context, toolchain: &Path) {
    let bin = toolchain.join("bin");
    ctx.launch.cargo = bin.join(program_file("cargo"));
    ctx.launch.rustc = bin.join(program_file("rustc"));
}

/// Removes from the cache what nothing uses any more. The build directory must be held exclusively.
///
/// # Errors
/// Where the pin cannot be read, or something cannot be removed.
pub fn collect(ctx: &Context, extent: Extent) -> Result<Freed> {
    let Some(registry) = Registry::existing(&ctx.config.build.lock_dir)? else {
        return Ok(Freed::default());
    };
    let pin = Pin::read(&ctx.launch.root)?;
    let cache = cache(&ctx.config);
    let toolchains = Toolchains {
        pin: &pin,
        host: &ctx.launch.host,
        server: "",
        cache: &cache,
        patience: patience(ctx),
    };
    let mut progress = Progress::new();
    collect::collect(
        &toolchains,
        &ctx.launch.fingerprint,
        &registry.snapshot()?,
        extent,
        &mut |event| {
            progress.show(event);
        },
    )
}

/// Removes what has not been used for long. Nobody asked for it, so that it can't be done is worth a word and no more.
pub fn collect_old(ctx: &Context) {
    if !ctx.hold.is_exclusive() {
        return;
    }
    match collect(ctx, Extent::Old) {
        Ok(freed) if freed.parts.is_empty() => {}
        Ok(freed) => ctx.shell.status("Freed", collect::HumanBytes(freed.bytes())),
        Err(e) => tracing::warn!(error = %e, "the cache was not swept"),
    }
}

/// Whether a program is in one of these folders, and is no proxy of rustup's.
fn is_in(folders: &[PathBuf], program: &str) -> bool {
    let has_it = |folder: &Path| folder.join(program_file(program)).is_file();
    folders
        .iter()
        .any(|folder| !is_proxy_folder(folder) && has_it(folder))
}

/// Whether a folder holds rustup's proxies: there every component's programs lie, whether it is installed or not.
fn is_proxy_folder(folder: &Path) -> bool {
    folder.join(program_file("rustup")).is_file()
}

fn program_file(name: &str) -> String {
    format!("{name}{}", env::consts::EXE_SUFFIX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_proxy_of_rustups_is_no_component() {
        let toolchain = tempfile::tempdir().unwrap();
        let folders = [toolchain.path().to_owned()];
        assert!(!is_in(&folders, "cargo-fmt"));
        fs::write(toolchain.path().join(program_file("cargo-fmt")), "").unwrap();
        assert!(is_in(&folders, "cargo-fmt"));
        fs::write(toolchain.path().join(program_file("rustup")), "").unwrap();
        assert!(!is_in(&folders, "cargo-fmt"));
    }
}
