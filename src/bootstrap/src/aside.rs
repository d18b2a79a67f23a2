//! Files and folders that are made aside and renamed into place, so that whoever looks sees the old one or the new one,
//! whole, and a crash leaves nothing half done.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a file's content. The file keeps its permissions; a new one gets those that new files get.
///
/// # Errors
/// Where it cannot be written. Then what stood there still stands.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let old = fs::metadata(path).ok().map(|metadata| metadata.permissions());
    let mut new = beside(path)?;
    new.write_all(content)?;
    if let Some(permissions) = old {
        new.as_file().set_permissions(permissions)?;
    }
    keep(new, path)
}

/// Copies a file with its permissions, over one that may be running.
///
/// # Errors
/// As [`write()`].
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut new = beside(to)?;
    // Through the descriptors: on file systems that can, the two share their blocks.
    io::copy(&mut source, new.as_file_mut())?;
    new.as_file().set_permissions(source.metadata()?.permissions())?;
    keep(new, to)
}

/// How the names of unfinished files begin.
const PREFIX: &str = ".aside-";

/// Whether a file is one that was being made when its maker was killed. Only who is alone there can tell: to others it may be
/// one that is being made.
#[must_use]
pub fn is_left_over(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// A new file in the folder that `path` is in; the folder is made where it is missing.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut aside = tempfile::Builder::new();
    aside.prefix(PREFIX);
    #[cfg(unix)]
    let aside = aside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    aside.tempfile_in(folder)
}

fn keep(new: NamedTempFile, path: &Path) -> io::Result<()> {
    // Otherwise a power failure could leave the new name with no content.
    new.as_file().sync_all()?;
    match new.persist(path) {
        Ok(_) => Ok(()),
        #[cfg(windows)]
        Err(refused) if refused.error.kind() == io::ErrorKind::PermissionDenied && path.is_file() => {
            replace_running(refused.file, path)
        }
        Err(refused) => Err(refused.error),
    }
}

/// Windows neither replaces nor removes a program that runs, but lets it have another name.
#[cfg(windows)]
fn replace_running(new: NamedTempFile, path: &Path) -> io::Result<()> {
    let old = beside(path)?.into_temp_path();
    fs::rename(path, &old)?;
    new.persist(path).map_err(|refused| {
        // What stood there still stands.
        drop(fs::rename(&old, path));
        refused.error
    })?;
    // The old one is removed here unless it runs, and otherwise left over.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_kept_by_both() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!/bin/sh").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        write(&program, b"#!/bin/sh\n").unwrap();
        let copied = folder.path().join("copy");
        copy(&program, &copied).unwrap();
        for path in [program, copied] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_program_that_runs_is_replaced() {
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program.exe");
        copy(&std::env::current_exe().unwrap(), &program).unwrap();
        let mut running = Command::new(&program)
            .args(["--exact", "aside::tests::runs_until_its_input_ends", "--ignored"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        write(&program, b"another").unwrap();
        assert_eq!(fs::read(&program).unwrap(), b"another");
        drop(running.stdin.take());
        assert!(running.wait().unwrap().success());
    }

    #[cfg(windows)]
    #[test]
    #[ignore = "it is played by the child of another test"]
    fn runs_until_its_input_ends() {
        io::Read::read_to_end(&mut io::stdin(), &mut Vec::new()).unwrap();
    }

    #[test]
    fn what_cannot_be_replaced_still_stands() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("inside")).unwrap();
        assert!(write(&taken, b"x").is_err());
        assert!(taken.join("inside").is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
