//! `setup`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::SetupArgs;

pub(super) fn run(_ctx: &mut Context, _args: &SetupArgs) -> Result<Exit> {
    Err(Error::bug("`setup` is written on another branch"))
}
