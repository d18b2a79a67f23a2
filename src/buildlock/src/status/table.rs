//! The status as a table, for people.

use std::fmt;

use super::columns::write_columns;
use super::{Entry, Process, Snapshot};
use crate::queue::State;
use crate::session::HumanDuration;

const HEADER: [&str; 8] = [
    "TICKET",
    "MODE",
    "STATE",
    "WAITS FOR",
    "PID",
    "ELAPSED",
    "COMMAND",
    "DIRECTORY",
];

/// A row for each claim, then what else a person should know.
///
/// ```text
/// TICKET  MODE       STATE    WAITS FOR  PID   ELAPSED  COMMAND    DIRECTORY
/// 17      exclusive  granted  -          4242  3m12s    ./x build  /src/rust
/// 18      shared     waiting  17         4250  4s       ./x check  /src/rust
/// ```
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            writeln!(f, "no session in {}", self.folder.display())?;
        } else {
            let rows: Vec<_> = self.entries.iter().map(row).collect();
            write_columns(f, HEADER, &rows)?;
        }
        for entry in self.entries.iter().filter(|e| e.process == Process::Gone) {
            let writers = match entry.writers.as_slice() {
                [] => "a process that cannot be seen from here".to_owned(),
                writers => writers
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            writeln!(
                f,
                "session {}: driver gone, still written to by {writers}",
                entry.ticket
            )?;
        }
        for entry in self.entries.iter().filter(|e| e.process == Process::Stopped) {
            // A command's process is in its caller's group: to wake the one and not the other would help nobody.
            let or_kill = entry
                .stopped_group
                .map_or_else(String::new, |group| format!(" or `kill -CONT -{group}`"));
            writeln!(
                f,
                "session {}: its process is stopped (Ctrl-Z?); `fg`{or_kill} lets it go on",
                entry.ticket
            )?;
        }
        for entry in self.entries.iter().filter(|e| e.record.is_none()) {
            writeln!(
                f,
                "session {}: alive, but its record cannot be read; others wait for it",
                entry.ticket
            )?;
        }
        if let Some(mutator) = &self.unfinished {
            let (command, pid) = (mutator.command_line(), mutator.who.pid);
            writeln!(
                f,
                "unfinished: {command} (pid {pid}) held the lock exclusively and did not finish: it died, or its session was \
                 broken"
            )?;
        }
        Ok(())
    }
}

fn row(entry: &Entry) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let record = entry.record.as_ref();
    let state = record.map(|r| match r.claim.state {
        State::Waiting => "waiting".to_owned(),
        State::Granted => "granted".to_owned(),
    });
    [
        entry.ticket.to_string(),
        or_dash(record.map(|r| r.claim.mode.to_string())),
        or_dash(state),
        or_dash(entry.waits_for.map(|t| t.to_string())),
        or_dash(record.map(|r| r.who.pid.to_string())),
        or_dash(record.map(|r| HumanDuration(r.age()).to_string())),
        or_dash(record.map(crate::Record::command_line)),
        or_dash(record.map(|r| r.who.directory.display().to_string())),
    ]
}
