//! Real clients: cargo with rustc, GNU make, ninja.
