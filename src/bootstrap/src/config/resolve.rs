//! From the settings to the typed [`Config`]: types are checked, defaults filled in, flags put on top.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::diagnostic::{ConfigError, Diagnostic, one_of};
use super::layer::Layer;
use super::load::{Loaded, Surroundings};
use super::value::{Kind, Value};
use super::values::{Expected, JobPool, Jobs, LockTimeout, MinFreeMemory, Preempt};
use super::{Build, ChangeId, Config, Dist, Install, paths};
use crate::flags::Global;
use crate::suggest;

pub(super) fn resolve(around: &Surroundings, flags: &Global, loaded: Loaded) -> Result<Config, ConfigError> {
    let root = around.root.as_path();
    let mut settings = Settings {
        layer: loaded.layer,
        problems: Vec::new(),
    };

    let profile = settings.read("profile", text);
    let change_id = settings.read("change-id", change_id);
    let build = build(around, flags, &mut settings);
    let prefix = settings.or("install.prefix", path_in(root), || {
        paths::absolute(root, "/usr/local".as_ref())
    });
    let bindir = settings.or("install.bindir", path_in(&prefix), || prefix.join("bin"));
    let dist = Dist {
        name: settings.read("dist.name", file_name),
        cargo_profile: settings.or("dist.cargo-profile", text, || "release".to_owned()),
        compression_level: settings
            .or("dist.compression-level", integer_up_to::<9>, || 6)
            .into(),
    };

    debug_assert!(
        settings.layer.is_empty(),
        "keys that nobody reads: {:?}",
        settings.layer.keys()
    );
    if !settings.problems.is_empty() {
        return Err(ConfigError::all(settings.problems));
    }
    Ok(Config {
        root: around.root.clone(),
        file: loaded.file,
        change_id,
        profile,
        build,
        install: Install { prefix, bindir },
        dist,
    })
}

fn build(around: &Surroundings, flags: &Global, settings: &mut Settings) -> Build {
    let root = around.root.as_path();
    // Every key is read, even where a flag is stronger: a bad value must not lie in wait behind a flag.
    let build_dir = settings.or("build.build-dir", path_in(root), || root.join("build"));
    let lock_timeout = settings.or_default("build.lock-timeout", lock_timeout);
    let color = settings.or_default("build.color", choice);
    let verbose = settings.or_default("build.verbose", integer_up_to::<2>);

    let build_dir = match &flags.build_dir {
        Some(typed) => paths::absolute(&around.cwd, typed),
        None => build_dir,
    };
    let lock_timeout = match flags.lock_timeout {
        _ if flags.no_wait => LockTimeout::After(Duration::ZERO),
        Some(typed) => typed,
        // An editor takes a check that ends without a message for one that found nothing, and clears what it shows.
        None if flags.preemptible => LockTimeout::Never,
        None => lock_timeout,
    };
    Build {
        workspaces: settings.or("build.workspaces", paths_in(root), || vec![root.to_owned()]),
        rustc: settings.read("build.rustc", tool_in(root)),
        cargo: settings.read("build.cargo", tool_in(root)),
        cargo_profile: settings.or("build.cargo-profile", text, || "dev".to_owned()),
        jobs: settings.or_default("build.jobs", jobs),
        jobserver: settings.or_default("build.jobserver", choice),
        job_pool: settings.or_default("build.job-pool", |value| job_pool(root, value)),
        min_free_memory: settings.or_default("build.min-free-memory", min_free_memory),
        lock_mode: settings.or_default("build.lock-mode", choice),
        lock_timeout,
        lock_dir: settings.or("build.lock-dir", path_in(root), || build_dir.join("session")),
        cache_dir: settings.or("build.cache-dir", path_in(root), || build_dir.join("cache")),
        target_dir: settings.or_default("build.target-dir", choice),
        stage0: settings.or_default("build.stage0", choice),
        dist_server: settings.read("build.dist-server", url),
        preempt: settings.or_default("build.preempt", preempt),
        editor_build_dir: settings.or_default("build.editor-build-dir", choice),
        color: flags.color.unwrap_or(color),
        verbose: flags.verbose.max(verbose),
        build_dir,
    }
}

/// The settings that have not been read yet, and what was wrong with those that have.
struct Settings {
    layer: Layer,
    problems: Vec<Diagnostic>,
}

impl Settings {
    /// Takes a key out and reads it; `None` when it is not set, or wrong.
    fn read<T>(&mut self, key: &'static str, read: impl FnOnce(&Value) -> Result<T, Refusal>) -> Option<T> {
        debug_assert!(super::KEYS.contains(&key), "`{key}` is not in KEYS");
        let setting = self.layer.remove(key)?;
        match read(&setting.value) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let place = setting.place(refusal.span);
                self.problems.push(Diagnostic::at(
                    place,
                    format!("bad value for `{key}`"),
                    refusal.label,
                ));
                None
            }
        }
    }

    fn or<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Refusal>,
        default: impl FnOnce() -> T,
    ) -> T {
        self.read(key, read).unwrap_or_else(default)
    }

    fn or_default<T: Default>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Refusal>,
    ) -> T {
        self.read(key, read).unwrap_or_default()
    }
}

/// Why a value is not what its key takes, and which part of it.
struct Refusal {
    span: Range<usize>,
    label: String,
}

fn refuse(value: &Value, expected: impl fmt::Display) -> Refusal {
    let label = match &value.kind {
        // Its kind is plain to see above the caret.
        Kind::Text(_) | Kind::Integer(_) => format!("expected {expected}"),
        _ => format!("expected {expected}, found {}", value.describe()),
    };
    Refusal {
        span: value.span.clone(),
        label,
    }
}

fn text(value: &Value) -> Result<String, Refusal> {
    match &value.kind {
        Kind::Text(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(refuse(value, "a string that is not empty")),
    }
}

/// A name that becomes part of a file's, so it must not lead anywhere else.
fn file_name(value: &Value) -> Result<String, Refusal> {
    text(value)
        .ok()
        .filter(|name| !name.contains(['/', '\\']) && !name.starts_with('.'))
        .ok_or_else(|| refuse(value, "a name without slashes, not beginning with a dot"))
}

fn path(folder: &Path, value: &Value) -> Result<PathBuf, Refusal> {
    match &value.kind {
        Kind::Text(text) if !text.is_empty() => Ok(paths::absolute(folder, Path::new(text))),
        _ => Err(refuse(value, "a path that is not empty")),
    }
}

fn path_in(folder: &Path) -> impl Fn(&Value) -> Result<PathBuf, Refusal> {
    move |value| path(folder, value)
}

fn paths_in(folder: &Path) -> impl Fn(&Value) -> Result<Vec<PathBuf>, Refusal> {
    move |value| match &value.kind {
        Kind::Array(items) if !items.is_empty() => items.iter().map(|item| path(folder, item)).collect(),
        _ => Err(refuse(value, "an array of at least one path")),
    }
}

/// A program: a path where it has a separator, and otherwise a name for PATH.
fn tool_in(folder: &Path) -> impl Fn(&Value) -> Result<PathBuf, Refusal> {
    move |value| match &value.kind {
        Kind::Text(text) if !text.is_empty() && !has_separator(text) => Ok(PathBuf::from(text)),
        _ => path(folder, value),
    }
}

fn has_separator(text: &str) -> bool {
    text.contains(std::path::is_separator)
}

fn choice<T: ValueEnum>(value: &Value) -> Result<T, Refusal> {
    let names = || {
        T::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value)
    };
    let expected = || one_of(names().map(|name| format!("\"{}\"", name.get_name())));
    let Kind::Text(text) = &value.kind else {
        return Err(refuse(value, expected()));
    };
    T::from_str(text, false).map_err(|_| {
        let names: Vec<_> = names().collect();
        let mut refusal = refuse(value, expected());
        if let Some(close) = suggest::closest(text, names.iter().map(|name| name.get_name())) {
            refusal.label += &format!("; did you mean \"{close}\"?");
        }
        refusal
    })
}

fn parsed<T: FromStr>(value: &Value, expected: Expected) -> Result<T, Refusal> {
    match &value.kind {
        Kind::Text(text) => text.parse().map_err(|_| refuse(value, expected.0)),
        _ => Err(refuse(value, expected.0)),
    }
}

fn preempt(value: &Value) -> Result<Preempt, Refusal> {
    parsed(value, Preempt::EXPECTED)
}

fn min_free_memory(value: &Value) -> Result<MinFreeMemory, Refusal> {
    parsed(value, MinFreeMemory::EXPECTED)
}

fn change_id(value: &Value) -> Result<ChangeId, Refusal> {
    let id = match &value.kind {
        Kind::Text(text) if text == "ignore" => return Ok(ChangeId::Ignore),
        Kind::Integer(id) => u32::try_from(*id).ok(),
        _ => None,
    };
    id.map(ChangeId::Id)
        .ok_or_else(|| refuse(value, "the number of a change, or \"ignore\""))
}

fn jobs(value: &Value) -> Result<Jobs, Refusal> {
    let count = match &value.kind {
        Kind::Text(text) if text == "auto" => return Ok(Jobs::Auto),
        Kind::Integer(count) => u32::try_from(*count).ok().and_then(|count| count.try_into().ok()),
        _ => None,
    };
    count
        .map(Jobs::Count)
        .ok_or_else(|| refuse(value, "a number from 1 on, or \"auto\""))
}

fn integer_up_to<const MAX: u8>(value: &Value) -> Result<u8, Refusal> {
    let number = match value.kind {
        Kind::Integer(number) => u8::try_from(number).ok().filter(|number| *number <= MAX),
        _ => None,
    };
    number.ok_or_else(|| refuse(value, format_args!("a number from 0 to {MAX}")))
}

fn lock_timeout(value: &Value) -> Result<LockTimeout, Refusal> {
    let seconds = match &value.kind {
        Kind::Text(text) if text == "never" => return Ok(LockTimeout::Never),
        // Past 2^53 seconds the conversion is not exact, which nobody will live to see.
        Kind::Integer(seconds) => *seconds as f64,
        Kind::Float(seconds) => *seconds,
        _ => return Err(refuse(value, LockTimeout::EXPECTED.0)),
    };
    Duration::try_from_secs_f64(seconds)
        .map(LockTimeout::After)
        .map_err(|_| refuse(value, LockTimeout::EXPECTED.0))
}

fn job_pool(root: &Path, value: &Value) -> Result<JobPool, Refusal> {
    match &value.kind {
        Kind::Text(text) if text == "user" => Ok(JobPool::User),
        Kind::Text(text) if text == "build-dir" => Ok(JobPool::BuildDir),
        // A bare word is more likely a slip of the two above than a folder.
        Kind::Text(text) if has_separator(text) => path(root, value).map(JobPool::Path),
        _ => Err(refuse(
            value,
            "\"user\", \"build-dir\" or a path with a separator, such as \"./pool\"",
        )),
    }
}

fn url(value: &Value) -> Result<String, Refusal> {
    const SCHEMES: [&str; 3] = ["https://", "http://", "file://"];
    text(value)
        .ok()
        .filter(|text| {
            SCHEMES
                .iter()
                .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        })
        .ok_or_else(|| {
            refuse(
                value,
                format_args!("an address that begins with {}", one_of(SCHEMES)),
            )
        })
}
