//! The shims of a folder, as they lie on disk.
//!
//! * `DIR/.buildlock/shims.json`: the rules.
//! * `DIR/.buildlock/shim`: this program; the shims are further names of it.
//! * `DIR/.buildlock/real/NAME`: the real programs.
//! * `DIR/NAME`: the shims.
//!
//! Each change is one rename over what was there, so that each name is at each moment either the real program or a shim
//! with all that it needs, whenever we are killed. There is no journal: to do it again completes it. Two orders matter. All
//! real programs are in `real` before the first shim is in its place, and they stay there until the last is back. And proxies
//! may be links to one program: the shim for that comes last, and goes first.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ours;
use crate::Failure;
use crate::rules::Rules;

/// The folder beside the shims.
const BESIDE: &str = ".buildlock";
const CONFIG: &str = "shims.json";
const SHIM: &str = "shim";
const REAL: &str = "real";

/// The version of the configuration's format.
const VERSION: u32 = 1;

/// By this a file is known as a shim, whichever version of this program it is.
#[used]
static MARK: [u8; 48] = *b"This file is buildlock, standing in for others.\n";

/// What a shim reads when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    version: u32,
    /// The lock folder, where the rules' own is not to be used.
    lock_folder: Option<PathBuf>,
    rules: Rules,
}

impl Config {
    pub(crate) fn new(lock_folder: Option<PathBuf>, rules: Rules) -> Self {
        Self {
            version: VERSION,
            lock_folder,
            rules,
        }
    }
}

/// The shims of a folder.
#[derive(Debug)]
pub(crate) struct Shims {
    dir: PathBuf,
    config: Config,
}

/// What stands in the place of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A shim.
    Shim,
    /// The program itself.
    Real,
    /// Nothing.
    Missing,
    /// A shim without the program that it stands in for.
    Lost,
}

impl Shims {
    /// Those of the folder in which a program is.
    pub(crate) fn beside(program: &Path) -> Result<Option<Self>, Failure> {
        program.parent().map_or(Ok(None), Self::in_folder)
    }

    /// Those of a folder, if there are any.
    pub(crate) fn in_folder(dir: &Path) -> Result<Option<Self>, Failure> {
        let path = dir.join(BESIDE).join(CONFIG);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path, &e)),
        };
        let config: Config = serde_json::from_slice(&text).map_err(|e| {
            let path = path.display();
            ours(format!(
                "`{path}` makes no sense: {e}; run `buildlock shim install` again"
            ))
        })?;
        if config.version != VERSION {
            let (path, version) = (path.display(), config.version);
            return Err(ours(format!(
                "`{path}` has version {version} and not {VERSION}: run `buildlock shim install` again"
            )));
        }
        let dir = dir.to_owned();
        Ok(Some(Self { dir, config }))
    }

    /// Those that are to be.
    pub(crate) fn new(dir: PathBuf, config: Config) -> Self {
        Self { dir, config }
    }

    /// Prepares the folder for them, or changes the rules of those that are there.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let real = self.beside_path(REAL);
        fs::create_dir_all(&real).map_err(|e| failed("create", &real, &e))?;
        let own = std::env::current_exe().map_err(|e| ours(format!("cannot find this program: {e}")))?;
        let aside = self.beside_path("new");
        // A copy: whoever updates this program must not change the shims half-way.
        fs::copy(&own, &aside).map_err(|e| failed("copy this program to", &aside, &e))?;
        rename(&aside, &self.beside_path(SHIM))?;
        let text =
            serde_json::to_vec(&self.config).map_err(|e| ours(format!("cannot write the rules: {e}")))?;
        fs::write(&aside, text).map_err(|e| failed("write", &aside, &e))?;
        rename(&aside, &self.beside_path(CONFIG))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.config.rules
    }

    pub(crate) fn lock_folder(&self) -> Option<PathBuf> {
        self.config.lock_folder.clone()
    }

    /// Whether there is a shim by this name.
    pub(crate) fn has(&self, name: &OsStr) -> bool {
        self.real(name).symlink_metadata().is_ok()
    }

    /// Where the real program of this name is, if there is one.
    pub(crate) fn real(&self, name: &OsStr) -> PathBuf {
        self.beside_path(REAL).join(name)
    }

    /// Puts shims in the places of all programs that the rules are about, and returns their names.
    pub(crate) fn install(&self) -> Result<Vec<String>, Failure> {
        let names = self.names();
        let lost: Vec<_> = names
            .iter()
            .filter(|name| self.state(name) == State::Lost)
            .collect();
        if let Some(name) = lost.first() {
            let (name, real) = (name.as_str(), self.real(OsStr::new(name.as_str())));
            return Err(ours(format!(
                "`{name}` is a shim already, but its program is not in `{}`: install the program again first",
                real.display()
            )));
        }
        for name in names.iter().filter(|name| self.state(name) == State::Real) {
            self.keep_real(name)?;
        }
        for name in &names {
            self.put(&self.beside_path(SHIM), name)?;
        }
        Ok(names)
    }

    /// Puts back shims that a program has overwritten: one that updates itself does. Returns the names.
    pub(crate) fn repair(&self) -> Result<Vec<String>, Failure> {
        let names = self.names();
        if names.is_empty() {
            // It has uninstalled itself.
            self.forget()?;
            return Ok(names);
        }
        let rewritten: Vec<_> = names
            .into_iter()
            .filter(|name| self.state(name) == State::Real)
            .collect();
        for name in &rewritten {
            self.keep_real(name)?;
        }
        for name in &rewritten {
            self.put(&self.beside_path(SHIM), name)?;
        }
        Ok(rewritten)
    }

    /// Puts the real programs back in their places, and returns their names. Where somebody removed the shim, too: the program
    /// that is kept here may be the only one.
    pub(crate) fn remove(&self) -> Result<Vec<String>, Failure> {
        let mut names = self.sorted(self.config.rules.programs());
        names.reverse();
        names.retain(|name| {
            self.has(OsStr::new(name)) && matches!(self.state(name), State::Shim | State::Missing)
        });
        for name in &names {
            self.put(&self.real(OsStr::new(name)), name)?;
        }
        self.forget()?;
        Ok(names)
    }

    /// What stands in the place of each program.
    pub(crate) fn states(&self) -> Result<Vec<(String, State)>, Failure> {
        let mut programs = self.config.rules.programs();
        programs.retain(|name| self.has(OsStr::new(name)) || self.state(name) == State::Lost);
        Ok(programs
            .into_iter()
            .map(|name| (self.state(&name), name))
            .map(|(s, n)| (n, s))
            .collect())
    }

    /// The programs that are here, those that others are links to last.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.config.rules.programs();
        names.retain(|name| self.state(name) != State::Missing);
        self.sorted(names)
    }

    /// Those that others are links to last.
    fn sorted(&self, mut names: Vec<String>) -> Vec<String> {
        let linked_to = |name: &String| {
            let link = |other: &String| {
                fs::read_link(self.dir.join(other)).or_else(|_| fs::read_link(self.real(OsStr::new(other))))
            };
            self.config
                .rules
                .programs()
                .iter()
                .any(|other| link(other).is_ok_and(|to| to.file_name() == Some(OsStr::new(name))))
        };
        names.sort_by_key(linked_to);
        names
    }

    fn state(&self, name: &str) -> State {
        let place = self.dir.join(name);
        match place.symlink_metadata() {
            Err(_) => State::Missing,
            Ok(metadata) if metadata.is_file() && self.is_shim(&place) => {
                if self.has(OsStr::new(name)) {
                    State::Shim
                } else {
                    State::Lost
                }
            }
            Ok(_) => State::Real,
        }
    }

    fn is_shim(&self, file: &Path) -> bool {
        same_file(file, &self.beside_path(SHIM))
            || fs::read(file).is_ok_and(|bytes| bytes.windows(MARK.len()).any(|w| w == MARK))
    }

    /// Gives a real program a second place, where its shim will find it.
    fn keep_real(&self, name: &str) -> Result<(), Failure> {
        let (place, aside) = (self.dir.join(name), self.aside(name));
        self.duplicate(&place, &aside)?;
        rename(&aside, &self.real(OsStr::new(name)))
    }

    /// Replaces what stands in a program's place.
    fn put(&self, what: &Path, name: &str) -> Result<(), Failure> {
        let (place, aside) = (self.dir.join(name), self.aside(name));
        if same_file(what, &place) {
            return Ok(());
        }
        self.duplicate(what, &aside)?;
        rename(&aside, &place)
    }

    /// Makes another name for a file, or a copy where there can be none.
    fn duplicate(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        let done = remove_if_there(to).and_then(|()| match fs::read_link(from) {
            Ok(target) => symlink(&self.neighbour(target), to),
            Err(_) => fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)),
        });
        done.map_err(|e| failed("write", to, &e))
    }

    /// A link to a program of this folder means, among the real ones, the real one.
    fn neighbour(&self, target: PathBuf) -> PathBuf {
        let target = self.dir.join(target);
        match (target.parent(), target.file_name()) {
            (Some(parent), Some(name)) if parent == self.dir => name.into(),
            _ => target,
        }
    }

    fn forget(&self) -> Result<(), Failure> {
        let beside = self.dir.join(BESIDE);
        fs::remove_dir_all(&beside).map_err(|e| failed("remove", &beside, &e))
    }

    fn beside_path(&self, name: &str) -> PathBuf {
        self.dir.join(BESIDE).join(name)
    }

    /// A name on the same file system for what is about to be renamed.
    fn aside(&self, name: &str) -> PathBuf {
        let mut file: OsString = name.into();
        file.push(".new");
        self.dir.join(BESIDE).join(file)
    }
}

#[cfg(unix)]
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn same_file(_one: &Path, _other: &Path) -> bool {
    false
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Two names of one file cannot be renamed onto each other: then the first stays (rename(2)).
fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to)
        .and_then(|()| remove_if_there(from))
        .map_err(|e| failed("replace", to, &e))
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    ours(format!("cannot {action} `{}`: {error}", path.display()))
}
