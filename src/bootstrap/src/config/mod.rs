//! What `bootstrap.toml`, its includes, its profile and the command line say together.
//!
//! [`Config`] is the outcome: every key with its type, every path absolute. From strongest to weakest, a key
//! comes from a flag of its own, `--set` (a later one beats an earlier one), the file, the files that it
//! includes (a later one beats an earlier one), the profile's defaults, and the defaults here.

use std::path::PathBuf;

use clap::ColorChoice;

use crate::flags::Global;

pub mod change_tracker;
mod diagnostic;
pub mod example;
mod keys;
mod layer;
mod load;
mod paths;
mod resolve;
mod value;
mod values;

pub use diagnostic::ConfigError;
pub use keys::{KEYS, SECTIONS};
pub use load::{Surroundings, profile_names};
pub use values::{
    EditorBuildDir, Expected, JobPool, Jobs, Jobserver, LockMode, LockTimeout, MinFreeMemory, Preempt,
    Stage0, TargetDir,
};

/// The resolved configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The source root, which relative paths in the configuration start from.
    pub root: PathBuf,
    /// The configuration file, unless there is none.
    pub file: Option<PathBuf>,
    /// `change-id`: up to which change of the configuration the user has read.
    pub change_id: Option<ChangeId>,
    /// `profile`: the set of defaults that the user starts from.
    pub profile: Option<String>,
    /// `[build]`
    pub build: Build,
    /// `[install]`
    pub install: Install,
    /// `[dist]`
    pub dist: Dist,
}

impl Config {
    /// Finds and reads the configuration, and puts the flags on top.
    ///
    /// # Errors
    ///
    /// Returns everything that is wrong with it, as text for the user. That is a mistake in usage: exit code
    /// 2.
    pub fn load(around: &Surroundings, flags: &Global) -> Result<Self, ConfigError> {
        let found = load::find(around, flags.config.as_deref());
        let loaded = load::load(around, found, &flags.set)?;
        resolve::resolve(around, flags, loaded)
    }
}

/// The value of `change-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeId {
    /// `"ignore"`: tell me nothing.
    Ignore,
    /// I know of everything up to this one.
    Id(u32),
}

/// The section `[build]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// `build-dir`: where everything goes; absolute.
    pub build_dir: PathBuf,
    /// `workspaces`: the folders of the Cargo workspaces that commands act on; absolute, never empty.
    pub workspaces: Vec<PathBuf>,
    /// `rustc`: the compiler to use instead of stage0's; absolute, or a bare name to be found on PATH.
    pub rustc: Option<PathBuf>,
    /// `cargo`: the cargo to use instead of stage0's; absolute, or a bare name to be found on PATH.
    pub cargo: Option<PathBuf>,
    /// `cargo-profile`: the cargo profile that commands build with, except `bench`, `dist` and `install`.
    pub cargo_profile: String,
    /// `jobs`: the capacity of the pool. `-j` caps only the share of one session, so it stays in the flags.
    pub jobs: Jobs,
    /// `jobserver`: the kind of jobserver that children get.
    pub jobserver: Jobserver,
    /// `job-pool`: who shares job tokens.
    pub job_pool: JobPool,
    /// `min-free-memory`: below how much free memory no further job starts.
    pub min_free_memory: MinFreeMemory,
    /// `lock-mode`: how commands exclude each other.
    pub lock_mode: LockMode,
    /// `lock-timeout`, `--lock-timeout`, or zero under `--no-wait`.
    pub lock_timeout: LockTimeout,
    /// `lock-dir`: the registry of sessions; absolute.
    pub lock_dir: PathBuf,
    /// `cache-dir`: downloads, toolchains and drivers; absolute.
    pub cache_dir: PathBuf,
    /// `target-dir`: one cargo target directory for each workspace, or one for all.
    pub target_dir: TargetDir,
    /// `stage0`: where the toolchain comes from.
    pub stage0: Stage0,
    /// `dist-server`: where archives are downloaded from, as written. `RUSTUP_DIST_SERVER`, then
    /// `src/stage0`, name it when this is absent.
    pub dist_server: Option<String>,
    /// `preempt`: when a preemptible reader makes room for a mutator.
    pub preempt: Preempt,
    /// `editor-build-dir`: whether the editor builds where the terminal does.
    pub editor_build_dir: EditorBuildDir,
    /// `color`, or `--color`.
    pub color: ColorChoice,
    /// `verbose`, or the number of `-v` where that is more.
    pub verbose: u8,
}

/// The section `[install]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// `prefix`: what `install` installs below; absolute.
    pub prefix: PathBuf,
    /// `bindir`: where programs go; absolute, given relative to the prefix.
    pub bindir: PathBuf,
}

/// The section `[dist]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dist {
    /// `name`: what archives are called, before the version. The source root's folder when it is absent.
    pub name: Option<String>,
    /// `cargo-profile`: the cargo profile that `dist` and `install` build with.
    pub cargo_profile: String,
    /// `compression-level`: of xz, from 0 to 9.
    pub compression_level: u32,
}

#[cfg(test)]
mod tests;
