//! Questions to the person at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, Result};

/// How often to look whether a signal came while nothing is typed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether somebody is there to answer.
#[must_use]
pub fn can_ask(ctx: &Context) -> bool {
    io::stdin().is_terminal() && ctx.shell.is_terminal()
}

/// Asks whether to do something. An empty answer is yes.
///
/// # Errors
/// Where the input ends, or a signal came.
pub fn confirm(ctx: &Context, question: &str) -> Result<bool> {
    loop {
        ctx.shell.plain(format_args!("{question} [Y/n]"));
        match answer(ctx)?.to_ascii_lowercase().as_str() {
            "" | "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

/// Asks for one of several, each with a word on what it is. Nothing is chosen with an empty answer.
///
/// # Errors
/// As [`confirm`].
pub fn choose(ctx: &Context, question: &str, choices: &[(String, String)]) -> Result<Option<usize>> {
    loop {
        ctx.shell.plain(question);
        for (number, (name, what)) in choices.iter().enumerate() {
            ctx.shell
                .plain(format_args!("  {}) {name:10} {what}", number + 1));
        }
        ctx.shell.plain("A number or a name; nothing skips this:");
        let answer = answer(ctx)?;
        if answer.is_empty() {
            return Ok(None);
        }
        if let Some(chosen) = chosen(&answer, choices) {
            return Ok(Some(chosen));
        }
    }
}

fn chosen(answer: &str, choices: &[(String, String)]) -> Option<usize> {
    let by_number = answer
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1));
    let by_number = by_number.filter(|index| *index < choices.len());
    by_number.or_else(|| choices.iter().position(|(name, _)| name == answer))
}

/// Reads a line. A read cannot be interrupted, so a thread does it, and is left behind if a signal comes.
fn answer(ctx: &Context) -> Result<String> {
    let (send, line) = mpsc::channel();
    let read = move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        // Nobody listens any more after a signal.
        drop(send.send(read.map(|length| (length > 0).then_some(line))));
    };
    let failed = |e| Error::environment("cannot read the answer").because(e);
    thread::Builder::new()
        .name("answer".to_owned())
        .spawn(read)
        .map_err(failed)?;
    loop {
        ctx.interrupts.check()?;
        match line.recv_timeout(LOOK_EVERY) {
            Ok(Ok(Some(line))) => return Ok(line.trim().to_owned()),
            Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::usage("the input ended before the answer"));
            }
            Ok(Err(e)) => return Err(failed(e)),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_number_or_a_name() {
        let choices = [("dev", ""), ("ci", "")].map(|(name, what)| (name.to_owned(), what.to_owned()));
        for (answer, expected) in [
            ("1", Some(0)),
            ("ci", Some(1)),
            ("0", None),
            ("3", None),
            ("other", None),
        ] {
            assert_eq!(chosen(answer, &choices), expected, "{answer}");
        }
    }
}
