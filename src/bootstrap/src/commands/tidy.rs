//! `tidy`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;

pub(super) fn run(_ctx: &mut Context) -> Result<Exit> {
    Err(Error::bug("`tidy` is written on another branch"))
}
