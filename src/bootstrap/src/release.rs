//! What `dist` and `install` hand out: programs and C libraries, built with `dist.cargo-profile`.

use std::path::Path;

use crate::cargo::{Cargo, on_each};
use crate::context::Context;
use crate::dist::{Item, Kind};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::Selection;
use crate::messages::{self, Forward};
use crate::workspace;

/// Builds packages for others to use. Returns what was made, each to go to `bin/` or `lib/`.
///
/// # Errors
/// Where cargo cannot be run, or two packages make a file of one name.
pub fn build(ctx: &Context, selection: &Selection) -> Result<(Exit, Vec<Item>)> {
    let chosen = workspace::choose_to_hand_out(ctx, &selection.names)?;
    let mut items: Vec<Item> = Vec::new();
    let exit = on_each(ctx, &chosen, |one| {
        let cargo = Cargo::building(ctx, "build", one).in_profile(&ctx.config.dist.cargo_profile);
        let mut made = Vec::new();
        let exit = messages::read(ctx, cargo, Forward::IfAsked, |artifact| {
            made.extend(messages::outputs(&artifact));
        })?;
        items.extend(made.into_iter().map(|from| Item {
            to: place(&from),
            from,
            kind: Kind::Program,
        }));
        Ok(exit)
    })?;
    items.sort_by(|a, b| a.to.cmp(&b.to));
    match items.windows(2).find(|pair| pair[0].to == pair[1].to) {
        None => Ok((exit, items)),
        Some(pair) => Err(
            Error::usage(format!("two packages make `{}`: that one and", pair[0].to))
                .at(&pair[1].from)
                .advice("name the packages that you want"),
        ),
    }
}

/// Where a file goes. On Windows, libraries are looked for where the programs are.
fn place(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_library = file
        .extension()
        .is_some_and(|its| its == std::env::consts::DLL_EXTENSION);
    let folder = if is_library && !cfg!(windows) {
        "lib"
    } else {
        "bin"
    };
    format!("{folder}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_libraries_go_where_the_system_looks_for_them() {
        assert_eq!(place(Path::new("/t/release/p")), "bin/p");
        let library = format!("libp.{}", std::env::consts::DLL_EXTENSION);
        let folder = if cfg!(windows) { "bin" } else { "lib" };
        assert_eq!(
            place(&Path::new("/t").join(&library)),
            format!("{folder}/{library}")
        );
    }
}
