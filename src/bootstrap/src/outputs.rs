//! What bootstrap itself makes in the build directory: copies that are put in place whole, by rename.
//!
//! A file that is being made lies in `<build-dir>/host/.new`, on the same file system. So a program in `host/bin` is never
//! half written, and one that runs is never overwritten: its name gets another file.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};

/// Below `host`: where files are made.
const NEW: &str = ".new";

/// The outputs for the host.
#[derive(Clone, Debug)]
pub struct Outputs {
    host: PathBuf,
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
            host: build_dir.join("host"),
        }
    }

    /// Where programs and libraries go.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.host.join("bin")
    }

    /// Copies a file to [`Outputs::bin`], with its time of change, by which it is known to be the same later on.
    ///
    /// # Errors
    /// Where it cannot be read, or put in place.
    pub fn put(&self, made: &Path) -> Result<Put> {
        let Some(name) = made.file_name() else {
            return Err(Error::bug("there is no file name in").at(made));
        };
        let place = self.bin().join(name);
        let source = fs::metadata(made).map_err(|e| Error::io("cannot look at", made, e))?;
        let modified = source
            .modified()
            .map_err(|e| Error::io("cannot look at", made, e))?;
        if is_same(&place, source.len(), modified) {
            return Ok(Put::Fresh);
        }
        let aside = self.aside(name)?;
        fs::create_dir_all(self.bin()).map_err(|e| Error::io("cannot create", self.bin(), e))?;
        fs::copy(made, &aside)
            .and_then(|_| set_modified(&aside, modified))
            .map_err(|e| Error::io("cannot copy to", &aside, e))?;
        fs::rename(&aside, &place).map_err(|e| Error::io("cannot put in place", &place, e))?;
        Ok(Put::Copied)
    }

    fn aside(&self, name: &OsStr) -> Result<PathBuf> {
        let folder = self.host.join(NEW);
        fs::create_dir_all(&folder).map_err(|e| Error::io("cannot create", &folder, e))?;
        Ok(folder.join(name))
    }

    /// Removes what a command that was killed left half made, and has the next `build` copy everything anew.
    ///
    /// The caller must hold the build directory exclusively.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn recover(&self) -> Result<()> {
        let new = self.host.join(NEW);
        missing_is_fine(fs::remove_dir_all(&new)).map_err(|e| Error::io("cannot remove", &new, e))?;
        let Some(entries) =
            missing_is_none(fs::read_dir(self.bin())).map_err(|e| Error::io("cannot list", self.bin(), e))?
        else {
            return Ok(());
        };
        for entry in entries {
            let path = entry.map_err(|e| Error::io("cannot list", self.bin(), e))?.path();
            // No file that cargo makes is as old as this, so the next copy is not taken for the same.
            set_modified(&path, SystemTime::UNIX_EPOCH)
                .map_err(|e| Error::io("cannot mark as old", &path, e))?;
        }
        Ok(())
    }
}

fn is_same(place: &Path, length: u64, modified: SystemTime) -> bool {
    fs::metadata(place)
        .is_ok_and(|there| there.len() == length && there.modified().is_ok_and(|at| at == modified))
}

/// Programs are not writable everywhere, and for their times they need not be.
fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    File::open(path)?.set_times(FileTimes::new().set_modified(time))
}

fn missing_is_fine(done: io::Result<()>) -> io::Result<()> {
    missing_is_none(done).map(drop)
}

fn missing_is_none<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
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
        fs::write(build.path().join("host").join(NEW).join("half"), "").unwrap();
        outputs.recover().unwrap();
        assert!(!build.path().join("host").join(NEW).exists());
        assert_eq!(outputs.put(&made).unwrap(), Put::Copied);
        assert_eq!(fs::read(outputs.bin().join("program")).unwrap(), b"1");
    }

    #[test]
    fn there_may_be_nothing_to_recover() {
        let build = tempfile::tempdir().unwrap();
        Outputs::of(build.path()).recover().unwrap();
    }
}
