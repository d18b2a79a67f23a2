//! The token pool, with real processes.

use process_tests::tokens::{Programs, Site};

// What runs is counted in /proc.
#[cfg(target_os = "linux")]
mod clients;
#[cfg(unix)]
mod crashes;
#[cfg(unix)]
mod joining;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(windows)]
mod semaphore;
#[cfg(unix)]
mod sharing;
#[cfg(target_os = "linux")]
mod turnstile;

fn site(capacity: u32) -> Site {
    let programs = Programs {
        pooled: env!("CARGO_BIN_EXE_pooled"),
        jobs: env!("CARGO_BIN_EXE_jobs"),
    };
    Site::new(programs, capacity)
}
