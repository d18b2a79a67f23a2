//! Which packages of which Cargo workspaces a command is about.
//!
//! Where the user names nothing, cargo itself knows what `--workspace` is, and `cargo metadata` is not asked: it would cost
//! more than the rest of the driver.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Metadata, MetadataCommand};

use crate::config::{Config, TargetDir};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::suggest::closest;

/// A Cargo workspace of `build.workspaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its folder; absolute.
    pub folder: PathBuf,
    /// Cargo's target directory for it; absolute.
    pub target: PathBuf,
}

/// A workspace, and what of it a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The workspace.
    pub workspace: Workspace,
    /// What of it.
    pub packages: Packages,
}

/// The packages that were chosen of one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// All of them.
    All,
    /// Only these.
    Only(Vec<Package>),
}

/// A package that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, which tells it from a dependency that has the same name.
    pub version: String,
}

impl Package {
    /// The package as cargo's `--package` takes it.
    #[must_use]
    pub fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl Workspace {
    /// The workspaces that the configuration names, in its order.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Self> {
        let build = &config.build;
        let targets = build.build_dir.join("target");
        let workspace = |folder: &PathBuf| Self {
            folder: folder.clone(),
            target: targets.join(match build.target_dir {
                TargetDir::PerWorkspace => target_name(&config.root, folder),
                TargetDir::Shared => "shared".to_owned(),
            }),
        };
        build.workspaces.iter().map(workspace).collect()
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }
}

/// A name for a workspace's target directory: its folder's, which people recognise, and a hash of where it lies, because
/// two workspaces may have folders of one name. Below the root only the relative path counts, so a checkout can be moved.
fn target_name(root: &Path, folder: &Path) -> String {
    let place = folder.strip_prefix(root).unwrap_or(folder);
    if place == Path::new("") {
        return "root".to_owned();
    }
    let name = folder.file_name().unwrap_or(OsStr::new("workspace"));
    format!(
        "{}-{:08x}",
        name.to_string_lossy(),
        fnv1a(place.as_os_str().as_encoded_bytes())
    )
}

/// The 32-bit FNV-1a hash (RFC 9923). Of no use against somebody who wants two folders to collide, which nobody gains from.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Finds what the user named: packages by name, or by a path in or above them; a workspace by its manifest. Nothing named is
/// everything.
///
/// # Errors
/// A usage error where there is no such package, or a workspace that the configuration names is not there.
pub fn choose(ctx: &Context, names: &[OsString]) -> Result<Vec<Chosen>> {
    let (chosen, _) = choose_with(ctx, names, &[])?;
    Ok(chosen)
}

/// Like [`choose`], but a name may also be one of `others`, which are returned in the second place.
///
/// # Errors
/// As [`choose`].
pub fn choose_with(ctx: &Context, names: &[OsString], others: &[&str]) -> Result<(Vec<Chosen>, Vec<String>)> {
    let workspaces = Workspace::all(&ctx.config);
    for workspace in &workspaces {
        let manifest = workspace.manifest();
        if !manifest.is_file() {
            return Err(Error::usage("there is no Cargo workspace in")
                .at(&workspace.folder)
                .advice("`build.workspaces` in bootstrap.toml names the folders to work on"));
        }
    }
    // What is no package at all needs no cargo to be found.
    if names
        .iter()
        .all(|name| name.to_str().is_some_and(|name| others.contains(&name)))
        && !names.is_empty()
    {
        let found = names.iter().filter_map(|name| name.to_str().map(str::to_owned));
        return Ok((Vec::new(), found.collect()));
    }
    if names.is_empty() {
        let all = |workspace| Chosen {
            workspace,
            packages: Packages::All,
        };
        return Ok((workspaces.into_iter().map(all).collect(), Vec::new()));
    }
    let here = here()?;
    let all_of = |name: &OsString| workspace_of(&here.join(name), &workspaces);
    if let Some(named) = names.iter().map(all_of).collect::<Option<Vec<_>>>() {
        let named = workspaces.iter().enumerate().filter(|(at, _)| named.contains(at));
        let all = named.map(|(_, workspace)| Chosen {
            workspace: workspace.clone(),
            packages: Packages::All,
        });
        return Ok((all.collect(), Vec::new()));
    }
    let members = members(ctx, &workspaces)?;
    let picks = names
        .iter()
        .map(|name| match all_of(name) {
            Some(at) => Ok(Pick::Members(positions(&members, |member| {
                member.workspace == at
            }))),
            None => pick(name, &here, &members, others),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(gather(workspaces, &members, &picks))
}

/// The workspace, by index, whose manifest a path leads to.
fn workspace_of(path: &Path, workspaces: &[Workspace]) -> Option<usize> {
    let path = path.canonicalize().ok()?;
    workspaces.iter().position(|workspace| {
        workspace
            .manifest()
            .canonicalize()
            .is_ok_and(|manifest| manifest == path)
    })
}

/// Like [`choose`], for what is to be handed out: where the user names nothing, packages are left out whose manifest says
/// `package.metadata.dist.dist = false`, as cargo-dist reads it.
///
/// # Errors
/// As [`choose`].
pub fn choose_to_hand_out(ctx: &Context, names: &[OsString]) -> Result<Vec<Chosen>> {
    let chosen = choose(ctx, names)?;
    if !names.is_empty() {
        return Ok(chosen);
    }
    let workspaces: Vec<_> = chosen.into_iter().map(|one| one.workspace).collect();
    let members = members(ctx, &workspaces)?;
    let handed_out = Pick::Members(positions(&members, |member| member.is_handed_out));
    Ok(gather(workspaces, &members, &[handed_out]).0)
}

/// A package, as `cargo metadata` tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Which of the workspaces it belongs to.
    pub(crate) workspace: usize,
    pub(crate) package: Package,
    /// What cargo calls it in its messages, and rust-analyzer by `{label}`.
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    /// Its programs.
    pub(crate) programs: Vec<String>,
    /// The program that `cargo run` takes when none is named.
    pub(crate) default_run: Option<String>,
    /// Whether it is for others to use.
    pub(crate) is_handed_out: bool,
}

/// Asks cargo for the packages of all workspaces, at the same time.
pub(crate) fn members(ctx: &Context, workspaces: &[Workspace]) -> Result<Vec<Member>> {
    let mut asked = Vec::new();
    for workspace in workspaces {
        let mut command = MetadataCommand::new()
            .cargo_path(&ctx.launch.cargo)
            .manifest_path(workspace.manifest())
            .current_dir(&workspace.folder)
            .no_deps()
            .cargo_command();
        command.stdout(Stdio::piped());
        crate::cargo::set_environment(ctx, &mut command);
        asked.push(ctx.spawn(&mut command)?);
    }
    let mut members = Vec::new();
    let answers = workspaces.iter().zip(asked).enumerate();
    for (at, (workspace, mut cargo)) in answers {
        let mut answer = String::new();
        if let Some(mut stdout) = cargo.child.stdout.take() {
            std::io::Read::read_to_string(&mut stdout, &mut answer)
                .map_err(|e| Error::io("cannot read the packages of", &workspace.folder, e))?;
        }
        if !cargo.wait()?.success() {
            return Err(Error::usage("cargo cannot read the workspace in").at(&workspace.folder));
        }
        let metadata = MetadataCommand::parse(&answer).map_err(|e| {
            Error::environment("cannot read what cargo says of")
                .at(&workspace.folder)
                .because(e)
        })?;
        members.extend(members_of(at, &metadata));
    }
    Ok(members)
}

fn members_of(workspace: usize, metadata: &Metadata) -> Vec<Member> {
    let member = |package: &cargo_metadata::Package| Member {
        workspace,
        package: Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
        },
        id: package.id.repr.clone(),
        folder: package
            .manifest_path
            .parent()
            .map(|p| p.into())
            .unwrap_or_default(),
        programs: package
            .targets
            .iter()
            .filter(|t| t.is_bin())
            .map(|t| t.name.clone())
            .collect(),
        default_run: package.default_run.clone(),
        is_handed_out: package.metadata["dist"]["dist"] != false,
    };
    metadata.workspace_packages().into_iter().map(member).collect()
}

/// The members that a word of the command line stands for.
pub(crate) fn pick_members(word: &OsStr, members: Vec<Member>) -> Result<Vec<Member>> {
    match pick(word, &here()?, &members, &[])? {
        Pick::Members(found) => Ok(found.into_iter().map(|at| members[at].clone()).collect()),
        Pick::Other(_) => Ok(Vec::new()),
    }
}

fn here() -> Result<PathBuf> {
    std::env::current_dir().map_err(|e| Error::environment("cannot tell the working directory").because(e))
}

/// What one word of the command line stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pick {
    /// These members, by index.
    Members(Vec<usize>),
    /// Something else that has this name.
    Other(String),
}

/// A package's name comes first, then other names, then paths: a folder that happens to be called like a package is reached
/// with `./`.
fn pick(word: &OsStr, here: &Path, members: &[Member], others: &[&str]) -> Result<Pick> {
    let named = |name: &str| positions(members, |member| member.package.name == name || member.id == name);
    if let Some(name) = word.to_str() {
        let found = named(name);
        if !found.is_empty() {
            return Ok(Pick::Members(found));
        }
        if others.contains(&name) {
            return Ok(Pick::Other(name.to_owned()));
        }
    }
    let path = folded(&here.join(word));
    if path.exists() {
        let found = at_path(&path, members);
        if found.is_empty() {
            return Err(Error::usage("there is no package at, above or below")
                .at(path)
                .advice("`build.workspaces` in bootstrap.toml names the workspaces that commands act on"));
        }
        return Ok(Pick::Members(found));
    }
    Err(unknown(&word.to_string_lossy(), here, members, others))
}

/// The package that owns a path, or all packages below it. Links are followed where the path as typed finds nothing.
fn at_path(path: &Path, members: &[Member]) -> Vec<usize> {
    let at = |path: &Path| {
        let below = positions(members, |member| member.folder.starts_with(path));
        if !below.is_empty() {
            return below;
        }
        let owners = members
            .iter()
            .enumerate()
            .filter(|(_, member)| path.starts_with(&member.folder));
        let owner = owners.max_by_key(|(_, member)| member.folder.as_os_str().len());
        owner.map(|(index, _)| index).into_iter().collect()
    };
    match at(path) {
        found if !found.is_empty() => found,
        _ => path.canonicalize().map(|real| at(&real)).unwrap_or_default(),
    }
}

fn positions(members: &[Member], fits: impl Fn(&Member) -> bool) -> Vec<usize> {
    members
        .iter()
        .enumerate()
        .filter(|(_, member)| fits(member))
        .map(|(index, _)| index)
        .collect()
}

/// Folds `.` and `..` by name, as the user who typed them sees the tree.
fn folded(path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(folded.pop()),
            other => folded.push(other),
        }
    }
    folded
}

fn unknown(word: &str, here: &Path, members: &[Member], others: &[&str]) -> Error {
    let error = Error::usage(format!("there is no package or path `{word}`"));
    let known = members.iter().map(|member| member.package.name.as_str());
    let programs = members
        .iter()
        .flat_map(|member| member.programs.iter().map(String::as_str));
    let below = |member: &Member| Some(member.folder.strip_prefix(here).ok()?.to_str()?.to_owned());
    let folders: Vec<_> = members.iter().filter_map(below).collect();
    let candidates = known
        .chain(others.iter().copied())
        .chain(programs)
        .chain(folders.iter().map(String::as_str));
    match closest(word.trim_start_matches("./").trim_end_matches('/'), candidates) {
        Some(close) => error.advice(format!("did you mean `{close}`?")),
        None => error,
    }
}

/// Puts the picks together, workspace by workspace. A workspace of which nothing was picked is left out.
fn gather(workspaces: Vec<Workspace>, members: &[Member], picks: &[Pick]) -> (Vec<Chosen>, Vec<String>) {
    let is_picked = |index: usize| {
        picks
            .iter()
            .any(|pick| matches!(pick, Pick::Members(all) if all.contains(&index)))
    };
    let choose = |(at, workspace): (usize, Workspace)| {
        let of_it = || {
            members
                .iter()
                .enumerate()
                .filter(|(_, member)| member.workspace == at)
        };
        let picked: Vec<_> = of_it().filter(|(index, _)| is_picked(*index)).collect();
        let packages = if picked.len() == of_it().count() {
            Packages::All
        } else {
            Packages::Only(picked.iter().map(|(_, member)| member.package.clone()).collect())
        };
        (!picked.is_empty()).then_some(Chosen { workspace, packages })
    };
    let chosen = workspaces.into_iter().enumerate().filter_map(choose).collect();
    let others = picks.iter().filter_map(|pick| match pick {
        Pick::Other(name) => Some(name.clone()),
        Pick::Members(_) => None,
    });
    (chosen, others.collect())
}

#[cfg(test)]
mod tests;
