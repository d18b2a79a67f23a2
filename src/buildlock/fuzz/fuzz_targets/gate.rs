//! Fuzzes bytes of a gate file: `cargo +nightly fuzz run gate`, in the folder of `buildlock`.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::gate(bytes));
