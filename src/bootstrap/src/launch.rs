//! What the launcher (`x.py`, `bootstrap.py`) found out, and handed over in the environment.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::config::Config;
use crate::error::{Error, Result};

/// The variables by which the launcher speaks to the driver. They are meant for the driver alone: whatever it starts gets
/// none of them, or a nested `./x` would take them for its own.
const VARIABLES: [&str; 11] = [
    "BOOTSTRAP_ROOT",
    "BOOTSTRAP_BUILD_DIR",
    "BOOTSTRAP_FINGERPRINT",
    "BOOTSTRAP_STAGE0",
    "BOOTSTRAP_CARGO",
    "BOOTSTRAP_RUSTC",
    "BOOTSTRAP_RUSTC_VERSION",
    "BOOTSTRAP_HOST",
    "BOOTSTRAP_PYTHON",
    "BOOTSTRAP_RELAUNCHES",
    "BOOTSTRAP_REFUSED",
];

/// What the launcher handed over.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The source root.
    pub root: PathBuf,
    /// The build directory, as the launcher understood the configuration.
    pub build_dir: PathBuf,
    /// Of which sources this driver was built, in hex.
    pub fingerprint: String,
    /// The key of the stage0 toolchain, or `local` for one of the user's own.
    pub stage0: String,
    /// The cargo to use.
    pub cargo: PathBuf,
    /// The compiler to use.
    pub rustc: PathBuf,
    /// The first line of `rustc -vV`, or the version that is pinned.
    pub rustc_version: String,
    /// The host's triple.
    pub host: String,
    /// The Python that ran the launcher.
    pub python: PathBuf,
    /// How often the driver has gone back through the launcher for this command.
    pub relaunches: u32,
    /// What the launcher found wrong in the configuration. It leaves it to the driver to say so, which can point at it.
    pub refused: Option<String>,
}

impl Launch {
    /// Reads the environment.
    ///
    /// # Errors
    /// Where the driver was not started by the launcher.
    pub fn from_environment() -> Result<Self> {
        Self::from(|name| env::var_os(name))
    }

    /// Makes sure that launcher and driver read the configuration alike: they must meet at the same locks.
    ///
    /// # Errors
    /// Where they do not, which is a mistake of ours; or where the launcher refused what the driver takes.
    pub fn must_agree_with(&self, config: &Config) -> Result<()> {
        if let Some(refused) = &self.refused {
            return Err(Error::usage(refused.clone()).advice(
                "the launcher, in Python, reads it otherwise than the driver: write it in another way",
            ));
        }
        if self.build_dir == config.build.build_dir {
            return Ok(());
        }
        Err(Error::bug(format!(
            "the launcher takes `{}` for the build directory, and the driver",
            self.build_dir.display()
        ))
        .at(&config.build.build_dir)
        .advice("`--build-dir` with an absolute path goes around it; please report it"))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let missing = |name: &str| {
            Error::usage(format!("{name} is not set")).advice("start the driver through `./x`, which sets it")
        };
        let path = |name| variable(name).map(PathBuf::from).ok_or_else(|| missing(name));
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let relaunches = text("BOOTSTRAP_RELAUNCHES").and_then(|count| count.parse().ok());
        Ok(Self {
            root: path("BOOTSTRAP_ROOT")?,
            build_dir: path("BOOTSTRAP_BUILD_DIR")?,
            fingerprint: text("BOOTSTRAP_FINGERPRINT").unwrap_or_default(),
            stage0: text("BOOTSTRAP_STAGE0").unwrap_or_else(|| "local".to_owned()),
            cargo: path("BOOTSTRAP_CARGO")?,
            rustc: path("BOOTSTRAP_RUSTC")?,
            rustc_version: text("BOOTSTRAP_RUSTC_VERSION").unwrap_or_default(),
            host: text("BOOTSTRAP_HOST").unwrap_or_default(),
            python: path("BOOTSTRAP_PYTHON")?,
            relaunches: relaunches.unwrap_or(0),
            refused: text("BOOTSTRAP_REFUSED").filter(|refused| !refused.is_empty()),
        })
    }
}

/// Where this process is not the launcher's, but a cargo's that has it start compilers: becomes the compiler. Returns only
/// where it is the launcher's, or where there is no such compiler.
#[must_use]
pub fn stand_before_compiler() -> Option<Error> {
    // A build script may start a `./x` of its own, whose launcher sets this anew.
    #[cfg(unix)]
    if env::var_os("BOOTSTRAP_ROOT").is_none() {
        let error = buildlock::tokens::stand_before_compiler()?;
        return Some(Error::environment("cannot start the compiler").because(error));
    }
    None
}

/// Keeps what the launcher told the driver from what the driver starts.
pub fn forget_launch(command: &mut Command) {
    for name in VARIABLES {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_was_started_by_hand_says_how_to_start_it() {
        let error = Launch::from(|_| None).unwrap_err();
        assert_eq!(error.to_string(), "BOOTSTRAP_ROOT is not set");
        assert!(error.help().unwrap().contains("./x"));
    }

    #[test]
    fn what_may_be_left_out_has_a_default() {
        let launch = Launch::from(|name| match name {
            "BOOTSTRAP_STAGE0" | "BOOTSTRAP_RELAUNCHES" => None,
            _ => Some("/x".into()),
        });
        let launch = launch.unwrap();
        assert_eq!((launch.stage0.as_str(), launch.relaunches), ("local", 0));
    }
}
