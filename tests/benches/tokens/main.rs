//! What the token pool is worth, and what it costs: `cargo bench -p process-tests --bench tokens [-- PART...]`.
//!
//! Parts: `storm` (killed builds), `fairness` (who runs how much), `simulated` (many processors), `makespan` (two real
//! builds side by side), `cost` (the broker's own time). All of them unless some are named. Run it on an idle machine:
//! `makespan` and `cost` measure the machine as much as the pool. `ROUNDS=n` sets how often real builds are repeated; 5
//! unless set.

#![cfg_attr(
    target_os = "linux",
    expect(clippy::print_stdout, reason = "it prints what it measured")
)]

#[cfg(target_os = "linux")]
mod builds;
#[cfg(target_os = "linux")]
mod cost;
#[cfg(target_os = "linux")]
mod fairness;
#[cfg(target_os = "linux")]
mod makespan;
#[cfg(target_os = "linux")]
mod simulated;
#[cfg(target_os = "linux")]
mod storm;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    let named: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let parts: [(&str, fn()); 5] = [
        ("storm", storm::run),
        ("fairness", fairness::run),
        ("simulated", simulated::run),
        ("makespan", makespan::run),
        ("cost", cost::run),
    ];
    for (name, run) in parts {
        if named.is_empty() || named.iter().any(|n| n == name) {
            run();
        }
    }
}

#[cfg(target_os = "linux")]
fn site(capacity: u32) -> process_tests::tokens::Site {
    let programs = process_tests::tokens::Programs {
        pooled: env!("CARGO_BIN_EXE_pooled"),
        jobs: env!("CARGO_BIN_EXE_jobs"),
    };
    process_tests::tokens::Site::new(programs, capacity)
}

#[cfg(target_os = "linux")]
fn rounds() -> usize {
    std::env::var("ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5)
}

/// The value that a part (0 to 1) of all is below or at.
#[cfg(target_os = "linux")]
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[at]
}
