//! Files on Unix, and the locks on them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags};

use crate::faults;

/// Readable by all who can enter the folder, because `sudo ./x` must leave locks that the user can probe.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o700;
const PARENT_MODE: u32 = 0o777;
const FIFO_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The options to open a file of ours with: links that somebody planted are not followed.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A fifo that somebody planted must not block us either.
    options
        .mode(FILE_MODE)
        .custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32);
    options
}

/// Creates a folder, and those above it, that only this user can enter; or, where root makes it in a user's, that user.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    create_folder(path, FOLDER_MODE)
}

fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match create_folder_in(parent, path, mode) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && parent != Path::new(".") => {
            create_folder(parent, PARENT_MODE)?;
            // Once: /proc lets nobody create anything, and says that it is not found, too.
            create_folder_in(parent, path, mode)
        }
        done => done,
    }
}

fn create_folder_in(parent: &Path, path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            if let Some(owner) = owner_to_give(parent)? {
                // Not by its path, which the user could have made a link of by now.
                let no_link = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY;
                let folder = OpenOptions::new()
                    .read(true)
                    .custom_flags(no_link.bits() as i32)
                    .open(path)?;
                give(&folder, owner);
            }
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// Whose a file is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner(rustix::fs::Uid, rustix::fs::Gid);

/// The user to whom belongs what is made in this folder: its owner, where root works in a user's, as after `sudo`. Nothing
/// where it is ours anyway.
pub(crate) fn owner_to_give(folder: &Path) -> io::Result<Option<Owner>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let folder = std::fs::metadata(folder)?;
    let owner = Owner(
        rustix::fs::Uid::from_raw(folder.uid()),
        rustix::fs::Gid::from_raw(folder.gid()),
    );
    Ok((!owner.0.is_root()).then_some(owner))
}

/// Gives a file to its owner. Where root may not do so, in a container, say, the file stays root's.
pub(crate) fn give(file: &File, Owner(user, group): Owner) {
    if let Err(error) = rustix::fs::fchown(file, Some(user), Some(group)) {
        tracing::debug!(%error, "a file in a user's folder stays root's");
    }
}

/// Why others could plant files in this folder, if they could.
pub(crate) fn not_private(path: &Path) -> io::Result<Option<String>> {
    let folder = std::fs::symlink_metadata(path)?;
    if folder.is_symlink() {
        return Ok(Some("it is a symbolic link".to_owned()));
    }
    if !folder.is_dir() {
        return Ok(Some("it is not a folder".to_owned()));
    }
    let me = rustix::process::geteuid();
    // Root may use a user's folder: `sudo ./x install` must see the sessions of the user.
    if folder.uid() != me.as_raw() && !me.is_root() {
        return Ok(Some(format!("it belongs to user {}", folder.uid())));
    }
    if folder.mode() & 0o022 != 0 {
        return Ok(Some(format!(
            "others may write to it (mode {:o})",
            folder.mode() & 0o777
        )));
    }
    Ok(None)
}

/// Why a folder is not this user's alone to write to, if it is not. Stricter than [`not_private`]: for root, too, only its own.
pub(crate) fn not_mine(path: &Path) -> io::Result<Option<String>> {
    let owner = std::fs::symlink_metadata(path)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Ok(Some(format!("it belongs to user {owner}")));
    }
    not_private(path)
}

/// Whether the open file has no name any more.
pub(crate) fn is_removed(file: &File) -> io::Result<bool> {
    faults::check("look for name")?;
    Ok(rustix::fs::fstat(file)?.st_nlink == 0)
}

/// Whether the open file is the one that has this name.
pub(crate) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    faults::check("look for name")?;
    let named = match rustix::fs::lstat(path) {
        Err(Errno::NOENT) => return Ok(false),
        named => named?,
    };
    let open = rustix::fs::fstat(file)?;
    Ok((open.st_dev, open.st_ino) == (named.st_dev, named.st_ino))
}

/// Reads a file's bytes from this one on: some, or none at its end. Where it stands then is not said.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(bytes, offset)
}

/// Overwrites a file from its start. Where it stands then is not said.
pub(crate) fn write_from_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, 0)
}

/// Opens a file that somebody may be replacing.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    options().read(true).open(path)
}

/// Opens a file to overwrite it, which others may be reading.
pub(crate) fn open_to_rewrite(path: &Path) -> io::Result<File> {
    options().write(true).open(path)
}

/// Removes a file, which others may have open, so that its name is gone when this returns.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Makes a named fifo, for this user alone: whoever can open it can take from it, or ring.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, FIFO_MODE)?)
}

/// There is no safe call for it here, but every system has the program (POSIX, mkfifo(1)).
#[cfg(target_vendor = "apple")]
pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
    let mode = format!("{:o}", FIFO_MODE.bits());
    let done = Command::new("mkfifo").arg("-m").arg(mode).arg(path).output()?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(io::Error::other(why))
}

/// Turns the errors by which a system says that it cannot lock into [`io::ErrorKind::Unsupported`].
pub(crate) fn locking_refused(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        // ENOLCK is what NFS without a lock daemon answers, the others what file systems without locks do. On some
        // systems two of these are one number.
        Some(e) if [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP].contains(&e) => {
            io::Error::new(io::ErrorKind::Unsupported, error)
        }
        _ => error,
    }
}

/// Whether the pipe that the environment named by this open descriptor is empty, and no process could write to it.
pub(crate) fn pipe_has_ended(descriptor: i32) -> bool {
    // SAFETY: whoever asks has just found that it is open, and nobody closes what the environment names.
    let pipe = unsafe { rustix::fd::BorrowedFd::borrow_raw(descriptor) };
    let mut files = [PollFd::new(&pipe, PollFlags::IN)];
    let asked = poll(&mut files, Some(&Timespec::default()));
    let told = files[0].revents();
    asked.is_ok() && told.contains(PollFlags::HUP) && !told.contains(PollFlags::IN)
}

/// Lets a child, and what it starts, keep these locks alive.
pub(crate) fn lend(command: &mut Command, locks: &[&File]) {
    let descriptors: Vec<_> = locks.iter().map(|f| f.as_raw_fd()).collect();
    let keep = move || {
        for &fd in &descriptors {
            // SAFETY: the caller of `Session::lend` keeps the session, and so the descriptor, until the child has started.
            let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
            rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: fcntl is async-signal-safe, and nothing is allocated or locked between fork and exec.
    unsafe { command.pre_exec(keep) };
}
