//! Times of files and folders, set without the right to write to them.

use std::fs::FileTimes;
use std::io;
use std::path::Path;
use std::time::SystemTime;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows::open;

/// Sets when a file or folder was last changed.
///
/// # Errors
/// Where it belongs to somebody else, or is not there.
pub(crate) fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    open(path)?.set_times(FileTimes::new().set_modified(time))
}

/// Programs and folders are not writable everywhere, and for their times they need not be (futimens(3)).
#[cfg(not(windows))]
fn open(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_read_only_and_folders_have_times() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut read_only = std::fs::metadata(&file).unwrap().permissions();
        read_only.set_readonly(true);
        std::fs::set_permissions(&file, read_only).unwrap();
        for path in [&file, folder.path()] {
            set_modified(path, SystemTime::UNIX_EPOCH).unwrap();
            let modified = std::fs::metadata(path).unwrap().modified().unwrap();
            assert_eq!(modified, SystemTime::UNIX_EPOCH);
        }
    }
}
