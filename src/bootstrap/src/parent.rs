//! `--exit-with-parent`: the driver ends when the process that started it is gone. An editor that is killed would leave its
//! check running under init.

use std::thread;

use buildlock::Parent;

use crate::error::{Error, Result};
use crate::interrupt::Interrupts;

/// From now on, the end of the parent counts as a signal to hang up. If it is gone already, that counts too.
///
/// # Errors
/// Where the parent cannot be watched.
pub fn end_with_it(interrupts: &Interrupts) -> Result<()> {
    let failed = |e| Error::environment("cannot watch the process that started this one").because(e);
    let parent = Parent::find().map_err(failed)?;
    let interrupts = interrupts.clone();
    let watch = move || {
        if let Some(parent) = parent
            && let Err(error) = parent.wait_until_gone()
        {
            // To end without need would be worse than to go on.
            tracing::warn!(%error, "the parent's end will not be noticed");
            return;
        }
        interrupts.parent_is_gone();
    };
    thread::Builder::new()
        .name("parent".into())
        .spawn(watch)
        .map(drop)
        .map_err(failed)
}
