//! Fuzzes the text of `BUILDLOCK_SESSION`: `cargo +nightly fuzz run environment`, in the folder of `buildlock`.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::environment(bytes));
