//! Releases of a toolchain that consists of shell scripts, as a tree that rustup can install from.
//!
//! The manifest is of version 2, as rustup's own tests and the `dist` folder of static.rust-lang.org have it; components are
//! archives as rust-installer makes them: a folder with `components`, `rust-installer-version`, and in each component a
//! `manifest.in` that lists its files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What `rustc` is: it says its version, which it reads from a file of the toolchain as it ends.
const RUSTC: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$1" in
-V | --version) echo "rustc $(cat "$here/../lib/version") (fixture)" ;;
*) echo "this rustc only says its version" >&2; exit 1 ;;
esac
"#;

/// What `cargo` is: `cargo do COMMAND` runs the command, as `cargo run` does.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
do) shift; "$@" ;;
-V | --version) echo "cargo fixture" ;;
*) echo "this cargo only does what it is told" >&2; exit 1 ;;
esac
"#;

/// Components that a toolchain has from the beginning, and their programs.
const MINIMAL: [(&str, &str, &str); 3] = [
    ("rustc", "bin/rustc", RUSTC),
    ("cargo", "bin/cargo", CARGO),
    ("rust-std", "", ""),
];

/// Components that can be added.
pub(super) const EXTENSIONS: [&str; 4] = ["rustfmt", "clippy", "alpha", "beta"];

/// A tree of releases.
#[derive(Clone, Debug)]
pub struct Dist {
    root: PathBuf,
    /// Where rustup finds the tree: the start of all addresses in it.
    address: String,
}

impl Dist {
    /// An empty tree in `root`, which rustup sees at `address`.
    #[must_use]
    pub fn new(root: &Path, address: String) -> Self {
        Self {
            root: root.to_owned(),
            address,
        }
    }

    /// The address, for `RUSTUP_DIST_SERVER`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Releases `version` in `channel`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn release(&self, channel: &str, version: &str, date: &str) {
        let triple = triple();
        let folder = self.root.join("dist").join(date);
        std::fs::create_dir_all(&folder).expect("a folder for the release");
        let mut manifest = format!("manifest-version = \"2\"\ndate = \"{date}\"\n");
        let mut parts = String::new();
        let minimal = MINIMAL.map(|(name, file, text)| (name, file.to_owned(), text.to_owned()));
        let extensions = EXTENSIONS.map(|name| {
            let text = format!("#!/bin/sh\necho {name} {version}\n");
            (name, format!("bin/{name}"), text)
        });
        for (name, file, text) in minimal.iter().chain(&extensions) {
            let mut files = vec![(file.as_str(), text.as_str())];
            files.retain(|(file, _)| !file.is_empty());
            if *name == "rust-std" {
                files.push(("lib/version", version));
            }
            let archive = archive(name, version, &files);
            let file = format!("{name}-{version}-{triple}.tar.xz");
            std::fs::write(folder.join(&file), &archive).expect("an archive");
            let (url, hash) = (format!("{}/dist/{date}/{file}", self.address), hex(&archive));
            write!(
                manifest,
                "\n[pkg.{name}]\nversion = \"{version} (fixture)\"\n[pkg.{name}.target.{triple}]\navailable = true\n\
                 url = \"{url}\"\nhash = \"{hash}\"\nxz_url = \"{url}\"\nxz_hash = \"{hash}\"\n"
            )
            .expect("a string");
            let kind = if EXTENSIONS.contains(name) {
                "extensions"
            } else {
                "components"
            };
            write!(
                parts,
                "[[pkg.rust.target.{triple}.{kind}]]\npkg = \"{name}\"\ntarget = \"{triple}\"\n"
            )
            .expect("a string");
        }
        write!(
            manifest,
            "\n[pkg.rust]\nversion = \"{version} (fixture)\"\n[pkg.rust.target.{triple}]\navailable = true\n\
             url = \"{0}/none\"\nhash = \"none\"\nxz_url = \"{0}/none\"\nxz_hash = \"none\"\n{parts}\n\
             [profiles]\nminimal = [\"rustc\", \"cargo\", \"rust-std\"]\ndefault = [\"rustc\", \"cargo\", \"rust-std\"]\n\
             complete = [\"rustc\", \"cargo\", \"rust-std\"]\n",
            self.address
        )
        .expect("a string");
        self.publish(&format!("dist/channel-rust-{channel}.toml"), manifest.as_bytes());
    }

    /// Offers `program` as a new version of rustup itself.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn release_rustup(&self, program: &Path, version: &str) {
        let release = format!("schema-version = '1'\nversion = '{version}'\n");
        std::fs::create_dir_all(self.root.join("rustup")).expect("a folder");
        std::fs::write(self.root.join("rustup/release-stable.toml"), release).expect("a release file");
        let path = format!("rustup/archive/{version}/{}/rustup-init", triple());
        self.publish(&path, &std::fs::read(program).expect("the new rustup"));
    }

    /// Writes a file, and its SHA-256 beside it. Each appears as a whole, the hash last, as on a real server's edge.
    fn publish(&self, path: &str, content: &[u8]) {
        let file = self.root.join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let hash = format!("{}  {name}\n", hex(content));
        for (path, content) in [
            (file.clone(), content),
            (file.with_file_name(format!("{name}.sha256")), hash.as_bytes()),
        ] {
            let aside = path.with_extension("new");
            std::fs::write(&aside, content).expect("a file");
            std::fs::rename(&aside, &path).expect("its name");
        }
    }
}

/// This machine's host triple, as rustup finds it.
pub(super) fn triple() -> String {
    let os = if cfg!(target_os = "macos") {
        "apple-darwin"
    } else {
        "unknown-linux-gnu"
    };
    format!("{}-{os}", std::env::consts::ARCH)
}

fn archive(component: &str, version: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let top = format!("{component}-{version}-{}", triple());
    let mut list = String::new();
    for (file, _) in files {
        writeln!(list, "file:{file}").expect("a string");
    }
    let mut archive = tar::Builder::new(liblzma::write::XzEncoder::new(Vec::new(), 1));
    let mut folders = BTreeSet::new();
    let mut add = |path: String, text: &str| {
        // The outermost first: rustup warns about a file whose folder it has not seen.
        let above: Vec<_> = Path::new(&path)
            .ancestors()
            .skip(1)
            .filter(|p| *p != Path::new(""))
            .collect();
        for folder in above.into_iter().rev() {
            if folders.insert(folder.to_owned()) {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                archive
                    .append_data(&mut header, folder, std::io::empty())
                    .expect("memory");
            }
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(if path.contains("/bin/") { 0o755 } else { 0o644 });
        archive
            .append_data(&mut header, path, text.as_bytes())
            .expect("memory");
    };
    add(format!("{top}/rust-installer-version"), "3\n");
    add(format!("{top}/components"), &format!("{component}\n"));
    add(format!("{top}/{component}/manifest.in"), &list);
    for (file, text) in files {
        add(format!("{top}/{component}/{file}"), text);
    }
    archive
        .into_inner()
        .and_then(liblzma::write::XzEncoder::finish)
        .expect("memory")
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
