//! Texts that carry the hash of themselves, so that what somebody edited is told from what was written here.
//!
//! A text says `sha256:` and 64 hexadecimal digits somewhere: the hash of the text with these digits replaced by zeros.
//! Whoever changes anything else breaks it. So no record is kept of what was written where, that could be lost or copied
//! to another checkout, and any comment of any format serves.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use similar::TextDiff;

use crate::stage0::pin::hex;

const MARK: &str = "sha256:";
const DIGITS: usize = 64;

/// What stands in a file that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: there is no file.
    Nothing,
    /// What is to be written.
    Current,
    /// What was written before and has not been edited since.
    Outdated(String),
    /// Something that was written, or edited, by somebody else.
    Theirs(String),
}

/// Puts the hash into a text in place of `placeholder`.
#[must_use]
pub fn sign(text: &str, placeholder: &str) -> String {
    let zeros = text.replacen(placeholder, &"0".repeat(DIGITS), 1);
    text.replacen(placeholder, &hex(&Sha256::digest(zeros)), 1)
}

/// Looks what stands in a file, compared with the signed text that is to be written there.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn look(path: &Path, wanted: &str) -> io::Result<Found> {
    match fs::read_to_string(path) {
        Ok(text) if text == wanted => Ok(Found::Current),
        Ok(text) if is_untouched(&text) => Ok(Found::Outdated(text)),
        Ok(text) => Ok(Found::Theirs(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(e) => Err(e),
    }
}

/// Whether a text is as it was when it was signed.
fn is_untouched(text: &str) -> bool {
    // An editor that checks out with other line ends has not edited it.
    let text = text.replace("\r\n", "\n");
    let Some(at) = text.find(MARK).map(|at| at + MARK.len()) else {
        return false;
    };
    let Some(digits) = text.get(at..at + DIGITS) else {
        return false;
    };
    let zeros = format!("{}{}{}", &text[..at], "0".repeat(DIGITS), &text[at + DIGITS..]);
    hex(&Sha256::digest(zeros)) == digits
}

/// The differences between what stands somewhere and what is to stand there, as `diff -u` shows them.
#[must_use]
pub fn diff(old: &str, new: &str, name: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let before = if old.is_empty() { "/dev/null" } else { name };
    diff.unified_diff()
        .context_radius(3)
        .header(before, name)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# sha256:@sum@\nkey = 1\n";

    #[test]
    fn what_was_written_is_known_until_somebody_edits_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (old, new) = (sign(TEXT, "@sum@"), sign(&TEXT.replace('1', "2"), "@sum@"));
        assert_eq!(look(&path, &old).unwrap(), Found::Nothing);
        fs::write(&path, &old).unwrap();
        assert_eq!(look(&path, &old).unwrap(), Found::Current);
        assert_eq!(look(&path, &new).unwrap(), Found::Outdated(old.clone()));
        let edited = old.replace("key", "other");
        fs::write(&path, &edited).unwrap();
        assert_eq!(look(&path, &new).unwrap(), Found::Theirs(edited));
    }

    #[test]
    fn line_ends_are_no_edit_and_other_texts_are_theirs() {
        assert!(is_untouched(&sign(TEXT, "@sum@").replace('\n', "\r\n")));
        for text in [
            "",
            "key = 1\n",
            "sha256:",
            "sha256:abc",
            &format!("sha256:{}", "0".repeat(64)),
            "sha256:ä",
        ] {
            assert!(!is_untouched(text), "{text:?}");
        }
    }

    #[test]
    fn a_new_file_is_all_additions() {
        assert_eq!(diff("", "a\n", "f"), "--- /dev/null\n+++ f\n@@ -0,0 +1 @@\n+a\n");
    }
}
