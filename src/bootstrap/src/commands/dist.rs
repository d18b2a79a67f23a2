//! `dist`: a versioned archive of what `build` makes, with its documents, in `<build-dir>/dist`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::context::Context;
use crate::dist::{self, Compression, Item, Kind};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::flags::Selection;
use crate::release;
use crate::tokens::OwnWork;
use crate::workspace::{self, Member, Workspace};

/// How the files begin that belong to a program wherever it goes.
const DOCUMENTS: [&str; 7] = [
    "README",
    "LICENSE",
    "LICENCE",
    "COPYING",
    "UNLICENSE",
    "NOTICE",
    "CHANGELOG",
];

pub(super) fn run(ctx: &Context, args: &Selection) -> Result<Exit> {
    let workspaces = Workspace::all(&ctx.config);
    let name = name(ctx);
    let version = version(&workspaces, &workspace::members(ctx, &workspaces)?)?;
    let top = format!("{name}-{version}-{}", ctx.launch.host);
    let folder = ctx.config.build.build_dir.join("dist");
    let (exit, mut items) = release::build(ctx, args)?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    if ctx.flags.dry_run {
        ctx.shell
            .status("Would pack", folder.join(top + ".tar.xz").display());
        return Ok(Exit::Done);
    }
    if items.is_empty() {
        return Err(Error::usage(
            "there is nothing to pack: the packages make neither programs nor C libraries",
        ));
    }
    for workspace in &workspaces {
        items.extend(documents(workspace, &ctx.config.root, &name)?);
    }
    let time = time(&ctx.config.root)?;
    ctx.shell
        .status("Packing", format_args!("{} files into {top}.tar.xz", items.len()));
    let mut work = OwnWork::start(ctx, "pack")?;
    let how = Compression {
        level: ctx.config.dist.compression_level,
        threads: work.threads(ctx, dist::THREADS_MAX)?,
    };
    let packed = dist::make(&folder, &top, &items, time, how, ctx.interrupts.cancel());
    drop(work);
    // Being told to end is why it failed, if it was.
    ctx.interrupts.check()?;
    let archive = packed.map_err(|e| Error::io("cannot make an archive in", &folder, e))?;
    ctx.shell.status("Packed", archive.display());
    Ok(Exit::Done)
}

/// `dist.name`, else the name of the source root's folder.
fn name(ctx: &Context) -> String {
    let folder = || {
        ctx.config
            .root
            .file_name()
            .unwrap_or(OsStr::new("dist"))
            .to_string_lossy()
            .into_owned()
    };
    ctx.config.dist.name.clone().unwrap_or_else(folder)
}

/// The version of the first workspace: that of the package at its top, else the one that all its packages have.
fn version(workspaces: &[Workspace], members: &[Member]) -> Result<String> {
    let first: Vec<_> = members.iter().filter(|member| member.workspace == 0).collect();
    let top = workspaces
        .first()
        .and_then(|one| first.iter().find(|member| member.folder == one.folder));
    if let Some(top) = top {
        return Ok(top.package.version.clone());
    }
    let mut versions: Vec<_> = first
        .iter()
        .map(|member| member.package.version.as_str())
        .collect();
    versions.sort_unstable();
    versions.dedup();
    match versions.as_slice() {
        [version] => Ok((*version).to_owned()),
        versions => {
            let several = versions.join(", ");
            Err(Error::usage(format!(
                "the packages have several versions ({several}), and an archive has one"
            ))
            .advice("give them one (`version.workspace = true`), or name a package at the workspace's top"))
        }
    }
}

/// The documents of a workspace. Those of another than the source root go to a folder of their own.
fn documents(workspace: &Workspace, root: &Path, name: &str) -> Result<Vec<Item>> {
    let folder = &workspace.folder;
    let failed = |e| Error::io("cannot list", folder, e);
    let its_name = match folder.file_name() {
        Some(its_name) if folder != root => its_name.to_string_lossy().into_owned(),
        _ => name.to_owned(),
    };
    let mut items = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let upper = file.to_ascii_uppercase();
        if path.is_file() && DOCUMENTS.iter().any(|begin| upper.starts_with(begin)) {
            items.push(Item {
                from: path,
                to: format!("share/doc/{its_name}/{file}"),
                kind: Kind::Text,
            });
        }
    }
    Ok(items)
}

/// The time that everything in the archive gets: `SOURCE_DATE_EPOCH` (reproducible-builds.org), else that of the commit,
/// else the beginning of time.
fn time(root: &Path) -> Result<u64> {
    if let Some(given) = env::var_os("SOURCE_DATE_EPOCH") {
        return given.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Error::usage("SOURCE_DATE_EPOCH is not a number of seconds since the Unix epoch")
        });
    }
    let commit = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root)
        .output();
    let seconds = commit.ok().filter(|output| output.status.success());
    Ok(seconds
        .and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok())
        .unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn member(folder: &str, version: &str) -> Member {
        Member {
            workspace: 0,
            id: String::new(),
            package: Package {
                name: "p".to_owned(),
                version: version.to_owned(),
            },
            folder: folder.into(),
            programs: Vec::new(),
            default_run: None,
            is_handed_out: true,
        }
    }

    #[test]
    fn the_version_is_that_at_the_top_or_that_of_all() {
        let workspaces = [Workspace {
            folder: "/w".into(),
            target: "/t".into(),
        }];
        let of = |members: &[Member]| version(&workspaces, members);
        assert_eq!(
            of(&[member("/w/a", "1.0.0"), member("/w", "2.0.0")]).unwrap(),
            "2.0.0"
        );
        assert_eq!(
            of(&[member("/w/a", "1.0.0"), member("/w/b", "1.0.0")]).unwrap(),
            "1.0.0"
        );
        let error = of(&[member("/w/a", "1.0.0"), member("/w/b", "1.1.0")]).unwrap_err();
        assert!(error.to_string().contains("(1.0.0, 1.1.0)"), "{error}");
    }

    #[test]
    fn the_documents_of_each_workspace_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["LICENSE-MIT", "README.md", "Cargo.toml", "unlicense"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let workspace = Workspace {
            folder: folder.path().to_owned(),
            target: "/t".into(),
        };
        let places = |root: &Path| {
            let mut places: Vec<_> = documents(&workspace, root, "p")
                .unwrap()
                .into_iter()
                .map(|item| item.to)
                .collect();
            places.sort();
            places
        };
        let expected = [
            "share/doc/p/LICENSE-MIT",
            "share/doc/p/README.md",
            "share/doc/p/unlicense",
        ];
        assert_eq!(places(folder.path()), expected);
        let its_name = folder.path().file_name().unwrap().to_string_lossy();
        assert!(
            places(Path::new("/"))
                .iter()
                .all(|place| place.starts_with(&format!("share/doc/{its_name}/")))
        );
    }
}
