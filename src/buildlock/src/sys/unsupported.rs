//! The contract on systems that we know no locks for: every lock is refused, clearly.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Command;

use fs4::TryLockError;

use crate::sys::ProcessState;

/// In the place of fs4's locks, of which there are none here.
pub(crate) trait FileExt {
    fn lock(&self) -> io::Result<()> {
        Err(no_locks())
    }
    fn lock_shared(&self) -> io::Result<()> {
        Err(no_locks())
    }
    fn try_lock(&self) -> Result<(), TryLockError> {
        Err(TryLockError::Error(no_locks()))
    }
    fn try_lock_shared(&self) -> Result<(), TryLockError> {
        Err(TryLockError::Error(no_locks()))
    }
    fn unlock(&self) -> io::Result<()> {
        Err(no_locks())
    }
}

impl FileExt for File {}

fn no_locks() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "buildlock knows no file locks on this system",
    )
}

/// The options to open a file of ours with.
pub(crate) fn options() -> OpenOptions {
    OpenOptions::new()
}

/// Creates a folder, and those above it.
pub(crate) fn create_private_folder(_path: &Path) -> io::Result<()> {
    Err(no_locks())
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
pub(crate) fn not_private(_path: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// Why a folder is not this user's alone to write to, if it is not.
pub(crate) fn not_mine(_path: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// Unknown.
pub(crate) fn user_number() -> String {
    "0".to_owned()
}

/// Whether the open file has no name any more.
pub(crate) fn is_removed(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Whether the open file is the one that has this name.
pub(crate) fn is_named(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// No session can exist here, and no gate.
pub(crate) fn read_at(_file: &File, _bytes: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No session can exist here, and no gate.
pub(crate) fn write_from_start(_file: &File, _bytes: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Puts a whole new file in the place of another.
pub(crate) fn replace(new: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(new, path)
}

/// Opens a file that somebody may be replacing.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    options().read(true).open(path)
}

/// Opens a file to overwrite it.
pub(crate) fn open_to_rewrite(path: &Path) -> io::Result<File> {
    options().write(true).open(path)
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// There are no fifos here that have a name in a folder.
pub(crate) fn make_fifo(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Turns the errors by which a system says that it cannot lock into [`io::ErrorKind::Unsupported`].
pub(crate) fn locking_refused(error: io::Error) -> io::Error {
    error
}

/// False: no jobserver is a pipe here.
pub(crate) fn pipe_has_ended(_descriptor: i32) -> bool {
    false
}

/// Does nothing: no session can exist here.
pub(crate) fn lend(_command: &mut Command, _locks: &[&File]) {}

/// Does nothing.
pub(crate) fn die_with_parent(_command: &mut Command) {}

/// Does nothing.
pub(crate) fn spare_descendants() -> io::Result<()> {
    Ok(())
}

/// Does nothing.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Cannot be done.
pub(crate) fn end_descendants() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unknown.
#[derive(Debug)]
pub(crate) struct Parent;

impl Parent {
    pub(crate) fn find() -> io::Result<Option<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(clippy::unused_self, reason = "the same face as elsewhere")]
    pub(crate) fn wait_until_gone(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Unknown.
pub(crate) fn process_start(_pid: u32) -> Option<u64> {
    None
}

/// Unknown.
pub(crate) fn pid_namespace() -> Option<u64> {
    None
}

/// Unknown.
pub(crate) fn process_state(_pid: u32, _start: Option<u64>) -> Option<ProcessState> {
    None
}

/// None: it cannot be told.
pub(crate) fn processes_that_hold(_path: &Path) -> Vec<(u32, String)> {
    Vec::new()
}

/// Unknown.
pub(crate) fn host_name() -> String {
    "?".to_owned()
}

/// Unknown.
pub(crate) fn user_name() -> String {
    "?".to_owned()
}
