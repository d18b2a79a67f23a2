//! Memory pressure: when it is high no further token is leased, so that twenty linkers do not start at once.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How old a reading may be.
const AGE_MAX: Duration = Duration::from_millis(250);

/// When to lease no further token. The first one of a build is always leased.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// The highest share of the last ten seconds, in per cent, in which some task had to wait for memory; nothing to
    /// ignore that.
    pub stall_percent_max: Option<f64>,
    /// The least memory that must be left for new programs, in bytes; nothing to ignore that.
    pub available_bytes_min: Option<u64>,
}

impl MemoryLimits {
    /// Lease whatever is free, however little memory is left.
    pub const OFF: Self = Self {
        stall_percent_max: None,
        available_bytes_min: None,
    };

    /// With another least amount of memory that must be left, in bytes.
    #[must_use]
    pub fn with_available_bytes_min(self, bytes: u64) -> Self {
        Self {
            available_bytes_min: Some(bytes),
            ..self
        }
    }

    /// Why no further token should be leased, for people to read; nothing if one may be.
    #[must_use]
    pub fn refuse(&self, reading: &MemoryReading) -> Option<String> {
        if let (Some(max), Some(stall)) = (self.stall_percent_max, reading.stall_percent)
            && stall > max
        {
            return Some(format!("tasks wait for memory {stall:.0} % of the time"));
        }
        if let (Some(min), Some(available)) = (self.available_bytes_min, reading.available_bytes)
            && available < min
        {
            let (available, min) = (mebibytes(available), mebibytes(min));
            return Some(format!(
                "only {available} MiB of memory are left, below {min} MiB"
            ));
        }
        None
    }
}

impl Default for MemoryLimits {
    /// A fifth of the time spent waiting for memory is thrashing, and a linker needs half a gibibyte.
    fn default() -> Self {
        Self {
            stall_percent_max: Some(20.0),
            available_bytes_min: Some(512 << 20),
        }
    }
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

/// How the machine's memory stands.
///
/// # Platform notes
/// Read on Linux only (`/proc/pressure/memory`, where the kernel keeps it, and `/proc/meminfo`); unknown elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryReading {
    /// The share of the last ten seconds, in per cent, in which some task had to wait for memory.
    pub stall_percent: Option<f64>,
    /// The memory that is left for new programs, in bytes.
    pub available_bytes: Option<u64>,
}

impl MemoryReading {
    /// How it stands now.
    #[must_use]
    pub fn now() -> Self {
        if !cfg!(target_os = "linux") {
            return Self::default();
        }
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            stall_percent: stall_percent(&read("/proc/pressure/memory")),
            available_bytes: available_bytes(&read("/proc/meminfo")),
        }
    }
}

/// From the line `some avg10=0.12 avg60=…` (Documentation/accounting/psi.rst of the kernel).
fn stall_percent(pressure: &str) -> Option<f64> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let average = some
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    average.parse().ok()
}

/// From the line `MemAvailable:   23487304 kB` (proc(5)).
fn available_bytes(meminfo: &str) -> Option<u64> {
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = available.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What the machine's memory allows, looked up now and then.
#[derive(Debug)]
pub(super) struct MemoryGuard {
    limits: MemoryLimits,
    looked: Option<Instant>,
    refuses: bool,
}

impl MemoryGuard {
    pub(super) fn new(limits: MemoryLimits) -> Self {
        Self {
            limits,
            looked: None,
            refuses: false,
        }
    }

    pub(super) fn refuses(&mut self, now: Instant) -> bool {
        if self.limits == MemoryLimits::OFF {
            return false;
        }
        if self.looked.is_none_or(|then| now.duration_since(then) >= AGE_MAX) {
            self.looked = Some(now);
            let why = self.limits.refuse(&MemoryReading::now());
            if why.is_some() != self.refuses {
                tracing::info!(why, "memory pressure on the token pool has changed");
            }
            self.refuses = why.is_some();
        }
        self.refuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let pressure =
            "some avg10=12.50 avg60=3.00 avg300=1.00 total=7\nfull avg10=99.00 avg60=0 avg300=0 total=0\n";
        assert_eq!(stall_percent(pressure), Some(12.5));
        assert_eq!(
            available_bytes("MemTotal: 1 kB\nMemAvailable:   2 kB\n"),
            Some(2048)
        );
        for nonsense in [
            "",
            "some",
            "some avg10=x",
            "MemAvailable: 1",
            "MemAvailable: 99999999999999999999 kB",
        ] {
            assert_eq!(stall_percent(nonsense), None);
            assert_eq!(available_bytes(nonsense), None);
        }
    }

    #[test]
    fn pressure_and_scarcity_refuse_and_what_is_unknown_does_not() {
        let limits = MemoryLimits::default();
        let reading = |stall_percent, available_bytes| MemoryReading {
            stall_percent,
            available_bytes,
        };
        assert_eq!(limits.refuse(&reading(Some(1.0), Some(1 << 34))), None);
        assert_eq!(limits.refuse(&MemoryReading::default()), None);
        assert_eq!(
            limits.refuse(&reading(Some(34.6), Some(1 << 34))).unwrap(),
            "tasks wait for memory 35 % of the time"
        );
        assert_eq!(
            limits.refuse(&reading(Some(0.0), Some(100 << 20))).unwrap(),
            "only 100 MiB of memory are left, below 512 MiB"
        );
        assert_eq!(MemoryLimits::OFF.refuse(&reading(Some(99.0), Some(0))), None);
    }
}
