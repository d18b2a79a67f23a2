//! Counts tests, from what their programs print.

use std::fmt;
use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How many tests passed, failed and were ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that passed.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were not run because their source says so.
    pub ignored: u64,
}

impl Tally {
    /// Adds what a line of output says, if it is the last line of a program of Rust's own test harness:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    pub fn read_line(&mut self, line: &[u8]) {
        let Some(result) = line.strip_prefix(b"test result: ") else {
            return;
        };
        let Ok(result) = std::str::from_utf8(result) else {
            return;
        };
        for part in result.split(';') {
            let mut words = part.split_whitespace().rev();
            let (what, count) = (words.next(), words.next().and_then(|n| n.parse::<u64>().ok()));
            match (what, count) {
                (Some("passed"), Some(count)) => self.passed += count,
                (Some("failed"), Some(count)) => self.failed += count,
                (Some("ignored"), Some(count)) => self.ignored += count,
                _ => {}
            }
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.ignored {
            0 => Ok(()),
            ignored => write!(f, ", {ignored} ignored"),
        }
    }
}

/// Passes a stream on, and counts.
#[derive(Debug)]
pub(crate) struct Counting {
    tally: Arc<Mutex<Tally>>,
    /// Closed when the stream has ended.
    ended: Receiver<()>,
}

/// How long a stream may go on after the program that was started has ended: a test may have left something running that
/// holds on to it for ever.
const PATIENCE: Duration = Duration::from_secs(1);

impl Counting {
    /// Starts to pass `from` on to `to`.
    pub(crate) fn start(from: impl Read + Send + 'static, to: impl Write + Send + 'static) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let (end, ended) = mpsc::channel();
        let counted = Arc::clone(&tally);
        thread::spawn(move || {
            pass_on(from, to, |line| {
                counted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .read_line(line);
            });
            drop(end);
        });
        Self { tally, ended }
    }

    /// What was counted by the end of the stream.
    pub(crate) fn end(self) -> Tally {
        // Nothing is ever sent: either the sender is dropped, or patience ends.
        let _ = self.ended.recv_timeout(PATIENCE);
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies piece by piece, as it comes, because a test that hangs is the one whose line is not complete.
fn pass_on(mut from: impl Read, mut to: impl Write, mut line_read: impl FnMut(&[u8])) {
    let mut piece = [0; 16 * 1024];
    let mut line = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut piece) {
        // Where nobody reads any more the tests need not go on: they see it as we do, by a closed pipe.
        if to.write_all(&piece[..length]).and_then(|()| to.flush()).is_err() {
            return;
        }
        for part in piece[..length].split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(&part[..part.len().min(LINE_MAX)]);
            if part.ends_with(b"\n") {
                line_read(&line);
                line.clear();
            }
            line.truncate(LINE_MAX);
        }
    }
}

/// The most that is kept of a line, in bytes. A result is short.
const LINE_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_harness_s_last_lines_count() {
        let mut tally = Tally::default();
        for line in [
            "running 5 tests",
            "test a ... ok",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: \u{1b}[31mFAILED\u{1b}[m. 2 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out",
            "test result: what?",
        ] {
            tally.read_line(line.as_bytes());
        }
        assert_eq!(tally.to_string(), "6 passed, 3 failed, 1 ignored");
    }

    /// Gives its bytes in small pieces, as a pipe may.
    struct Pieces(&'static [u8]);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(7);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_counted_and_all_is_passed_on() {
        let output = b"\ntest result: ok. 2 passed; 0 failed; 0 ignored\nmore";
        let (mut copy, mut tally) = (Vec::new(), Tally::default());
        pass_on(Pieces(output), &mut copy, |line| tally.read_line(line));
        assert_eq!(copy, output);
        assert_eq!(tally.passed, 2);
    }
}
