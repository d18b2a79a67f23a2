//! The contract on Unix: `flock`, which follows the open file description, so that `fork` shares it and `exec` keeps it
//! unless the descriptor is close-on-exec (flock(2)).
//!
//! What only Linux has is in `linux.rs`; `elsewhere.rs` names what takes its place on macOS, the BSDs and illumos.

mod files;
mod processes;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as kernel;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
use elsewhere as kernel;

pub(crate) use files::{
    Owner, create_private_folder, give, is_named, is_removed, lend, locking_refused, make_fifo, not_mine,
    not_private, open_to_read, open_to_rewrite, options, owner_to_give, pipe_has_ended, read_at, remove,
    write_from_start,
};
pub(crate) use kernel::{
    adopt_orphans, die_with_parent, end_descendants, pid_namespace, process_start, processes_that_hold,
    replace,
};
pub(crate) use processes::{Parent, host_name, process_state, spare_descendants, user_name, user_number};
