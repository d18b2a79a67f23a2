//! The pool as a table, for people.

use std::fmt;

use super::{PoolEntry, PoolSnapshot};
use crate::session::HumanDuration;
use crate::status::columns::write_columns;

const HEADER: [&str; 8] = [
    "BUILD",
    "TOKENS",
    "WANTS",
    "SHARE",
    "PID",
    "ELAPSED",
    "COMMAND",
    "DIRECTORY",
];

/// What there is, then a row for each build.
///
/// ```text
/// job tokens: 8, 1 free
/// BUILD  TOKENS  WANTS  SHARE  PID   ELAPSED  COMMAND    DIRECTORY
/// 17     6       6      6      4242  3m12s    ./x build  /src/rust
/// 18     1       3      2      4250  4s       ./x check  /src/rust
/// ```
impl fmt::Display for PoolSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job tokens: {}, {} free", self.capacity, self.free)?;
        match &self.refused {
            Some(why) => writeln!(f, "; a build gets no more than one while {why}")?,
            None => writeln!(f)?,
        }
        if self.entries.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = self.entries.iter().map(row).collect();
        write_columns(f, HEADER, &rows)
    }
}

fn row(entry: &PoolEntry) -> [String; 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let record = entry.record.as_ref();
    [
        entry.ticket.to_string(),
        entry.lease.held.to_string(),
        entry.lease.wanted.to_string(),
        entry.fair_share.to_string(),
        or_dash(record.map(|r| r.who.pid.to_string())),
        or_dash(record.map(|r| HumanDuration(r.age()).to_string())),
        or_dash(record.map(crate::Record::command_line)),
        or_dash(record.map(|r| r.who.directory.display().to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use crate::queue::Ticket;
    use crate::record::Lease;
    use crate::record::tests::sample;
    use crate::tokens::memory::MemoryReading;

    use super::*;

    #[test]
    fn the_pool_is_shown_with_who_holds_and_wants_what() {
        let entry = |ticket, held, wanted, fair_share| PoolEntry {
            ticket: Ticket(ticket),
            record: None,
            lease: Lease {
                held,
                wanted,
                cap: 8,
                weight: 4,
                capacity: 8,
            },
            fair_share,
        };
        let mut named = entry(17, 6, 6, 6);
        named.record = Some(sample(17));
        let mut snapshot = PoolSnapshot {
            folder: "/run/pool".into(),
            capacity: 8,
            free: 1,
            entries: vec![named, entry(18, 1, 3, 2)],
            memory: MemoryReading::default(),
            refused: None,
        };
        let shown = snapshot.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "job tokens: 8, 1 free");
        assert!(lines[1].starts_with("BUILD  TOKENS  WANTS  SHARE  PID   ELAPSED"));
        assert!(
            lines[2].starts_with("17     6       6      6      4242  ")
                && lines[2].ends_with("x.py build  /src")
        );
        assert_eq!(
            lines[3].split_whitespace().collect::<Vec<_>>(),
            ["18", "1", "3", "2", "-", "-", "-", "-"]
        );
        snapshot.refused = Some("tasks wait for memory 35 % of the time".to_owned());
        snapshot.entries.clear();
        assert_eq!(
            snapshot.to_string(),
            "job tokens: 8, 1 free; a build gets no more than one while tasks wait for memory 35 % of the time\n"
        );
    }
}
