//! After a crash: what a command that was killed while it changed the build directory left behind.

use buildlock::{HumanDuration, Record};

use crate::context::Context;
use crate::error::Result;

/// Tells the user if the last command that changed the build directory did not finish. If this one may change it, too, it
/// removes what was left half made, and its own clean end takes the mark away.
///
/// Cargo's target directories need nothing of this: cargo finds out by itself what is not complete.
///
/// # Errors
/// Where what was left cannot be removed.
pub fn after_a_crash(ctx: &Context) -> Result<()> {
    let Some(record) = ctx.hold.unfinished() else {
        return Ok(());
    };
    let what = describe(record);
    if ctx.hold.is_exclusive() {
        ctx.shell
            .warn(format_args!("{what}; what it left half made is made anew"));
        ctx.outputs().recover()
    } else {
        let outputs = ctx.outputs();
        ctx.shell.warn(format_args!(
            "{what}; what it was to change may be out of date (such as {}) until it is run again",
            outputs.bin().display()
        ));
        Ok(())
    }
}

fn describe(record: &Record) -> String {
    format!(
        "`{}` (pid {}, started {} ago) did not finish",
        record.command_line(),
        record.who.pid,
        HumanDuration(record.age()),
    )
}
