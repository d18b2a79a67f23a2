//! Channel manifests: what a Rust release consists of, with the sums that the pin is made from.
//!
//! The format is rustup's, version 2: `dist/channel-rust-<version>.toml` on a dist server, and
//! `lib/rustlib/multirust-channel-manifest.toml` in a toolchain that rustup installed.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Event;
use super::download::Downloader;
use super::pin::{Component, Pin, hex, is_sha256};
use crate::error::Error;
use crate::interrupt::Interrupts;

/// The hosts that the pin has archives for: those with host tools in tier 1.
pub const HOSTS: [&str; 8] = [
    "aarch64-apple-darwin",
    "aarch64-pc-windows-msvc",
    "aarch64-unknown-linux-gnu",
    "i686-pc-windows-msvc",
    "i686-unknown-linux-gnu",
    "x86_64-pc-windows-gnu",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
];

/// How long a manifest may be, in bytes. Those of today have less than one MiB.
const SIZE_MAX: u64 = 16 << 20;

/// How long the file with a manifest's sum may be, in bytes.
const SUM_SIZE_MAX: u64 = 4096;

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "manifest-version")]
    manifest_version: String,
    date: String,
    pkg: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    target: BTreeMap<String, Target>,
}

#[derive(Deserialize)]
struct Target {
    xz_url: Option<String>,
    xz_hash: Option<String>,
}

/// Where a release's manifest lies, relative to the dist server. `release` is a version (`1.95.0`), a channel (`beta`), or a
/// channel with a date (`nightly-2026-04-16`).
///
/// # Errors
/// Where `release` is none of these.
pub fn address(release: &str) -> Result<String, Error> {
    let is_version = |text: &str| {
        text.split('.').count() == 3
            && text
                .split('.')
                .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_channel = |text: &str| matches!(text, "stable" | "beta" | "nightly");
    let is_date = |text: &str| {
        let form = text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b });
        form.eq(*b"0000-00-00")
    };
    match release.split_once('-') {
        None if is_version(release) || is_channel(release) => Ok(format!("dist/channel-rust-{release}.toml")),
        Some((channel, date)) if is_channel(channel) && is_date(date) => {
            Ok(format!("dist/{date}/channel-rust-{channel}.toml"))
        }
        _ => Err(Error::usage(format!("`{release}` names no release"))
            .advice("say a version such as 1.95.0, a channel such as beta, or nightly-YYYY-MM-DD")),
    }
}

/// Downloads a release's manifest, and checks it against the sum that lies beside it. `release` is as for [`address`].
///
/// # Errors
/// Where there is none, or its sum is another.
pub fn download(
    release: &str,
    server: &str,
    interrupts: &Interrupts,
    say: &mut dyn FnMut(&Event<'_>),
) -> Result<String, Error> {
    let address = address(release)?;
    let mut downloader = Downloader {
        server,
        interrupts,
        say,
    };
    let sum = downloader.text(&format!("{address}.sha256"), SUM_SIZE_MAX)?;
    let manifest = downloader.text(&address, SIZE_MAX)?;
    let expected = sum.split_ascii_whitespace().next().unwrap_or("");
    let found = hex(&Sha256::digest(&manifest));
    if found == expected {
        return Ok(manifest);
    }
    Err(Error::environment(format!(
        "`{server}/{address}` has the SHA-256 {found}, but beside it stands {expected}"
    ))
    .advice("it may be being replaced right now; try again later, or use --manifest FILE"))
}

/// Moves a pin to the release that a manifest describes. Its comment, its dist server and its `rust-version` stay.
///
/// # Errors
/// Where the manifest is not one, or lacks one of the archives for one of [`HOSTS`].
pub fn move_pin(pin: &Pin, manifest: &str) -> Result<Pin, Error> {
    let manifest: Manifest =
        toml::from_str(manifest).map_err(|e| Error::usage("this is no channel manifest").because(e))?;
    if manifest.manifest_version != "2" {
        let version = manifest.manifest_version;
        return Err(Error::usage(format!(
            "the manifest's version is {version}; only 2 is understood"
        )));
    }
    let date = manifest.date.as_str();
    let version = version_in_names(&manifest)?;
    let mut moved = Pin {
        channel: channel_of(version).to_owned(),
        version: version.to_owned(),
        date: date.to_owned(),
        sums: BTreeMap::new(),
        ..pin.clone()
    };
    for component in Component::ALL {
        for host in HOSTS {
            let (url, sum) = archive(&manifest, component, host)?;
            let key = format!("dist/{date}/{}-{version}-{host}.tar.xz", component.name());
            if !url.ends_with(&format!("/{key}")) || !is_sha256(sum) {
                return Err(Error::usage(format!(
                    "the manifest has `{url}` with the sum `{sum}`, not a sum for `{key}`"
                )));
            }
            moved.sums.insert(key, sum.to_owned());
        }
    }
    Ok(moved)
}

/// The version as the archives' names have it: that of a beta or nightly differs from the compiler's own.
fn version_in_names(manifest: &Manifest) -> Result<&str, Error> {
    let host = HOSTS[HOSTS.len() - 1];
    let (url, _) = archive(manifest, Component::Rustc, host)?;
    url.rsplit('/')
        .next()
        .and_then(|name| {
            name.strip_prefix("rustc-")?
                .strip_suffix(&format!("-{host}.tar.xz"))
        })
        .ok_or_else(|| {
            Error::usage(format!(
                "the manifest names an archive `{url}`, which has no version"
            ))
        })
}

fn channel_of(version: &str) -> &'static str {
    if version.contains("nightly") {
        "nightly"
    } else if version.contains("beta") {
        "beta"
    } else {
        "stable"
    }
}

fn archive<'a>(
    manifest: &'a Manifest,
    component: Component,
    host: &str,
) -> Result<(&'a str, &'a str), Error> {
    let name = component.name();
    // Components that began as previews are still called so here.
    let package = manifest
        .pkg
        .get(&format!("{name}-preview"))
        .or_else(|| manifest.pkg.get(name));
    package
        .and_then(|package| {
            let target = package.target.get(host)?;
            Some((target.xz_url.as_deref()?, target.xz_hash.as_deref()?))
        })
        .ok_or_else(|| Error::usage(format!("the manifest has no {name} for {host}")))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    fn pin() -> Pin {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stage0");
        Pin::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// A manifest like the servers', for every component and host but `without`.
    fn manifest(version: &str, without: &str) -> String {
        let mut text = "manifest-version = \"2\"\ndate = \"2030-01-02\"\n".to_owned();
        for component in Component::ALL {
            let name = component.name();
            let package = match component {
                Component::Clippy | Component::Rustfmt => format!("{name}-preview"),
                _ => name.to_owned(),
            };
            writeln!(text, "[pkg.{package}]\nversion = \"{version} (abc 2030-01-01)\"").unwrap();
            for host in HOSTS.iter().filter(|&&host| format!("{name}-{host}") != without) {
                let url = format!("https://example.invalid/dist/2030-01-02/{name}-{version}-{host}.tar.xz");
                let sum = "ab".repeat(32);
                writeln!(
                    text,
                    "[pkg.{package}.target.{host}]\navailable = true\nxz_url = \"{url}\"\nxz_hash = \"{sum}\""
                )
                .unwrap();
            }
        }
        text
    }

    #[test]
    fn the_pin_moves_and_its_comment_stays() {
        let moved = move_pin(&pin(), &manifest("1.99.0", "")).unwrap();
        assert_eq!(
            (moved.version.as_str(), moved.channel.as_str()),
            ("1.99.0", "stable")
        );
        assert_eq!(moved.date, "2030-01-02");
        assert_eq!(moved.sums.len(), Component::ALL.len() * HOSTS.len());
        let text = moved.to_string();
        assert!(text.starts_with("# The pin of stage0"), "{text}");
        assert_eq!(Pin::parse(&text).unwrap(), moved);
    }

    #[test]
    fn the_channel_is_told_by_the_version() {
        for version in ["nightly", "beta"] {
            assert_eq!(move_pin(&pin(), &manifest(version, "")).unwrap().channel, version);
        }
    }

    #[test]
    fn a_manifest_that_lacks_an_archive_moves_nothing() {
        let text = manifest("1.99.0", "rustfmt-x86_64-pc-windows-gnu");
        let error = move_pin(&pin(), &text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the manifest has no rustfmt for x86_64-pc-windows-gnu"
        );
        assert!(move_pin(&pin(), "date = 1").is_err());
        assert!(
            move_pin(
                &pin(),
                &text.replace("manifest-version = \"2\"", "manifest-version = \"3\"")
            )
            .is_err()
        );
    }

    #[test]
    fn a_manifest_is_believed_only_with_its_sum() {
        let server = tempfile::tempdir().unwrap();
        std::fs::create_dir(server.path().join("dist")).unwrap();
        let file = server.path().join("dist/channel-rust-1.99.0.toml");
        let text = manifest("1.99.0", "");
        std::fs::write(&file, &text).unwrap();
        let sum = format!("{}  channel-rust-1.99.0.toml\n", hex(&Sha256::digest(&text)));
        std::fs::write(file.with_extension("toml.sha256"), sum).unwrap();
        let address = format!("file://{}", server.path().display());
        let get = || download("1.99.0", &address, &Interrupts::default(), &mut |_| {});
        assert_eq!(get().unwrap(), text);
        std::fs::write(&file, "another").unwrap();
        assert!(get().unwrap_err().to_string().contains("but beside it stands"));
    }

    #[test]
    fn releases_have_addresses_and_nonsense_has_none() {
        assert_eq!(address("1.95.0").unwrap(), "dist/channel-rust-1.95.0.toml");
        assert_eq!(address("beta").unwrap(), "dist/channel-rust-beta.toml");
        assert_eq!(
            address("nightly-2026-04-16").unwrap(),
            "dist/2026-04-16/channel-rust-nightly.toml"
        );
        for bad in [
            "",
            "1.95",
            "../x",
            "1.95.0/..",
            "nightly-2026",
            "beta-",
            "1..0",
            "tuesday",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
