//! Printing: results to stdout, notes for people to stderr. The only place that does.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place that prints"
)]

/// Prints a line for people.
pub(crate) fn note(text: &str) {
    eprintln!("buildlock: {text}");
}

/// Prints a result, as it is.
pub(crate) fn result(text: &str) {
    print!("{text}");
}
