//! `clean`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::CleanArgs;

pub(super) fn run(_ctx: &mut Context, _args: &CleanArgs) -> Result<Exit> {
    Err(Error::bug("`clean` is written on another branch"))
}
