//! The token pool, with real processes.

#![cfg(unix)]

use process_tests::tokens::{Programs, Site};

// What runs is counted in /proc.
#[cfg(target_os = "linux")]
mod clients;
mod crashes;
mod joining;
mod sharing;

fn site(capacity: u32) -> Site {
    let programs = Programs {
        pooled: env!("CARGO_BIN_EXE_pooled"),
        jobs: env!("CARGO_BIN_EXE_jobs"),
    };
    Site::new(programs, capacity)
}
