//! `install`: builds, then puts programs and C libraries below `install.prefix`, and all that below `DESTDIR`.

use std::env;
use std::path::{Component, Path, PathBuf};

use crate::aside;
use crate::context::Context;
use crate::dist::Item;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::Selection;
use crate::release;
use crate::tokens::OwnWork;

pub(super) fn run(ctx: &Context, args: &Selection) -> Result<Exit> {
    let (exit, items) = release::build(ctx, args)?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    let destination = env::var_os("DESTDIR")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    if ctx.flags.dry_run {
        // Which programs there are is known when they are built.
        let folder = below(destination.as_deref(), &ctx.config.install.prefix);
        ctx.shell
            .status("Would install", format_args!("below {}", folder.display()));
        return Ok(Exit::Done);
    }
    if items.is_empty() {
        return Err(Error::usage(
            "there is nothing to install: the packages make neither programs nor C libraries",
        ));
    }
    let _work = OwnWork::start(ctx, "install")?;
    for item in &items {
        ctx.interrupts.check()?;
        let place = below(
            destination.as_deref(),
            &place(item, &ctx.config.install.prefix, &ctx.config.install.bindir),
        );
        ctx.shell.status("Installing", place.display());
        aside::copy(&item.from, &place).map_err(|e| {
            let denied = e.kind() == std::io::ErrorKind::PermissionDenied;
            let error = Error::io("cannot install", &place, e);
            if denied {
                error.advice(
                    "set install.prefix to a folder of yours, such as ~/.local written out, or use DESTDIR",
                )
            } else {
                error
            }
        })?;
    }
    Ok(Exit::Done)
}

/// Where a file is installed: programs in `install.bindir`, the rest below `install.prefix`.
fn place(item: &Item, prefix: &Path, bindir: &Path) -> PathBuf {
    match item.to.strip_prefix("bin/") {
        Some(program) => bindir.join(program),
        None => prefix.join(&item.to),
    }
}

/// Moves an absolute path below a folder, as package builders want it; where there is none it stays.
fn below(folder: Option<&Path>, path: &Path) -> PathBuf {
    let Some(folder) = folder else {
        return path.to_owned();
    };
    let parts = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    folder.join(parts.collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Kind;

    #[test]
    fn programs_go_to_bindir_and_everything_below_destdir() {
        let item = |to: &str| Item {
            from: PathBuf::new(),
            to: to.to_owned(),
            kind: Kind::Program,
        };
        let at = |to| place(&item(to), Path::new("/usr"), Path::new("/usr/sbin"));
        assert_eq!(at("bin/p"), Path::new("/usr/sbin/p"));
        assert_eq!(at("lib/libp.so"), Path::new("/usr/lib/libp.so"));
        assert_eq!(below(None, Path::new("/usr/bin/p")), Path::new("/usr/bin/p"));
        assert_eq!(
            below(Some(Path::new("/d")), Path::new("/usr/bin/p")),
            Path::new("/d/usr/bin/p")
        );
        assert_eq!(
            below(Some(Path::new("d")), Path::new("/usr/bin/p")),
            Path::new("d/usr/bin/p")
        );
    }
}
