//! Journals: one file for each process, one line of JSON for each note.
//!
//! A line is one `write` to a file that only its process appends to, so a kill leaves whole lines, or at most cuts the last.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use buildlock::Mode;
use serde::{Deserialize, Serialize};

use crate::clock::now_ns;

/// What a process notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// It is about to ask for a claim, the `claim`th of this process.
    Asks {
        /// Counts the claims of this process.
        claim: u32,
        /// What it asks for.
        mode: Mode,
        /// The sessions that its environment names.
        ancestors: Vec<u64>,
        /// Its session, where it holds something already: then this is an upgrade, or the shared end of a downgrade.
        session: Option<u64>,
    },
    /// The claim has been granted.
    Granted {
        /// Which one.
        claim: u32,
        /// Its session's name.
        session: u64,
        /// Its ticket.
        ticket: u64,
    },
    /// The claim was refused, and is not registered any more.
    Refused {
        /// Which one.
        claim: u32,
        /// Why, unless it was only a timeout.
        error: Option<String>,
    },
    /// It is about to let go of the claim.
    LetsGo {
        /// Which one.
        claim: u32,
    },
    /// It works for this session, whose lock it was lent.
    Works {
        /// The session.
        session: u64,
    },
    /// It is about to kill this process.
    Kills {
        /// The process.
        actor: String,
    },
    /// It is about to kill itself.
    Dies,
}

/// A note and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written.
    pub ns: u64,
    /// What it says.
    pub note: Note,
}

/// The journal of the process that writes it.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Starts the journal of `actor`.
    ///
    /// # Errors
    /// Where the file cannot be made, or is there already.
    pub fn start(folder: &Path, actor: &str) -> io::Result<Self> {
        let path = folder.join(actor);
        File::options().append(true).create_new(true).open(path).map(Self)
    }

    /// Writes a note down.
    ///
    /// # Errors
    /// Where that fails: a storm without its journals shows nothing.
    pub fn note(&mut self, note: Note) -> io::Result<()> {
        let line = Line { ns: now_ns(), note };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.0.write_all(text.as_bytes())
    }
}

/// Reads all journals of a folder: for each process, its name and its lines.
///
/// # Errors
/// Where one cannot be read, or a line other than its last makes no sense.
pub fn read_all(folder: &Path) -> io::Result<Vec<(String, Vec<Line>)>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let text = std::fs::read_to_string(entry.path())?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines: Result<Vec<_>, _> = whole.lines().map(serde_json::from_str).collect();
        journals.push((entry.file_name().to_string_lossy().into_owned(), lines?));
    }
    journals.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(journals)
}
