//! What changed in the configuration since a user last looked: the meaning of `change-id`.
//!
//! A change that makes an old `bootstrap.toml` mean something else gets a number here. A user who has read up
//! to a number says so with `change-id`, and is told once of every later change.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ChangeId;

/// One change of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Its number; each change has a higher one than those before.
    pub id: u32,
    /// How much it matters.
    pub severity: Severity,
    /// What changed and what to do, in a sentence or two.
    pub summary: &'static str,
}

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// There is something new; what was written before means what it meant.
    Info,
    /// Something that was written before means something else, or is refused.
    Warning,
}

/// Every change so far, oldest first. Append; never renumber.
pub const HISTORY: &[Change] = &[Change {
    id: 1,
    severity: Severity::Info,
    summary: "the configuration is first described, by bootstrap.example.toml",
}];

/// The number of the newest change in [`HISTORY`].
pub const LATEST: u32 = HISTORY[HISTORY.len() - 1].id;

/// Says what changed since `change_id`, as text for stderr; `None` when there is nothing to say.
///
/// `told` is up to which change this build directory's user has been told already; see [`told`].
pub fn news(change_id: Option<ChangeId>, told: Option<u32>) -> Option<String> {
    news_in(HISTORY, change_id, told)
}

fn news_in(history: &[Change], change_id: Option<ChangeId>, told: Option<u32>) -> Option<String> {
    let Some(ChangeId::Id(known)) = change_id else {
        return None;
    };
    let latest = history.last()?.id;
    if told == Some(latest.max(known)) {
        return None;
    }
    if known > latest {
        return Some(format!(
            "warning: change-id {known} is newer than any change this source tree knows of ({latest}); \
             is bootstrap.toml from another branch?"
        ));
    }
    let mut text = String::new();
    for change in history.iter().filter(|change| change.id > known) {
        let severity = match change.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  [{severity}] change {}: {}", change.id, change.summary);
    }
    (!text.is_empty()).then(|| {
        format!(
            "the configuration changed since change-id {known}:\n{text}\
             set `change-id = {latest}` in bootstrap.toml, or `change-id = \"ignore\"` to hear of no change"
        )
    })
}

/// Returns up to which change the user of a build directory has been told. What cannot be read counts as
/// never.
pub fn told(build_dir: &Path) -> Option<u32> {
    fs::read_to_string(told_file(build_dir)).ok()?.trim().parse().ok()
}

/// Notes that the user of a build directory has been told what [`news`] says for `change_id`.
///
/// Two sessions may do this at once: both write the same number.
///
/// # Errors
///
/// Returns the error of writing the file. It costs no more than being told again.
pub fn note_told(build_dir: &Path, change_id: ChangeId) -> io::Result<()> {
    match change_id {
        ChangeId::Ignore => Ok(()),
        ChangeId::Id(known) => fs::write(told_file(build_dir), format!("{}\n", LATEST.max(known))),
    }
}

fn told_file(build_dir: &Path) -> PathBuf {
    build_dir.join(".last-told-change-id")
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[Change] = &[
        Change {
            id: 3,
            severity: Severity::Info,
            summary: "a key was added",
        },
        Change {
            id: 7,
            severity: Severity::Warning,
            summary: "a key was renamed",
        },
        Change {
            id: 8,
            severity: Severity::Info,
            summary: "another was added",
        },
    ];

    #[test]
    fn numbers_only_grow() {
        assert!(HISTORY.is_sorted_by(|a, b| a.id < b.id));
    }

    #[test]
    fn only_later_changes_are_told() {
        let text = news_in(THREE, Some(ChangeId::Id(3)), None).expect("two changes are new");
        assert_eq!(
            text,
            "the configuration changed since change-id 3:\n  \
             [warning] change 7: a key was renamed\n  \
             [info] change 8: another was added\n\
             set `change-id = 8` in bootstrap.toml, or `change-id = \"ignore\"` to hear of no change"
        );
    }

    #[test]
    fn who_is_up_to_date_or_ignores_or_never_asked_hears_nothing() {
        for change_id in [None, Some(ChangeId::Ignore), Some(ChangeId::Id(8))] {
            assert_eq!(news_in(THREE, change_id, None), None, "{change_id:?}");
        }
    }

    #[test]
    fn news_is_told_once_for_each_build_directory() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for known in [0, LATEST + 9] {
            let id = ChangeId::Id(known);
            assert!(news(Some(id), told(folder.path())).is_some());
            note_told(folder.path(), id).expect("the folder can be written");
            assert_eq!(news(Some(id), told(folder.path())), None);
        }
    }

    #[test]
    fn an_id_from_the_future_is_questioned() {
        let text = news_in(THREE, Some(ChangeId::Id(99)), None).expect("a warning");
        assert!(text.starts_with("warning: change-id 99 is newer"), "{text}");
    }
}
