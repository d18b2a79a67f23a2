//! The keys that a configuration may have, and what is said of any other.

use super::diagnostic::{Diagnostic, Place, one_of};
use crate::suggest;

/// Every key, with its section, in the order of `bootstrap.example.toml`.
pub const KEYS: &[&str] = &[
    "profile",
    "change-id",
    "include",
    "build.build-dir",
    "build.workspaces",
    "build.cargo-profile",
    "build.target-dir",
    "build.stage0",
    "build.dist-server",
    "build.cache-dir",
    "build.rustc",
    "build.cargo",
    "build.lock-mode",
    "build.lock-timeout",
    "build.lock-dir",
    "build.preempt",
    "build.jobs",
    "build.job-pool",
    "build.jobserver",
    "build.min-free-memory",
    "build.editor-build-dir",
    "build.color",
    "build.verbose",
    "install.prefix",
    "install.bindir",
    "dist.name",
    "dist.cargo-profile",
    "dist.compression-level",
];

/// The sections, in the same order.
pub const SECTIONS: &[&str] = &["build", "install", "dist"];

/// Finds a key by its section, which is empty at the top level, and its name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static str> {
    names_in(section)
        .find(|(_, known)| *known == name)
        .map(|(key, _)| key)
}

/// Says that a section has no such key, and which was probably meant.
pub(super) fn unknown(section: &str, name: &str, place: Place) -> Diagnostic {
    let message = format!("unknown key `{}`", join(section, name));
    let here = || names_in(section).map(|(_, known)| known);
    if let Some(known) = suggest::closest(name, here()) {
        return Diagnostic::at(place, message, format!("did you mean `{known}`?"));
    }
    let elsewhere = KEYS
        .iter()
        .copied()
        .find(|key| key.rsplit('.').next() == Some(name));
    if let Some(key) = elsewhere {
        return Diagnostic::at(place, message, format!("did you mean `{key}`?"));
    }
    if section.is_empty() {
        let label = suggest::closest(name, SECTIONS.iter().copied())
            .map_or_else(String::new, |section| format!("did you mean `{section}`?"));
        let allowed = SECTIONS.iter().map(|section| format!("[{section}]"));
        return Diagnostic::at(place, message, label).help(format!(
            "known are {}",
            one_of(here().map(str::to_owned).chain(allowed))
        ));
    }
    Diagnostic::at(place, message, "").help(format!("[{section}] knows {}", one_of(here())))
}

fn names_in(section: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().filter_map(move |key| match key.split_once('.') {
        Some((its_section, name)) => (its_section == section).then_some((*key, name)),
        None => section.is_empty().then_some((*key, *key)),
    })
}

pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}
