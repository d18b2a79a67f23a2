//! The contract on Windows.
//!
//! * `LockFileEx` over the whole file: mandatory, so a locked file cannot be read through another handle; it belongs to the
//!   handle and the process, and is not inherited (LockFileEx, "Remarks").
//! * A job object ends the children with this process, however it ends: the substitute for a lock that they keep.
//! * Files are shared for deletion by all who open them here, so that none is ever in the way of a removal or a replacement
//!   for longer than it is open.

mod files;
mod job;
mod processes;

pub(crate) use files::{
    Owner, create_private_folder, give, is_named, is_removed, lend, locking_refused, make_fifo, not_mine,
    not_private, open_to_read, open_to_rewrite, options, owner_to_give, pipe_has_ended, read_at, remove,
    replace, write_from_start,
};
pub(crate) use job::{adopt_orphans, die_with_parent, end_descendants, spare_descendants};
pub(crate) use processes::{
    Parent, host_name, pid_namespace, process_start, process_state, processes_that_hold, user_name,
    user_number,
};
