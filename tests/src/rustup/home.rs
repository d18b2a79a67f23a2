//! A home for one rustup: its folders, its environment, and, if the test wants them, the shims.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use buildlock::{Mode, Registry};
use tempfile::TempDir;

use super::dist::{Dist, triple};
use super::server::Server;
use crate::program::buildlock;
use crate::script::{Running, until_one_waits};

/// The proxies that rustup makes.
const PROXIES: [&str; 6] = [
    "cargo",
    "rustc",
    "rustdoc",
    "rustfmt",
    "cargo-fmt",
    "rust-analyzer",
];

/// Whether shims stand in for rustup and its proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// They do.
    Shims,
    /// Nothing does: rustup as it is.
    Nothing,
}

/// The rustup that is installed on this machine, if one is. It is only ever copied.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("rustup"))
        .find(|p| p.is_file())?;
    // This machine's own rustup may itself have shims.
    let real = found.with_file_name(".buildlock").join("real/rustup");
    std::fs::canonicalize(if real.exists() { real } else { found }).ok()
}

/// A rustup with a toolchain `stable` of version 1.0.0, and releases to install from.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    dist: Dist,
    server: Option<Server>,
    stands: Stands,
}

impl Home {
    /// Sets one up, which installs from files.
    ///
    /// # Panics
    /// If it cannot be set up.
    #[must_use]
    pub fn new(stands: Stands) -> Self {
        Self::set_up(stands, |folder| (format!("file://{}", folder.display()), None))
    }

    /// Sets one up, which installs from a server on the loopback.
    ///
    /// # Panics
    /// If it cannot be set up.
    #[must_use]
    pub fn with_server(stands: Stands) -> Self {
        Self::set_up(stands, |folder| {
            let server = Server::start(folder);
            (server.address(), Some(server))
        })
    }

    fn set_up(stands: Stands, serve: impl FnOnce(&Path) -> (String, Option<Server>)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let releases = folder.path().join("releases");
        std::fs::create_dir(&releases).expect("a folder");
        let (address, server) = serve(&releases);
        let dist = Dist::new(&releases, address);
        dist.release("stable", "1.0.0", "2026-01-01");
        dist.release("1.2.0", "1.2.0", "2026-01-03");
        let home = Self {
            folder,
            dist,
            server,
            stands,
        };
        let bin = home.bin();
        std::fs::create_dir_all(&bin).expect("a folder");
        for folder in ["home", "work"] {
            std::fs::create_dir(home.folder.path().join(folder)).expect("a folder");
        }
        std::fs::hard_link(rustup(), bin.join("rustup"))
            .or_else(|_| std::fs::copy(rustup(), bin.join("rustup")).map(drop))
            .expect("a rustup");
        for proxy in PROXIES {
            std::os::unix::fs::symlink("rustup", bin.join(proxy)).expect("a proxy");
        }
        home.expect("rustup", &["set", "auto-self-update", "disable"]);
        home.expect("rustup", &["set", "profile", "minimal"]);
        home.expect("rustup", &["toolchain", "install", "stable"]);
        home.expect("rustup", &["default", "stable"]);
        if stands == Stands::Shims {
            home.install_shims();
        }
        home
    }

    /// Puts the shims in place.
    ///
    /// # Panics
    /// If that fails.
    pub fn install_shims(&self) {
        let bin = self.bin();
        let mut command = self.environment(Command::new(buildlock()));
        command
            .args(["shim", "install", "--rules", "rustup", "--into"])
            .arg(bin);
        let output = command.output().expect("buildlock starts");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// `buildlock shim WORDS --from` this home's programs: the exit code, and what it said.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn shims(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut command = self.environment(Command::new(buildlock()));
        command.arg("shim").args(words).arg("--from").arg(self.bin());
        let output = command.output().expect("buildlock starts");
        (output.status.code(), said(&output))
    }

    /// The programs: their names, inodes, and where links lead.
    ///
    /// # Panics
    /// If they cannot be listed.
    #[must_use]
    pub fn listing(&self) -> Vec<(String, Option<u64>, Option<PathBuf>)> {
        use std::os::unix::fs::MetadataExt;
        let describe = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("an entry");
            let link = std::fs::read_link(entry.path()).ok();
            let metadata = entry.path().symlink_metadata().expect("its metadata");
            let inode = link.is_none().then(|| metadata.ino());
            (entry.file_name().to_string_lossy().into_owned(), inode, link)
        };
        let mut listing: Vec<_> = std::fs::read_dir(self.bin())
            .expect("a folder")
            .map(describe)
            .collect();
        listing.sort();
        listing
    }

    /// Whether shims stand here.
    #[must_use]
    pub fn stands(&self) -> Stands {
        self.stands
    }

    /// The releases.
    #[must_use]
    pub fn dist(&self) -> &Dist {
        &self.dist
    }

    /// The server of [`Home::with_server`].
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a home with a server")
    }

    /// Where rustup and its proxies are.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.folder.path().join("cargo/bin")
    }

    /// The folder that the home is in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `RUSTUP_HOME`.
    #[must_use]
    pub fn rustup_home(&self) -> PathBuf {
        self.folder.path().join("rustup")
    }

    /// The folder of a toolchain.
    #[must_use]
    pub fn toolchain(&self, name: &str) -> PathBuf {
        self.rustup_home().join(format!("toolchains/{name}-{}", triple()))
    }

    /// The registry of the shims.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::open(self.rustup_home().join("session")).expect("the registry of the shims")
    }

    /// A program of this home with these arguments, not started yet.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Command {
        let mut command = self.environment(Command::new(self.bin().join(program)));
        command
            .args(arguments)
            .current_dir(self.folder.path().join("work"));
        command
    }

    /// Nothing of this machine's own: neither its homes, nor a way to a server.
    fn environment(&self, mut command: Command) -> Command {
        let nowhere = "http://127.0.0.1:9";
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin().display()))
            .env("HOME", self.folder.path().join("home"))
            .env("CARGO_HOME", self.folder.path().join("cargo"))
            .env("RUSTUP_HOME", self.rustup_home())
            .env("RUSTUP_DIST_SERVER", self.dist.address())
            .env("RUSTUP_UPDATE_ROOT", format!("{}/rustup", self.dist.address()))
            .envs(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, nowhere)))
            .envs(["no_proxy", "NO_PROXY"].map(|name| (name, "127.0.0.1")))
            .stdin(Stdio::null());
        command
    }

    /// Starts a program of this home.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Running {
        Running::start(self.command(program, arguments))
    }

    /// Runs a program of this home to its end.
    ///
    /// # Errors
    /// What it said, if it failed, or took too long.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        self.start(program, arguments).end()
    }

    /// Runs a program of this home, which must succeed.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn expect(&self, program: &str, arguments: &[&str]) -> String {
        self.run(program, arguments).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Waits until somebody waits in the registry of the shims for a hold of this mode.
    ///
    /// # Errors
    /// If nobody does for too long.
    pub fn until_one_waits(&self, mode: Mode) -> Result<(), String> {
        until_one_waits(&self.registry(), mode)
    }

    /// Compares a toolchain with what it should consist of: the components that rustup lists, and their files.
    ///
    /// # Errors
    /// What is wrong.
    pub fn consists_of(&self, toolchain: &str, extensions: &[&str]) -> Result<(), String> {
        let folder = self.toolchain(toolchain);
        let rustlib = folder.join("lib/rustlib");
        let read = |file: &str| {
            let path = rustlib.join(file);
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let mut wanted: Vec<_> = ["cargo", "rust-std", "rustc"]
            .into_iter()
            .chain(extensions.iter().copied())
            .collect();
        wanted.sort_unstable();
        // rustup keeps two lists: one of what is unpacked, one of what was asked for.
        let unpacked = read("components")?;
        let suffix = format!("-{}", triple());
        let mut bare: Vec<_> = unpacked
            .lines()
            .map(|line| line.strip_suffix(&suffix).unwrap_or(line))
            .collect();
        bare.sort_unstable();
        let config = read("multirust-config.toml")?;
        let mut asked_for: Vec<_> = config
            .lines()
            .filter_map(|l| l.strip_prefix("pkg = "))
            .map(|n| n.trim_matches('"'))
            .collect();
        asked_for.sort_unstable();
        for (what, listed) in [("unpacked", bare), ("listed as installed", asked_for)] {
            if listed != wanted {
                return Err(format!("lost: {what} are {listed:?}, and should be {wanted:?}"));
            }
        }
        for component in unpacked.lines() {
            for file in read(&format!("manifest-{component}"))?.lines() {
                let file = file.trim_start_matches("file:");
                if !folder.join(file).exists() {
                    return Err(format!("torn: {component} lacks {file}"));
                }
            }
        }
        Ok(())
    }
}

/// A copy of the installed rustup, which all homes share.
fn rustup() -> &'static Path {
    static COPY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = COPY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = folder.path().join("rustup");
        std::fs::copy(installed().expect("an installed rustup"), &copy).expect("a copy of rustup");
        (folder, copy)
    });
    path
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
