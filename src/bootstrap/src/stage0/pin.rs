//! The pin, `src/stage0`: which toolchain, from where, and the SHA-256 of each of its archives.
//!
//! Lines of `key=value`, read by the launcher too; the file's own header says what each key means.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Error;

/// The pin's place below the source root.
pub const FILE: &str = "src/stage0";

/// How long the pin may be, in bytes.
const SIZE_MAX: usize = 1 << 20;

/// How much of the hash a toolchain's key shows, in hexadecimal digits. The launcher shows as much.
const KEY_DIGITS: usize = 16;

/// A part of a Rust release that comes as an archive of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The package manager.
    Cargo,
    /// The linter.
    Clippy,
    /// The standard library for the host.
    RustStd,
    /// The compiler.
    Rustc,
    /// The formatter.
    Rustfmt,
}

impl Component {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 5] = [
        Self::Cargo,
        Self::Clippy,
        Self::RustStd,
        Self::Rustc,
        Self::Rustfmt,
    ];

    /// Those that the driver itself is compiled with; the launcher fetches them.
    pub const BASE: [Self; 3] = [Self::Cargo, Self::RustStd, Self::Rustc];

    /// The name, as the archives have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Clippy => "clippy",
            Self::RustStd => "rust-std",
            Self::Rustc => "rustc",
            Self::Rustfmt => "rustfmt",
        }
    }

    /// The program behind the cargo subcommand that the component brings, where it brings one.
    #[must_use]
    pub fn subcommand(self) -> Option<&'static str> {
        match self {
            Self::Clippy => Some("cargo-clippy"),
            Self::Rustfmt => Some("cargo-fmt"),
            Self::Cargo | Self::RustStd | Self::Rustc => None,
        }
    }

    /// A program that the component brings, where it brings any.
    #[must_use]
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Cargo => Some("cargo"),
            Self::Clippy => Some("cargo-clippy"),
            Self::RustStd => None,
            Self::Rustc => Some("rustc"),
            Self::Rustfmt => Some("rustfmt"),
        }
    }
}

/// An archive that the pin names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its key: what follows the dist server in its address.
    pub key: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Archive {
    /// The last part of its key.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

/// The content of `src/stage0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The comment above the first key, kept as it is.
    pub(super) header: String,
    /// Where archives come from, unless configured otherwise.
    pub dist_server: String,
    /// `stable`, `beta` or `nightly`.
    pub channel: String,
    /// The version, as in the archives' names.
    pub version: String,
    /// The date of the channel's manifest.
    pub date: String,
    /// What a toolchain on PATH must be at least to be used instead.
    pub rust_version: String,
    /// The SHA-256 of each archive, by its key.
    pub sums: BTreeMap<String, String>,
}

impl Pin {
    /// Reads the pin of a source tree.
    ///
    /// # Errors
    /// Where it is missing, or not what [`Pin::parse`] takes.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        Self::parse(&text)
    }

    /// Reads a pin from its text.
    ///
    /// # Errors
    /// Where a line is not one of the pin's, a key is missing or there twice, or a sum is not a SHA-256.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > SIZE_MAX {
            return Err(Error::usage(format!("{FILE} is longer than {SIZE_MAX} bytes")));
        }
        let mut values = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why: &str| Error::usage(format!("{FILE}:{}: {why}", number + 1));
            let (key, value) = line.split_once('=').ok_or_else(|| bad("not `key=value`"))?;
            if values.insert(key, value).is_some() {
                return Err(bad(&format!("`{key}` is there twice")));
            }
        }
        let mut take = |key: &str| {
            let value = values.remove(key).filter(|value| !value.is_empty());
            value
                .map(str::to_owned)
                .ok_or_else(|| Error::usage(format!("{FILE} lacks the key `{key}`")))
        };
        let mut pin = Self {
            header: header(text),
            dist_server: take("dist-server")?,
            channel: take("channel")?,
            version: take("version")?,
            date: take("date")?,
            rust_version: take("rust-version")?,
            sums: BTreeMap::new(),
        };
        for (key, sum) in values {
            if !key.starts_with("dist/")
                || key
                    .split('/')
                    .any(|part| part.is_empty() || part.starts_with('.'))
            {
                return Err(Error::usage(format!("{FILE}: unknown key `{key}`")));
            }
            if !is_sha256(sum) {
                return Err(Error::usage(format!(
                    "{FILE}: the value of `{key}` is no SHA-256"
                )));
            }
            pin.sums.insert(key.to_owned(), sum.to_owned());
        }
        Ok(pin)
    }

    /// The archive of one component.
    ///
    /// # Errors
    /// Where the pin has none for this host.
    pub fn archive(&self, component: Component, host: &str) -> Result<Archive, Error> {
        let Self { date, version, .. } = self;
        let key = format!("dist/{date}/{}-{version}-{host}.tar.xz", component.name());
        match self.sums.get(&key) {
            Some(sha256) => Ok(Archive {
                sha256: sha256.clone(),
                key,
            }),
            None => Err(
                Error::environment(format!("{FILE} has no {} for {host}", component.name()))
                    .advice("set build.stage0 = \"local\" and install that toolchain by other means"),
            ),
        }
    }

    /// The key of the toolchain that has one component more than the compiler, its standard library and cargo.
    ///
    /// # Errors
    /// As [`Pin::archive`].
    pub fn key_with(&self, component: Component, host: &str) -> Result<String, Error> {
        let [cargo, std, rustc] = Component::BASE;
        self.key(&[cargo, std, rustc, component], host)
    }

    /// The key of the toolchain that is made of these components: the folder's name below `<cache>/stage0`.
    ///
    /// # Errors
    /// As [`Pin::archive`].
    pub fn key(&self, components: &[Component], host: &str) -> Result<String, Error> {
        let mut archives = components
            .iter()
            .map(|&component| self.archive(component, host))
            .collect::<Result<Vec<_>, _>>()?;
        archives.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        archives.dedup();
        let mut text = format!("{host}\n");
        for archive in &archives {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{} {}", archive.file_name(), archive.sha256);
        }
        let mut key = hex(&Sha256::digest(text));
        key.truncate(KEY_DIGITS);
        Ok(key)
    }
}

impl fmt::Display for Pin {
    /// The file's text. What is read from it equals the pin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header)?;
        writeln!(f, "dist-server={}", self.dist_server)?;
        writeln!(f, "channel={}", self.channel)?;
        writeln!(f, "version={}", self.version)?;
        writeln!(f, "date={}", self.date)?;
        writeln!(f, "rust-version={}", self.rust_version)?;
        writeln!(f)?;
        self.sums
            .iter()
            .try_for_each(|(key, sum)| writeln!(f, "{key}={sum}"))
    }
}

/// Writes bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn header(text: &str) -> String {
    let comment = |line: &&str| line.is_empty() || line.starts_with('#');
    text.lines()
        .take_while(comment)
        .fold(String::new(), |header, line| header + line + "\n")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::stage0) const HOST: &str = "x86_64-unknown-linux-gnu";

    fn this_repository() -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../stage0")).unwrap()
    }

    #[test]
    fn the_file_is_written_back_as_it_was_read() {
        let text = this_repository();
        assert_eq!(Pin::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn every_component_is_pinned_for_every_host() {
        let pin = Pin::parse(&this_repository()).unwrap();
        for host in super::super::manifest::HOSTS {
            for component in Component::ALL {
                pin.archive(component, host).unwrap();
            }
        }
    }

    #[test]
    fn the_key_depends_on_the_archives_and_not_on_their_order() {
        let pin = Pin::parse(&this_repository()).unwrap();
        let key = |components: &[Component]| pin.key(components, HOST).unwrap();
        let base = key(&Component::BASE);
        // The launcher's formula, spelled out.
        let line = |name: &str| {
            let archive = format!("{name}-{}-{HOST}.tar.xz", pin.version);
            let (_, sum) = pin
                .sums
                .iter()
                .find(|(key, _)| key.ends_with(&format!("/{archive}")))
                .unwrap();
            format!("{archive} {sum}\n")
        };
        let text = format!("{HOST}\n{}{}{}", line("cargo"), line("rust-std"), line("rustc"));
        assert_eq!(base, hex(&Sha256::digest(text))[..KEY_DIGITS]);
        assert_eq!(
            base,
            key(&[
                Component::Rustc,
                Component::Cargo,
                Component::RustStd,
                Component::Cargo
            ])
        );
        assert_ne!(base, key(&Component::ALL));
        let mut other = pin.clone();
        for sum in other.sums.values_mut() {
            *sum = "0".repeat(64);
        }
        assert_ne!(base, other.key(&Component::BASE, HOST).unwrap());
    }

    #[test]
    fn a_pin_that_makes_no_sense_is_refused() {
        let text = this_repository();
        for (from, to, why) in [
            ("version=1", "verzion=1", "lacks the key `version`"),
            ("\nchannel=", "\nchannel", ":14: not `key=value`"),
            ("\nchannel=", "\ndate=x\nchannel=", "`date` is there twice"),
            (
                "dist/2026-04-16/cargo-1.95.0-aarch64-apple",
                "dist/../cargo",
                "unknown key",
            ),
            ("=6c2f", "=XXXX", "no SHA-256"),
        ] {
            let error = Pin::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
        }
    }

    #[test]
    fn an_unknown_host_is_told_a_way_out() {
        let pin = Pin::parse(&this_repository()).unwrap();
        let error = pin
            .archive(Component::Rustc, "m68k-unknown-linux-gnu")
            .unwrap_err();
        assert!(
            error.help().unwrap().contains("build.stage0 = \"local\""),
            "{error}"
        );
    }
}
