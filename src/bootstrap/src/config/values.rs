//! The types that configuration values have, and how they are read from text.
//!
//! The names that a user writes are those that [`clap::ValueEnum`] gives, so the file and the command line
//! agree.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

/// How commands exclude each other: `build.lock-mode`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Readers run side by side, mutators alone.
    #[default]
    ReadWrite,
    /// Every command runs alone.
    Exclusive,
    /// Nobody waits for anybody, and outputs may break.
    Off,
}

/// Where cargo's target directories lie: `build.target-dir`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetDir {
    /// One for each workspace, so that their locks and their lock files never meet.
    #[default]
    PerWorkspace,
    /// One for all, so that what they have in common is built once.
    Shared,
}

/// Where the toolchain comes from: `build.stage0`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage0 {
    /// The one on PATH when it is new enough, else the pinned one.
    #[default]
    Auto,
    /// The pinned one.
    Download,
    /// The one on PATH; nothing is ever downloaded.
    Local,
}

/// The kind of jobserver that children get: `build.jobserver`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jobserver {
    /// Whichever the children understand.
    #[default]
    Auto,
    /// An anonymous pipe, which every make understands.
    Pipe,
    /// A named fifo, which ninja needs.
    Fifo,
    /// None; each child counts for itself.
    Off,
}

/// Whether the editor builds where the terminal does: `build.editor-build-dir`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EditorBuildDir {
    /// In the same build directory.
    #[default]
    Shared,
    /// In one of its own.
    Separate,
}

/// How many jobs may run at once: `build.jobs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jobs {
    /// As many as this process may use processors.
    #[default]
    Auto,
    /// This many.
    Count(NonZeroU32),
}

/// How long to wait for the lock: `build.lock-timeout`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockTimeout {
    /// For ever.
    #[default]
    Never,
    /// This long; zero does not wait at all.
    After(Duration),
}

/// When a preemptible reader makes room for a mutator: `build.preempt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preempt {
    /// At once.
    #[default]
    Now,
    /// When it has had this long to finish.
    After(Duration),
    /// Not at all.
    Never,
}

/// Who shares job tokens: `build.job-pool`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JobPool {
    /// Every build of this user on this machine.
    #[default]
    User,
    /// The builds in this build directory.
    BuildDir,
    /// The builds that name the same folder, which is absolute here.
    Path(PathBuf),
}

/// Below how much free memory no further job starts: `build.min-free-memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFreeMemory {
    /// Memory is not looked at.
    Off,
    /// This many bytes.
    Bytes(u64),
}

impl Default for MinFreeMemory {
    fn default() -> Self {
        Self::Bytes(512 << 20)
    }
}

/// What a text should have been; shown after "expected".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub &'static str);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for Expected {}

impl LockTimeout {
    pub(crate) const EXPECTED: Expected = Expected("a number of seconds, or \"never\"");
}

impl FromStr for LockTimeout {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text == "never" {
            return Ok(Self::Never);
        }
        seconds(text).map(Self::After).ok_or(Self::EXPECTED)
    }
}

impl Preempt {
    pub(crate) const EXPECTED: Expected = Expected("\"now\", \"after SECONDS\" or \"never\"");
}

impl FromStr for Preempt {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        match text {
            "now" => Ok(Self::Now),
            "never" => Ok(Self::Never),
            _ => text
                .strip_prefix("after ")
                .and_then(|rest| seconds(rest.trim()))
                .map(Self::After)
                .ok_or(Self::EXPECTED),
        }
    }
}

impl MinFreeMemory {
    pub(crate) const EXPECTED: Expected = Expected("a size such as \"512MiB\" or \"2GiB\", or \"off\"");
}

impl FromStr for MinFreeMemory {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(Self::EXPECTED)?;
        let (number, unit) = text.split_at(split);
        let shift = match unit.trim_start() {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(Self::EXPECTED),
        };
        let number: u64 = number.parse().map_err(|_| Self::EXPECTED)?;
        number
            .checked_mul(1 << shift)
            .map(Self::Bytes)
            .ok_or(Self::EXPECTED)
    }
}

/// Reads a count of seconds, which may have a fraction.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!("0".parse(), Ok(LockTimeout::After(Duration::ZERO)));
        assert_eq!("0.25".parse(), Ok(LockTimeout::After(Duration::from_millis(250))));
        assert_eq!("never".parse(), Ok(LockTimeout::Never));
        for bad in [
            "",
            "-1",
            "nan",
            "inf",
            "5s",
            "1.2.3",
            ".",
            "99999999999999999999999",
        ] {
            assert_eq!(bad.parse::<LockTimeout>(), Err(LockTimeout::EXPECTED), "{bad}");
        }
    }

    #[test]
    fn preempt_names_when() {
        assert_eq!("now".parse(), Ok(Preempt::Now));
        assert_eq!("after 2".parse(), Ok(Preempt::After(Duration::from_secs(2))));
        assert_eq!("never".parse(), Ok(Preempt::Never));
        for bad in ["after", "after ", "after two", "later", "2"] {
            assert_eq!(bad.parse::<Preempt>(), Err(Preempt::EXPECTED), "{bad}");
        }
    }

    #[test]
    fn sizes_need_a_binary_unit() {
        assert_eq!("512MiB".parse(), Ok(MinFreeMemory::default()));
        assert_eq!("2 GiB".parse(), Ok(MinFreeMemory::Bytes(2 << 30)));
        assert_eq!("off".parse(), Ok(MinFreeMemory::Off));
        for bad in ["512", "MiB", "1MB", "-1MiB", "1.5GiB", "99999999999999GiB"] {
            assert_eq!(
                bad.parse::<MinFreeMemory>(),
                Err(MinFreeMemory::EXPECTED),
                "{bad}"
            );
        }
    }
}
