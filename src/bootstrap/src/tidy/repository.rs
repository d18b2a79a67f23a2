//! Rules about what must be in step: the example configuration with the keys, the changelog with the version, the pin with
//! the manifest.

use std::fs;
use std::path::Path;

use super::Finding;
use crate::config::example;
use crate::stage0::{Pin, pin};

const EXAMPLE: &str = "bootstrap.example.toml";
const CHANGELOG: &str = "CHANGELOG.md";
const MANIFEST: &str = "Cargo.toml";

pub(super) fn look(root: &Path, findings: &mut Vec<Finding>) {
    let mut find = |file: &str, rule, what: String| {
        findings.push(Finding {
            file: file.into(),
            line: 0,
            rule,
            what,
        });
    };
    match fs::read_to_string(root.join(EXAMPLE)) {
        Ok(text) => {
            for wrong in example::discrepancies(root, &text) {
                find(EXAMPLE, "example", wrong);
            }
        }
        Err(e) => find(EXAMPLE, "example", format!("cannot be read: {e}")),
    }
    let manifest = match read_manifest(root) {
        Ok(manifest) => manifest,
        Err(e) => return find(MANIFEST, "manifest", e),
    };
    let changelog = fs::read_to_string(root.join(CHANGELOG)).unwrap_or_default();
    if let Some(wrong) = changelog_behind(&changelog, &manifest.version) {
        find(CHANGELOG, "changelog", wrong);
    }
    match Pin::read(root) {
        Ok(pin) if pin.rust_version == manifest.rust_version => {}
        Ok(pin) => {
            let (pinned, wanted) = (pin.rust_version, manifest.rust_version);
            find(
                pin::FILE,
                "pin",
                format!("rust-version is {pinned}, but {wanted} in {MANIFEST}"),
            );
        }
        Err(e) => find(pin::FILE, "pin", e.to_string()),
    }
}

/// What is wrong with a changelog for a version: its newest heading must be that version's, or of what is unreleased.
fn changelog_behind(text: &str, version: &str) -> Option<String> {
    let newest = text.lines().find_map(|line| line.strip_prefix("## "));
    let Some(newest) = newest else {
        return Some(format!("has no section for {version}"));
    };
    let name = newest
        .trim_start_matches('[')
        .split([' ', ']'])
        .next()
        .unwrap_or("");
    (name != version && !name.eq_ignore_ascii_case("unreleased"))
        .then(|| format!("the newest section is for {name}, but the version is {version}"))
}

struct Manifest {
    version: String,
    rust_version: String,
}

fn read_manifest(root: &Path) -> Result<Manifest, String> {
    let text = fs::read_to_string(root.join(MANIFEST)).map_err(|e| format!("cannot be read: {e}"))?;
    let table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| e.message().to_owned())?;
    let of_workspace = |key: &str| {
        let value = table.get("workspace")?.get("package")?.get(key)?.as_str()?;
        Some(value.to_owned())
    };
    let get = |key: &str| of_workspace(key).ok_or_else(|| format!("workspace.package.{key} is not set"));
    Ok(Manifest {
        version: get("version")?,
        rust_version: get("rust-version")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_section_is_that_of_the_version_or_of_the_unreleased() {
        for good in [
            "# C\n\n## 1.2.0\n\n## 1.1.0\n",
            "## [1.2.0] - 2026-01-01\n",
            "## Unreleased\n## 1.1.0\n",
        ] {
            assert_eq!(changelog_behind(good, "1.2.0"), None, "{good}");
        }
        assert!(
            changelog_behind("## 1.1.0\n", "1.2.0")
                .unwrap()
                .contains("is for 1.1.0")
        );
        assert!(changelog_behind("", "1.2.0").unwrap().contains("no section"));
    }
}
