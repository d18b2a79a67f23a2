//! Files on Windows.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_SHARING_VIOLATION,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_STANDARD_INFO, FileStandardInfo, GetFileInformationByHandleEx,
};

/// How long a file that somebody else has open may resist. Records are open for microseconds; a virus scanner, which
/// opens what was just written and shares it with nobody, takes longer.
const RESISTS_MAX: Duration = Duration::from_secs(2);

/// How long a replacement may keep a file from being opened.
const OPENS_WITHIN: Duration = Duration::from_millis(50);

/// What the name of a file ends in that is being removed.
const GONE: &str = "gone";

/// The options to open a file of ours with: links that somebody planted are not followed.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    options
}

/// Creates a folder, and those above it. Its access list is inherited from the folder above.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Nobody: there is no root here that works in a user's folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {}

/// Nobody.
pub(crate) fn owner_to_give(_folder: &Path) -> io::Result<Option<Owner>> {
    Ok(None)
}

/// Is never called.
pub(crate) fn give(_file: &File, owner: Owner) {
    match owner {}
}

/// Why others could plant files in this folder, if they could.
pub(crate) fn not_private(path: &Path) -> io::Result<Option<String>> {
    let folder = std::fs::symlink_metadata(path)?;
    Ok((!folder.is_dir()).then(|| "it is not a folder".to_owned()))
}

/// Why a folder is not this user's alone to write to, if it is not.
pub(crate) fn not_mine(path: &Path) -> io::Result<Option<String>> {
    not_private(path)
}

/// Whether the open file has no name any more, or is about to lose its last.
pub(crate) fn is_removed(file: &File) -> io::Result<bool> {
    let mut info = FILE_STANDARD_INFO::default();
    let size = size_of::<FILE_STANDARD_INFO>() as u32;
    // SAFETY: the handle is open, and the pointer is to a live value of the size and kind that is named.
    let told = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileStandardInfo,
            (&raw mut info).cast(),
            size,
        )
    };
    if told == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.DeletePending || info.NumberOfLinks == 0)
}

/// Whether the open file is the one that has this name, as far as it was opened under it.
pub(crate) fn is_named(file: &File, _path: &Path) -> io::Result<bool> {
    Ok(!is_removed(file)?)
}

/// Reads a file's bytes from this one on: some, or none at its end. Where it stands then is not said.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(bytes, offset)
}

/// Overwrites a file from its start. Where it stands then is not said.
pub(crate) fn write_from_start(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(bytes)
}

/// Puts a whole new file in the place of another, which others may have open.
///
/// # Platform notes
/// On NTFS since Windows 10 the standard library's rename replaces a file that others have open for reading. Elsewhere
/// (FAT, network drives, wine) it is refused until they have closed it: then this tries again for a while.
pub(crate) fn replace(new: &Path, path: &Path) -> io::Result<()> {
    insist(RESISTS_MAX, || std::fs::rename(new, path))
}

/// Removes a file, which others may have open, so that its name is gone when this returns.
///
/// # Platform notes
/// Where the file system knows no POSIX deletion, a file that somebody has open keeps its name until it is closed, and can
/// neither be opened nor made anew meanwhile. So it is first given a name that nobody looks for.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let aside = if path.extension().is_some_and(|e| e == GONE) {
        path.to_owned()
    } else {
        let aside = path.with_added_extension(GONE);
        insist(RESISTS_MAX, || std::fs::rename(path, &aside))?;
        aside
    };
    match std::fs::remove_file(&aside) {
        // It goes when it is closed or, had it been opened by somebody who does not share, at a later listing.
        Err(e) if in_use(&e) => Ok(()),
        done => done,
    }
}

/// Opens a file that somebody may be replacing.
///
/// # Platform notes
/// Where the file system knows no POSIX rename, a file cannot be opened in the moment of its replacement. Whoever is not
/// allowed to read it at all is told so a little later.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    insist(OPENS_WITHIN, || options().read(true).open(path))
}

/// Opens a file to overwrite it, which others may be reading. Who opened it and shares it with nobody, a virus scanner, say, is
/// waited for.
pub(crate) fn open_to_rewrite(path: &Path) -> io::Result<File> {
    insist(RESISTS_MAX, || options().write(true).open(path))
}

/// Tries again while somebody else has the file open. Nobody tells when they close it, so this has to look.
fn insist<T>(patience: Duration, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let give_up = Instant::now() + patience;
    loop {
        match attempt() {
            Err(e) if in_use(&e) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

fn in_use(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(i32::cast_unsigned);
    matches!(code, Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION))
}

/// There are no fifos here that have a name in a folder.
pub(crate) fn make_fifo(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Turns the errors by which a system says that it cannot lock into [`io::ErrorKind::Unsupported`].
pub(crate) fn locking_refused(error: io::Error) -> io::Error {
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_INVALID_FUNCTION | ERROR_NOT_SUPPORTED) => {
            io::Error::new(io::ErrorKind::Unsupported, error)
        }
        _ => error,
    }
}

/// False: no jobserver is a pipe here.
pub(crate) fn pipe_has_ended(_descriptor: i32) -> bool {
    false
}

/// Does nothing: a lock is not inherited by children here. [`die_with_parent`](super::die_with_parent) ends them instead.
pub(crate) fn lend(_command: &mut Command, _locks: &[&File]) {}
