//! `clean`: removes outputs; the lock folder always stays, the cache does unless told otherwise.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::components;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::CleanArgs;
use crate::stage0::Progress;
use crate::stage0::collect::{Extent, HumanBytes};

/// Where things are moved to before they are removed, so that a `clean` that is killed leaves nothing that looks whole.
const REMOVING: &str = ".removing-";

pub(super) fn run(ctx: &Context, args: &CleanArgs) -> Result<Exit> {
    if args.stage0 {
        return clean_stage0(ctx);
    }
    let build = &ctx.config.build;
    let cache = components::cache(&ctx.config);
    must_hold_no_sources(&build.build_dir, &ctx.config.root, &build.workspaces)?;
    let mut kept = vec![build.lock_dir.as_path()];
    if !args.all {
        kept.push(&build.cache_dir);
    } else if cache.is_shared() {
        ctx.shell.note(format_args!(
            "`{}` stays: it lies outside of the build directory, and others may use it",
            build.cache_dir.display()
        ));
    }
    let doomed = outside_of(&kept, &build.build_dir)?;
    if ctx.flags.dry_run {
        doomed
            .iter()
            .for_each(|path| ctx.shell.status("Would remove", path.display()));
        return Ok(Exit::Done);
    }
    // A launcher that fills the cache holds no session.
    let mut progress = Progress::new();
    let locks = args.all.then(|| {
        cache.lock("removing it", components::patience(ctx), &mut |event| {
            progress.show(event);
        })
    });
    let locks = locks.transpose()?;
    remove(ctx, &doomed)?;
    drop(locks);
    Ok(Exit::Done)
}

fn clean_stage0(ctx: &Context) -> Result<Exit> {
    if ctx.flags.dry_run {
        return Err(Error::usage(
            "`clean --stage0` cannot say beforehand what it would remove",
        ));
    }
    let freed = components::collect(ctx, Extent::Unused)?;
    for (path, bytes) in &freed.parts {
        ctx.shell.status(
            "Removed",
            format_args!("{} ({})", path.display(), HumanBytes(*bytes)),
        );
    }
    ctx.shell.status("Freed", HumanBytes(freed.bytes()));
    if components::cache(&ctx.config).is_shared() {
        ctx.shell.note(
            "the cache is shared: what was used in the last two weeks stays, as others may still need it",
        );
    }
    Ok(Exit::Done)
}

/// Refuses a build directory whose content is not only ours.
fn must_hold_no_sources(build_dir: &Path, root: &Path, workspaces: &[PathBuf]) -> Result<()> {
    let mut sources = [root].into_iter().chain(workspaces.iter().map(PathBuf::as_path));
    sources
        .find(|folder| folder.starts_with(build_dir))
        .map_or(Ok(()), |folder| {
            let inside = format!(
                "the sources in `{}` lie in it; remove by hand what you want gone",
                folder.display()
            );
            Err(Error::usage("refusing to clean the build directory")
                .at(build_dir)
                .advice(inside))
        })
}

/// What lies in a folder and neither is nor holds one of those that are kept.
fn outside_of(kept: &[&Path], folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Error::io("cannot list", folder, e))?,
    };
    let mut doomed = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot list", folder, e))?.path();
        if kept.contains(&path.as_path()) {
            continue;
        }
        if kept.iter().any(|kept| kept.starts_with(&path)) {
            doomed.extend(outside_of(kept, &path)?);
        } else {
            doomed.push(path);
        }
    }
    doomed.sort();
    Ok(doomed)
}

fn remove(ctx: &Context, doomed: &[PathBuf]) -> Result<()> {
    if doomed.is_empty() {
        return Ok(());
    }
    let build_dir = &ctx.config.build.build_dir;
    let removing = tempfile::Builder::new()
        .prefix(REMOVING)
        .tempdir_in(build_dir)
        .map_err(|e| Error::io("cannot create a folder in", build_dir, e))?;
    for (number, path) in doomed.iter().enumerate() {
        let aside = removing.path().join(number.to_string());
        match fs::rename(path, &aside) {
            // A mount point cannot be moved, only emptied.
            Err(e)
                if e.kind() == io::ErrorKind::CrossesDevices || e.kind() == io::ErrorKind::ResourceBusy =>
            {
                let inside = outside_of(&[], path)?;
                inside.iter().try_for_each(|path| remove_all(path))?;
            }
            moved => moved.map_err(|e| Error::io("cannot remove", path, e))?,
        }
        ctx.shell.status("Removed", path.display());
    }
    let path = removing.path().to_owned();
    removing.close().map_err(|e| Error::io("cannot remove", path, e))
}

fn remove_all(path: &Path) -> Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_folder {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|e| Error::io("cannot remove", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_directory_around_the_sources_is_not_cleaned() {
        let check = |build_dir: &str| {
            must_hold_no_sources(Path::new(build_dir), Path::new("/src/it"), &["/src/other".into()])
        };
        for around in ["/src/it", "/src", "/", "/src/other"] {
            assert_eq!(check(around).unwrap_err().exit(), Exit::Usage, "{around}");
        }
        for apart in ["/src/it/build", "/src/it2", "/tmp"] {
            check(apart).unwrap();
        }
    }

    #[test]
    fn all_goes_but_what_is_kept_and_what_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path();
        for file in [
            "target/a",
            "host/bin/b",
            "session/gate",
            "deep/locks/gate",
            "deep/other/c",
            "note",
        ] {
            let path = build.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names = |kept: &[&str]| -> Vec<_> {
            let kept: Vec<_> = kept.iter().map(|name| build.join(name)).collect();
            let kept: Vec<_> = kept.iter().map(PathBuf::as_path).collect();
            let doomed = outside_of(&kept, build).unwrap();
            doomed
                .iter()
                .map(|path| {
                    path.strip_prefix(build)
                        .unwrap()
                        .display()
                        .to_string()
                        .replace('\\', "/")
                })
                .collect()
        };
        assert_eq!(
            names(&["session", "deep/locks"]),
            ["deep/other", "host", "note", "target"]
        );
        assert_eq!(names(&["absent"]), ["deep", "host", "note", "session", "target"]);
        assert!(outside_of(&[], &build.join("absent")).unwrap().is_empty());
    }
}
