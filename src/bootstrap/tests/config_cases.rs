//! Runs the table of cases that the launcher runs too: both must resolve one command line to one
//! configuration.
//!
//! `tests/cases/config/README.md` is the rule of the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use bootstrap::config::{Config, LockTimeout, Surroundings};
use bootstrap::flags::Cli;
use clap::ValueEnum;
use toml::{Table, Value};

/// What the table compares, by the names that it gives it.
type Resolved = BTreeMap<String, Value>;

#[test]
fn the_driver_resolves_every_case_as_the_launcher_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/config");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(
        files.len() > 40,
        "only {} cases were found in {}",
        files.len(),
        folder.display()
    );

    let failures: Vec<String> = files.iter().filter_map(|file| run(file).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n\n{}",
        failures.len(),
        files.len(),
        failures.join("\n\n")
    );
}

fn run(file: &Path) -> Result<(), String> {
    let top = tempfile::tempdir().expect("a temporary folder");
    let top = top.path();
    let case = fs::read_to_string(file).expect("the case");
    let case: Table = case
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let case = place(Value::Table(case), &slashed(top));
    let outcome = resolve(&case, top);
    let told = |what: String| format!("{}: {}\n{what}", file.display(), text(&case["about"]));

    match (outcome, case.get("error")) {
        (Ok(found), None) => {
            let expected = expected(&case, top);
            (found == expected)
                .then_some(())
                .ok_or_else(|| told(format!("{found:#?}\nexpected {expected:#?}")))
        }
        (Err(message), Some(parts)) => {
            let parts = parts.as_array().expect("`error` is an array");
            let missing: Vec<_> = parts
                .iter()
                .filter(|part| !message.contains(text(part)))
                .collect();
            missing
                .is_empty()
                .then_some(())
                .ok_or_else(|| told(format!("{message}\nlacks {missing:?}")))
        }
        (Ok(found), Some(_)) => Err(told(format!("was accepted: {found:#?}"))),
        (Err(message), None) => Err(told(message)),
    }
}

/// Lays out the case's files and resolves its command line.
fn resolve(case: &Value, top: &Path) -> Result<Resolved, String> {
    let root = top.join("root");
    let cwd = top.join(case.get("cwd").map_or("root", text));
    for folder in [&root, &cwd] {
        fs::create_dir_all(folder).expect("a folder of the case");
    }
    for (name, content) in case.get("files").and_then(Value::as_table).into_iter().flatten() {
        let path = top.join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder of the case");
        fs::write(path, text(content)).expect("a file of the case");
    }
    let args = match case.get("args") {
        Some(args) => args
            .as_array()
            .expect("`args` is an array")
            .iter()
            .map(text)
            .collect(),
        None => vec!["check"],
    };
    let config_env = case
        .get("env")
        .and_then(|env| env.get("RUST_BOOTSTRAP_CONFIG"))
        .map(|value| text(value).into());

    let cli = Cli::from_args(["x"].into_iter().chain(args)).map_err(|error| error.to_string())?;
    let around = Surroundings {
        root,
        cwd,
        config_env,
    };
    Config::load(&around, &cli.global)
        .map(|config| compared(&config))
        .map_err(|error| error.to_string())
}

fn compared(config: &Config) -> Resolved {
    let build = &config.build;
    let path = |path: &Path| Some(slashed(path).into());
    let lock_timeout = match build.lock_timeout {
        LockTimeout::Never => None,
        LockTimeout::After(duration) => Some(duration.as_secs_f64().into()),
    };
    [
        ("build-dir", path(&build.build_dir)),
        ("lock-dir", path(&build.lock_dir)),
        ("cache-dir", path(&build.cache_dir)),
        ("rustc", build.rustc.as_deref().and_then(path)),
        ("cargo", build.cargo.as_deref().and_then(path)),
        ("stage0", Some(name(build.stage0).into())),
        ("dist-server", build.dist_server.clone().map(Value::from)),
        ("lock-timeout", lock_timeout),
        ("lock-mode", Some(name(build.lock_mode).into())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

fn name(choice: impl ValueEnum) -> String {
    choice
        .to_possible_value()
        .expect("every choice has a name")
        .get_name()
        .to_owned()
}

/// What the case expects, over the defaults.
fn expected(case: &Value, top: &Path) -> Resolved {
    let mut expected = Resolved::new();
    for (key, value) in case["expect"].as_table().expect("`expect` is a table") {
        // Seconds may be written without a fraction.
        let value = value
            .as_integer()
            .map_or_else(|| value.clone(), |seconds| Value::from(seconds as f64));
        expected.insert(key.clone(), value);
    }
    let default = |value: String| move || Value::from(value);
    let build_dir = expected
        .entry("build-dir".into())
        .or_insert_with(default(join(top, "root/build")))
        .clone();
    let build_dir = PathBuf::from(text(&build_dir));
    for (key, value) in [
        ("lock-dir", join(&build_dir, "session")),
        ("cache-dir", join(&build_dir, "cache")),
        ("stage0", "auto".to_owned()),
        ("lock-mode", "read-write".to_owned()),
    ] {
        expected.entry(key.into()).or_insert_with(default(value));
    }
    expected
}

fn join(folder: &Path, name: &str) -> String {
    slashed(&folder.join(name))
}

/// A path as the table writes it, with `/` between names.
fn slashed(path: &Path) -> String {
    path.display().to_string().replace(MAIN_SEPARATOR, "/")
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// Replaces `{top}` in every text of a case.
fn place(value: Value, top: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{top}", top)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| place(item, top)).collect()),
        Value::Table(table) => Value::Table(
            table
                .into_iter()
                .map(|(key, value)| (key, place(value, top)))
                .collect(),
        ),
        other => other,
    }
}
