//! Fuzzes a folder full of anything, and what sessions do in it: `cargo +nightly fuzz run folder`, in the folder of `buildlock`.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::folder(bytes));
