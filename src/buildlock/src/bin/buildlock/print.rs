//! Printing: results to stdout, notes for people to stderr. The only place that does.

use std::io::{ErrorKind, Write, stderr, stdout};

use crate::{EXIT_OURS, Failure};

/// What a shell shows of a program that `SIGPIPE` ended: Rust's have that signal ignored.
const EXIT_BROKEN_PIPE: u8 = 128 + 13;

/// Prints a line for people.
pub(crate) fn note(text: &str) {
    // Nothing can be said where even this cannot be printed.
    drop(writeln!(stderr(), "buildlock: {text}"));
}

/// Prints a result, as it is.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    let mut stdout = stdout();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(|e| match e.kind() {
        // Whoever read this has seen enough: `watch | head`.
        ErrorKind::BrokenPipe => Failure {
            text: String::new(),
            code: EXIT_BROKEN_PIPE,
        },
        _ => Failure {
            text: format!("cannot print the result: {e}"),
            code: EXIT_OURS,
        },
    })
}
