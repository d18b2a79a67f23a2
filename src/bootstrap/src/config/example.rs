//! Whether `bootstrap.example.toml` is in step with the keys that there are.
//!
//! In that file a line that begins with `#` and no blank is a key at its default, commented out; a line that
//! begins with `# ` is prose.

use std::path::Path;

use super::load::load;
use super::resolve::resolve;
use super::{KEYS, Surroundings};
use crate::flags::Global;

/// The keys that have no default to show: the example's value for them is only an example.
const WITHOUT_DEFAULT: &[&str] = &[
    "profile",
    "change-id",
    "build.dist-server",
    "build.rustc",
    "build.cargo",
    "dist.name",
];

/// Returns the example with every key in force.
pub fn uncomment(example: &str) -> String {
    let mut text = String::with_capacity(example.len());
    for line in example.lines() {
        text.push_str(key_of(line).map_or("", |_| &line[1..]));
        // Lines keep their numbers, so that a message about one can be followed.
        text.push('\n');
    }
    text
}

/// Returns what is wrong with the text of the example; nothing, when it is in step.
///
/// Every key must be there once, in the order of [`KEYS`], with its default. `root` is the source root.
pub fn discrepancies(root: &Path, example: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let shown: Vec<&str> = example.lines().filter_map(key_of).collect();
    for key in KEYS {
        match shown.iter().filter(|shown| *shown == key).count() {
            1 => {}
            count => wrong.push(format!("`{key}` is there {count} times, should be once")),
        }
    }
    wrong.extend(
        shown
            .iter()
            .filter(|key| !KEYS.contains(key))
            .map(|key| format!("`{key}` is no key")),
    );
    if wrong.is_empty() && shown != KEYS {
        wrong.push("the keys are not in the order of `KEYS`".to_owned());
    }
    if wrong.is_empty() {
        wrong.extend(wrong_defaults(root, &uncomment(example)));
    }
    wrong
}

/// Sets one key after the other to what the example says, and looks whether that changes anything.
fn wrong_defaults(root: &Path, uncommented: &str) -> Vec<String> {
    let around = Surroundings {
        root: root.to_owned(),
        cwd: root.to_owned(),
        config_env: None,
    };
    // The checkout's own bootstrap.toml must not count, hence the `None`.
    let config = |sets: &[String]| resolve(&around, &Global::default(), load(&around, None, sets)?);
    let Ok(default) = config(&[]) else {
        return vec!["the defaults themselves are refused".to_owned()];
    };
    let lines = uncommented.lines().filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
            // Only files can include; that the default is to include nothing needs no proof.
            if key == "include" {
                return (line != "include = []")
                    .then(|| "`include` is not shown as `include = []`".to_owned());
            }
            match config(&[format!("{key}={value}")]) {
                Err(error) => Some(format!("`{key}` is refused: {error}")),
                Ok(other) if other != default && !WITHOUT_DEFAULT.contains(&key) => {
                    Some(format!("`{key}` is not shown at its default"))
                }
                Ok(_) => None,
            }
        })
        .collect()
}

/// Returns the key that a line shows, unless it is prose.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix('#')?.split_once(" = ")?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (!key.is_empty() && key.chars().all(is_key)).then_some(key)
}
