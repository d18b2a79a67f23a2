//! `bump_stage0`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::BumpStage0Args;

pub(super) fn run(_ctx: &mut Context, _args: &BumpStage0Args) -> Result<Exit> {
    Err(Error::bug("`bump_stage0` is written on another branch"))
}
