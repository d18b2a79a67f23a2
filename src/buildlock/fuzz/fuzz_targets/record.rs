//! Fuzzes bytes of a record file: `cargo +nightly fuzz run record`, in the folder of `buildlock`.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::record(bytes));
