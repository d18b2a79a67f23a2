//! What bootstrap itself makes in the build directory: copies of what cargo made, put in place whole, by rename.
//!
//! So a program in `host/bin` is never half written, and one that runs is never overwritten: its name gets another file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::aside;
use crate::error::{Error, Result};
use crate::file_times::set_modified;

/// The outputs for the host.
#[derive(Clone, Debug)]
pub struct Outputs {
    bin: PathBuf,
}

/// Whether a file had to be put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was copied.
    Copied,
    /// The same was there already.
    Fresh,
}

impl Outputs {
    /// Those in a build directory.
    #[must_use]
    pub fn of(build_dir: &Path) -> Self {
        Self {
            bin: build_dir.join("host").join("bin"),
        }
    }

    /// Where programs and libraries go.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Copies a file to [`Outputs::bin`], with its time of change, by which it is known to be the same later on.
    ///
    /// # Errors
    /// Where it cannot be read, or put in place.
    pub fn put(&self, made: &Path) -> Result<Put> {
        let Some(name) = made.file_name() else {
            return Err(Error::bug("there is no file name in").at(made));
        };
        let place = self.bin.join(name);
        let unknown = |e| Error::io("cannot look at", made, e);
        let source = fs::metadata(made).map_err(unknown)?;
        let modified = source.modified().map_err(unknown)?;
        if is_same(&place, source.len(), modified) {
            return Ok(Put::Fresh);
        }
        // Should we be killed between the two, the times differ and the next `build` copies again.
        aside::copy(made, &place)
            .and_then(|()| set_modified(&place, modified))
            .map_err(|e| Error::io("cannot put in place", &place, e))?;
        Ok(Put::Copied)
    }

    /// Removes what a command that was killed left half made, and has the next `build` copy everything anew.
    ///
    /// The caller must hold the build directory exclusively.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn recover(&self) -> Result<()> {
        let unlisted = |e| Error::io("cannot list", &self.bin, e);
        let entries = match fs::read_dir(&self.bin) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(unlisted)?,
        };
        for entry in entries {
            let path = entry.map_err(unlisted)?.path();
            if aside::is_left_over(&path) {
                match fs::remove_file(&path) {
                    // On Windows a program that was replaced while it ran stays as long as it runs.
                    Err(e) if cfg!(windows) && e.kind() == io::ErrorKind::PermissionDenied => {}
                    removed => removed.map_err(|e| Error::io("cannot remove", &path, e))?,
                }
            } else {
                // No file that cargo makes is as old as this, so the next copy is not taken for the same.
                set_modified(&path, SystemTime::UNIX_EPOCH)
                    .map_err(|e| Error::io("cannot mark as old", &path, e))?;
            }
        }
        Ok(())
    }
}

fn is_same(place: &Path, length: u64, modified: SystemTime) -> bool {
    fs::metadata(place)
        .is_ok_and(|there| there.len() == length && there.modified().is_ok_and(|at| at == modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_left_alone_until_a_recovery() {
        let build = tempfile::tempdir().unwrap();
        let made = build.path().join("program");
        fs::write(&made, "1").unwrap();
        let outputs = Outputs::of(build.path());
        assert_eq!(outputs.put(&made).unwrap(), Put::Copied);
        assert_eq!(outputs.put(&made).unwrap(), Put::Fresh);
        let half = outputs.bin().join(".aside-x");
        fs::write(&half, "").unwrap();
        outputs.recover().unwrap();
        assert!(!half.exists());
        assert_eq!(outputs.put(&made).unwrap(), Put::Copied);
        assert_eq!(fs::read(outputs.bin().join("program")).unwrap(), b"1");
    }

    #[test]
    fn there_may_be_nothing_to_recover() {
        let build = tempfile::tempdir().unwrap();
        Outputs::of(build.path()).recover().unwrap();
    }
}
