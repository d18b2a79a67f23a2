//! What a person sees of a wait, for the lock or for a job token: one line on stderr.
//!
//! On a terminal it is kept up to date in place, and gone when the wait is over. In a pipe it is printed once.

use std::fmt;
use std::io::{self, Write as _};

use crate::shell::Shell;

/// Back to the first column, and clear what stands there.
const CLEAR: &str = "\r\x1b[K";

/// How wide a terminal is taken to be that does not say.
const COLUMNS: usize = 80;

/// The line.
#[derive(Debug)]
pub(crate) struct WaitLine {
    in_place: bool,
    shown: bool,
}

impl WaitLine {
    pub(crate) fn new(shell: Shell) -> Self {
        Self {
            in_place: shell.is_terminal(),
            shown: false,
        }
    }

    /// Shows what is waited for now.
    pub(crate) fn update(&mut self, waiting: &impl fmt::Display) {
        let line = text(waiting);
        if self.in_place {
            let columns = terminal_size::terminal_size_of(io::stderr())
                .map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns.into());
            print(&format!("{CLEAR}{}", cut(&line, columns)));
        } else if !self.shown {
            print(&format!("{line}\n"));
        }
        self.shown = true;
    }
}

impl Drop for WaitLine {
    fn drop(&mut self) {
        if self.in_place && self.shown {
            print(CLEAR);
        }
    }
}

fn text(waiting: &impl fmt::Display) -> String {
    format!("waiting for {waiting}. Ctrl-C gives up; ./x lock status shows all")
}

/// Cuts a line so that it leaves the last column free: a line that is as wide as the terminal would wrap on some, and a
/// wrapped line cannot be cleared.
fn cut(line: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1);
    if line.chars().count() <= room {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn print(text: &str) {
    // One write, so that a line of another process does not come in between. That it fails is no reason not to wait.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_whom_how_to_give_up_and_where_to_see_more() {
        let waiting = "./x build (pid 4242, running 3m12s, exclusive); 1 ahead";
        assert_eq!(
            text(&waiting),
            "waiting for ./x build (pid 4242, running 3m12s, exclusive); 1 ahead. \
             Ctrl-C gives up; ./x lock status shows all"
        );
    }

    #[test]
    fn a_line_never_reaches_the_last_column() {
        assert_eq!(cut("123456789", 10), "123456789");
        assert_eq!(cut("1234567890", 10), "12345678…");
        assert_eq!(cut("1234567890", 1), "…");
    }
}
