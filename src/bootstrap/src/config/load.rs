//! Finds the texts of the configuration and lays them over each other.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::diagnostic::{ConfigError, Diagnostic, Place, Source, one_of};
use super::layer::{self, Layer, Setting};
use super::paths;
use super::value::Kind;
use crate::suggest;

/// How far includes may nest below the first file.
const INCLUDE_DEPTH_MAX: usize = 16;
/// How many files may be read in all, counting one that is included twice as two.
const FILES_MAX: usize = 128;
/// How large a file may be.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// The name of the file that is looked for.
const FILE_NAME: &str = "bootstrap.toml";
/// Below the source root: the folder of the profiles.
const PROFILES: &str = "src/bootstrap/defaults";

/// What the configuration depends on beside its files and flags.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The source root; absolute.
    pub root: PathBuf,
    /// The working directory; absolute.
    pub cwd: PathBuf,
    /// The value of `RUST_BOOTSTRAP_CONFIG`; empty means unset.
    pub config_env: Option<OsString>,
}

/// All keys that are set anywhere, with the strongest of their values.
pub(super) struct Loaded {
    pub(super) file: Option<PathBuf>,
    pub(super) layer: Layer,
}

/// Reads a file, if there is one, and all that belongs to it, and lays `--set` over that.
pub(super) fn load(
    around: &Surroundings,
    found: Option<Found>,
    sets: &[String],
) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::default();
    let file = match found {
        None => None,
        Some(found) => {
            let source = read(&found.path).map_err(|error| {
                let why = found
                    .named_by
                    .map_or_else(String::new, |by| format!(", which {by} names"));
                Diagnostic::new(format!(
                    "cannot read the configuration `{}`{why}: {error}",
                    found.path.display()
                ))
            })?;
            reader.file(&found.path, source);
            Some(found.path)
        }
    };
    for set in sets {
        let layer = layer::parse_set(set, &mut reader.problems);
        reader.layer.extend(layer);
    }
    // Only now is it settled which profile it is; it is the weakest of all.
    if let Some(setting) = reader.layer.get("profile").cloned() {
        let mut layer = profile(&around.root, &setting, &mut reader.problems);
        layer.append(&mut reader.layer);
        reader.layer = layer;
    }
    if reader.problems.is_empty() {
        Ok(Loaded {
            file,
            layer: reader.layer,
        })
    } else {
        Err(ConfigError::all(reader.problems))
    }
}

/// The file that the configuration begins with.
pub(super) struct Found {
    path: PathBuf,
    /// Who asked for this file by name.
    named_by: Option<&'static str>,
}

/// Looks for that file; `config` is the value of `--config`.
pub(super) fn find(around: &Surroundings, config: Option<&Path>) -> Option<Found> {
    let named = |path: &Path, by| Found {
        path: paths::absolute(&around.cwd, path),
        named_by: Some(by),
    };
    if let Some(path) = config {
        return Some(named(path, "--config"));
    }
    if let Some(path) = around.config_env.as_ref().filter(|path| !path.is_empty()) {
        return Some(named(Path::new(path), "RUST_BOOTSTRAP_CONFIG"));
    }
    [&around.cwd, &around.root]
        .into_iter()
        .map(|folder| folder.join(FILE_NAME))
        // A link that leads nowhere is a mistake to be told of, not an absent file.
        .find(|path| path.symlink_metadata().is_ok())
        .map(|path| Found { path, named_by: None })
}

fn read(path: &Path) -> io::Result<Source> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_SIZE_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(io::Error::other(format!(
            "it is larger than {FILE_SIZE_MAX} bytes"
        )));
    }
    Ok(Source {
        name: path.display().to_string(),
        text,
    })
}

/// Reads files and what they include, weakest first.
#[derive(Default)]
struct Reader {
    layer: Layer,
    problems: Vec<Diagnostic>,
    /// The files that are being read, outermost first.
    open: Vec<PathBuf>,
    files_read: usize,
}

impl Reader {
    fn file(&mut self, path: &Path, source: Source) {
        let mut layer = layer::parse(source, &mut self.problems);
        self.files_read += 1;
        self.open.push(path.to_owned());
        if let Some(setting) = layer.remove("include") {
            self.includes(path, &setting);
        }
        self.open.pop();
        self.layer.extend(layer);
    }

    fn includes(&mut self, path: &Path, setting: &Setting) {
        let Kind::Array(items) = &setting.value.kind else {
            let label = format!("expected an array of paths, found {}", setting.value.describe());
            let place = setting.place(setting.value.span.clone());
            self.problems
                .push(Diagnostic::at(place, "bad value for `include`", label));
            return;
        };
        let folder = path.parent().unwrap_or(path);
        for item in items {
            let place = setting.place(item.span.clone());
            match &item.kind {
                Kind::Text(text) if !text.is_empty() => {
                    self.include(&paths::absolute(folder, Path::new(text)), place);
                }
                _ => {
                    let label = format!("expected a path, found {}", item.describe());
                    self.problems
                        .push(Diagnostic::at(place, "bad value in `include`", label));
                }
            }
        }
    }

    fn include(&mut self, path: &Path, place: Place) {
        let refusal = if self.open.iter().any(|open| open == path) {
            let round = self.open.iter().map(PathBuf::as_path).chain([path]);
            let round: Vec<String> = round.map(|path| path.display().to_string()).collect();
            Some(("include cycle".to_owned(), round.join(" -> ")))
        } else if self.open.len() > INCLUDE_DEPTH_MAX {
            Some((
                format!("includes nest more than {INCLUDE_DEPTH_MAX} deep"),
                String::new(),
            ))
        } else if self.files_read >= FILES_MAX {
            Some((
                format!("includes lead to more than {FILES_MAX} files"),
                String::new(),
            ))
        } else {
            None
        };
        match refusal {
            Some((message, label)) => self.problems.push(Diagnostic::at(place, message, label)),
            None => match read(path) {
                Ok(source) => self.file(path, source),
                Err(error) => {
                    let message = format!("cannot read the included file `{}`", path.display());
                    self.problems
                        .push(Diagnostic::at(place, message, error.to_string()));
                }
            },
        }
    }
}

/// Returns the names that `profile` may have: the files in `src/bootstrap/defaults`, sorted.
///
/// # Errors
///
/// Returns the error of reading that folder.
pub fn profile_names(root: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root.join(PROFILES))? {
        let name = entry?.file_name();
        let middle = name
            .to_str()
            .and_then(|name| name.strip_prefix("bootstrap.")?.strip_suffix(".toml"));
        names.extend(middle.map(str::to_owned));
    }
    Ok(names)
}

fn profile(root: &Path, setting: &Setting, problems: &mut Vec<Diagnostic>) -> Layer {
    let place = || setting.place(setting.value.span.clone());
    // A wrong type is for whoever reads the key to say.
    let Kind::Text(name) = &setting.value.kind else {
        return Layer::new();
    };
    // A folder that cannot be read has no profiles; the message below then says so.
    let names = profile_names(root).unwrap_or_default();
    if !names.contains(name) {
        let known = one_of(names.iter().map(|name| format!("`{name}`")));
        let label = match suggest::closest(name, names.iter().map(String::as_str)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => String::new(),
        };
        problems.push(
            Diagnostic::at(place(), format!("there is no profile `{name}`"), label)
                .help(format!("known are {known}, each a file in {PROFILES}")),
        );
        return Layer::new();
    }
    match read(&root.join(PROFILES).join(format!("bootstrap.{name}.toml"))) {
        Ok(source) => {
            let mut layer = layer::parse(source, problems);
            layer::refuse_in_profile(&mut layer, problems);
            layer
        }
        Err(error) => {
            problems.push(Diagnostic::at(
                place(),
                format!("cannot read the profile `{name}`"),
                error.to_string(),
            ));
            Layer::new()
        }
    }
}
