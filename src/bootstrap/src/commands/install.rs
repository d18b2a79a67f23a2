//! `install`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::Selection;

pub(super) fn run(_ctx: &mut Context, _args: &Selection) -> Result<Exit> {
    Err(Error::bug("`install` is written on another branch"))
}
