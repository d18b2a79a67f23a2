//! Which files are sources: those that git knows or would add, or else all that are not hidden.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// How deep folders may nest.
const DEPTH_MAX: usize = 64;

/// What git, or cargo, puts between sources.
const NO_SOURCES: [&str; 2] = ["target", "node_modules"];

/// The sources below a folder, relative to it, without those below `skip`.
pub(super) fn sources(folder: &Path, skip: &Path) -> Result<Vec<PathBuf>> {
    let mut found = match known_to_git(folder) {
        Some(files) => files,
        None => {
            let mut files = Vec::new();
            walk(folder, Path::new(""), DEPTH_MAX, &mut files)?;
            files
        }
    };
    found.retain(|file| !folder.join(file).starts_with(skip));
    Ok(found)
}

/// What git lists; nothing where the folder is not the top of a work tree, or there is no git. A folder deep in somebody
/// else's work tree, an unpacked package say, may be one that git ignores.
fn known_to_git(folder: &Path) -> Option<Vec<PathBuf>> {
    if !folder.join(".git").exists() {
        return None;
    }
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .current_dir(folder)
        // A hook's environment names the repository that it was run for.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let names = listed
        .stdout
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    Some(
        names
            .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
            .collect(),
    )
}

fn walk(top: &Path, below: &Path, depth_left: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = top.join(below);
    let failed = |e| Error::io("cannot list", &folder, e);
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let path = below.join(&name);
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && depth_left > 0 {
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if !hidden && !NO_SOURCES.iter().any(|other| name == *other) {
                walk(top, &path, depth_left - 1, files)?;
            }
        }
    }
    Ok(())
}
