//! A first `bootstrap.toml`: the profile, and from which change of the configuration on to be told of others.

use std::fs;
use std::path::Path;

use crate::config::change_tracker::LATEST;

/// The name of the file.
pub const FILE: &str = "bootstrap.toml";

/// The text of a `bootstrap.toml` that starts from a profile.
#[must_use]
pub fn text(profile: &str) -> String {
    format!(
        "# bootstrap.example.toml describes every key.\n\
         profile = {profile:?}\n\
         # Changes of the configuration up to this one are known; `./x` tells of later ones.\n\
         change-id = {LATEST}\n"
    )
}

/// What a profile is for, as its file says first; nothing where it says nothing.
#[must_use]
pub fn purpose(root: &Path, profile: &str) -> String {
    let file = root
        .join("src/bootstrap/defaults")
        .join(format!("bootstrap.{profile}.toml"));
    let text = fs::read_to_string(file).unwrap_or_default();
    let comment: Vec<_> = text.lines().map_while(|line| line.strip_prefix("# ")).collect();
    let comment = comment.join(" ");
    comment
        .split_inclusive(['.', ':'])
        .next()
        .unwrap_or("")
        .trim_end_matches(['.', ':'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ChangeId, Config, Surroundings, profile_names};
    use crate::flags::Global;

    #[test]
    fn what_is_written_is_a_configuration_with_that_profile() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        for profile in profile_names(&root).unwrap() {
            fs::write(&file, text(&profile)).unwrap();
            let around = Surroundings {
                root: root.clone(),
                cwd: root.clone(),
                config_env: None,
            };
            let config = Config::load(
                &around,
                &Global {
                    config: Some(file.clone()),
                    ..Global::default()
                },
            )
            .unwrap();
            assert_eq!(config.profile.as_ref(), Some(&profile));
            assert_eq!(config.change_id, Some(ChangeId::Id(LATEST)));
            assert!(purpose(&root, &profile).starts_with("For "), "{profile}");
        }
    }
}
