//! The rules of `./x tidy`: what the compiler and its lints do not see.
//!
//! Any workspace is held to what nobody could object to: no half-finished merge, one kind of line end in a file. The rest
//! are this repository's own rules, and only the source root is held to them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

mod code;
mod files;
mod repository;
mod rust;
mod text;

/// How large a text file may be to be looked at, in bytes. Larger ones are data.
const SIZE_MAX: u64 = 1 << 20;

/// Which rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Those of this repository.
    Own,
    /// Those that nobody could object to.
    Generic,
}

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, relative to the folder that was looked at.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {} [{}]", self.what, self.rule)
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many text files were read.
    pub files: usize,
    /// What breaks a rule, by file and line.
    pub findings: Vec<Finding>,
}

/// Looks at all sources below a folder. `skip` is what lies in it and is not source: the build directory.
///
/// # Errors
/// Where the files cannot be listed or read.
pub fn look(folder: &Path, skip: &Path, rules: Rules) -> Result<Report> {
    let mut report = Report::default();
    for file in files::sources(folder, skip)? {
        let Some(content) = read(&folder.join(&file))? else {
            continue;
        };
        report.files += 1;
        let source = Source {
            file: &file,
            content: &content,
        };
        text::look(&source, rules, &mut report.findings);
        if source.has_extension("rs") {
            rust::look(&source, rules, &mut report.findings);
        }
    }
    if rules == Rules::Own {
        repository::look(folder, &mut report.findings);
    }
    report.findings.sort();
    Ok(report)
}

/// A text file that is looked at.
struct Source<'a> {
    file: &'a Path,
    content: &'a str,
}

impl Source<'_> {
    fn has_extension(&self, extension: &str) -> bool {
        self.file.extension().is_some_and(|its| its == extension)
    }

    fn finding(&self, line: usize, rule: &'static str, what: impl Into<String>) -> Finding {
        Finding {
            file: self.file.to_owned(),
            line,
            rule,
            what: what.into(),
        }
    }
}

/// A file's text; nothing where it is none, or went away meanwhile.
fn read(path: &Path) -> Result<Option<String>> {
    let failed = |e| Error::io("cannot read", path, e);
    match fs::symlink_metadata(path) {
        // What a link leads to is looked at where it lies.
        Ok(metadata) if !metadata.is_file() || metadata.len() > SIZE_MAX => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(failed)?,
    };
    let bytes = fs::read(path).map_err(failed)?;
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
}

#[cfg(test)]
mod tests;
