//! Paths, made absolute by name alone.
//!
//! The launcher does the same with `os.path.normpath`. Links are not followed: both sides must come to one
//! build directory before it exists.

use std::path::{Component, Path, PathBuf};

/// Joins a path to an absolute folder and folds `.` and `..`.
pub(super) fn absolute(folder: &Path, path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Component::CurDir => {}
            // At the root there is no parent, and `pop` leaves it as it is.
            Component::ParentDir => drop(folded.pop()),
            other => folded.push(other),
        }
    }
    folded
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn dots_are_folded_and_the_root_has_no_parent() {
        for (folder, path, folded) in [
            ("/a/b", "c", "/a/b/c"),
            ("/a/b", "./../c/.", "/a/c"),
            ("/a/b", "/c/", "/c"),
            ("/a", "../../..", "/"),
        ] {
            assert_eq!(absolute(folder.as_ref(), path.as_ref()), Path::new(folded));
        }
    }
}
