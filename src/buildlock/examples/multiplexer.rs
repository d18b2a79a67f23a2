//! A toolchain multiplexer, small but whole: what rustup's proxies do, built on sessions.
//!
//! ```text
//! multiplexer HOME install NAME FOLDER    make the programs in FOLDER the toolchain NAME
//! multiplexer HOME list                   show the toolchains
//! HOME/bin/PROGRAM [ARGUMENT]…            run that program of the toolchain in $TOOLCHAIN, or of `default`
//! ```
//!
//! Three rules carry it:
//!
//! * A toolchain is stored under the hash of its content, and appears by a rename: it is complete or absent, and never
//!   changes. So an install disturbs nobody until it comes to the name.
//! * Whoever reads a name holds `Shared` for as long as it relies on it; whoever changes one holds `Exclusive`.
//! * A program runs under its proxy's session. If it installs something itself, that is an upgrade, not a deadlock.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use buildlock::{CacheHolder, CacheLock, Cancel, Mode, Registry, Request, Session, Timeout};
use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: multiplexer HOME install NAME FOLDER | multiplexer HOME list";

fn main() -> ExitCode {
    let done = std::env::current_exe()
        .map_err(Into::into)
        .and_then(|program| match program.file_stem() {
            Some(stem) if stem == "multiplexer" => command_line(),
            _ => proxy(&program),
        });
    done.unwrap_or_else(|error| {
        eprintln!("multiplexer: {error}");
        ExitCode::FAILURE
    })
}

fn command_line() -> Result<ExitCode> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [home, verb, name, folder] if verb == "install" => {
            Home::open(home)?.install(Path::new(name), Path::new(folder))?;
        }
        [home, verb] if verb == "list" => Home::open(home)?.list()?,
        _ => return Err(USAGE.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// A proxy is this program under the name of another, in `HOME/bin`.
fn proxy(program: &Path) -> Result<ExitCode> {
    let home = program.ancestors().nth(2).ok_or("a proxy stands in HOME/bin")?;
    let name = program.file_name().ok_or("a proxy has a name")?;
    Home::open(home)?.run(Path::new(name))
}

/// Where the toolchains are: `store/KEY/PROGRAM`, `names/NAME` with a key in it, and `bin/PROGRAM`, the proxies.
struct Home {
    folder: PathBuf,
    registry: Registry,
}

impl Home {
    fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        for part in ["store", "names", "bin"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(failed("create", &part))?;
        }
        let registry = Registry::open(folder.join("session"))?;
        Ok(Self { folder, registry })
    }

    fn request(&self, mode: Mode, label: &str) -> Request<'static> {
        Request::new(mode, label).on_wait(|waiting| eprintln!("multiplexer: waiting for {waiting}"))
    }

    fn install(&self, name: &Path, source: &Path) -> Result<()> {
        let is_hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
        if name.file_name() != Some(name.as_os_str()) || is_hidden {
            let wanted = "a toolchain has a name, without a dot in front";
            return Err(format!("`{}` is no name for a toolchain: {wanted}", name.display()).into());
        }
        let mut session = Session::acquire(&self.registry, self.request(Mode::Shared, "install"))?;
        let key = key_of(source)?;
        self.provide(&key, source)?;
        // The long part is over, and nobody had to wait for it. The name waits until no program relies on the old one.
        session.upgrade(self.request(Mode::Exclusive, "install"))?;
        for program in programs(source)? {
            self.make_proxy(program.file_name().unwrap_or_default())?;
        }
        replace(&self.folder.join("names").join(name), |aside| {
            fs::write(aside, &key)
        })?;
        session.release()?;
        Ok(())
    }

    /// Puts a toolchain into the store, unless it is there. One at a time: the second finds what the first has made.
    fn provide(&self, key: &str, source: &Path) -> Result<()> {
        let me = CacheHolder::me("multiplexer install", format!("copying {}", source.display()));
        let say = |holder: Option<&CacheHolder>| {
            holder.inspect(|holder| eprintln!("multiplexer: waiting for {holder}"));
        };
        let _lock = CacheLock::acquire(self.registry.path(), me, Timeout::Never, say, &Cancel::new())?;
        let complete = self.folder.join("store").join(key);
        if complete.exists() {
            return Ok(());
        }
        // What stands here was left by somebody who was killed: the lock is ours now.
        let staging = self.folder.join("staging");
        drop(fs::remove_dir_all(&staging));
        fs::create_dir(&staging).map_err(failed("create", &staging))?;
        for program in programs(source)? {
            let copy = staging.join(program.file_name().unwrap_or_default());
            let copied = fs::read(&program)
                .and_then(|content| fs::write(&copy, content))
                .and_then(|()| fs::metadata(&program))
                .and_then(|metadata| fs::set_permissions(&copy, metadata.permissions()));
            copied.map_err(failed("copy", &program))?;
        }
        if key_of(&staging)? != key {
            let source = source.display();
            return Err(format!("`{source}` was changed while it was copied; install it again").into());
        }
        fs::rename(&staging, &complete).map_err(failed("rename to", &complete))
    }

    fn make_proxy(&self, program: &OsStr) -> Result<()> {
        let proxy = self.folder.join("bin").join(program);
        if proxy.exists() {
            return Ok(());
        }
        let this = std::env::current_exe()?;
        replace(&proxy, |aside| {
            fs::hard_link(&this, aside).or_else(|_| fs::copy(&this, aside).map(drop))
        })
    }

    fn list(&self) -> Result<()> {
        let session = Session::acquire(&self.registry, self.request(Mode::Shared, "list"))?;
        for name in programs(&self.folder.join("names"))? {
            let key = fs::read_to_string(&name).map_err(failed("read", &name))?;
            println!("{} {key}", name.file_name().unwrap_or_default().display());
        }
        session.release()?;
        Ok(())
    }

    fn run(&self, program: &Path) -> Result<ExitCode> {
        let toolchain = std::env::var_os("TOOLCHAIN").unwrap_or_else(|| "default".into());
        let session = Session::acquire(&self.registry, self.request(Mode::Shared, "run"))?;
        let name = self.folder.join("names").join(&toolchain);
        let key = fs::read_to_string(&name).map_err(failed("find the toolchain", &name))?;
        let program = self.folder.join("store").join(key).join(program);
        let mut command = Command::new(&program);
        command.args(std::env::args_os().skip(1));
        // Should this proxy be killed, the program still keeps its toolchain's name from changing.
        session.lend(&mut command);
        let status = command.status().map_err(failed("run", &program))?;
        session.release()?;
        Ok(status
            .code()
            .or_else(|| Some(128 + ended_by(status)?))
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, Into::into))
    }
}

/// The signal that ended a program: a shell says 128 more for it.
#[cfg(unix)]
fn ended_by(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn ended_by(_status: ExitStatus) -> Option<i32> {
    None
}

/// The hash of all names and contents, by which a toolchain is stored.
fn key_of(folder: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for program in programs(folder)? {
        let name = program.file_name().unwrap_or_default().as_encoded_bytes();
        let content = fs::read(&program).map_err(failed("read", &program))?;
        // With their lengths, so that no name and content run together as another's do.
        for part in [name, &content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The files in a folder, in order. A name with a dot in front is being written.
fn programs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(failed("read", folder))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| {
        !path
            .file_name()
            .unwrap_or_default()
            .as_encoded_bytes()
            .starts_with(b".")
    });
    paths.sort();
    Ok(paths)
}

/// Makes a file appear as a whole. Under the exclusive hold nobody else uses the name aside.
fn replace(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let aside = path.with_file_name(".new");
    // Left by somebody who was killed, perhaps; a link cannot take a name that is taken.
    drop(fs::remove_file(&aside));
    write(&aside)
        .and_then(|()| fs::rename(&aside, path))
        .map_err(failed("write", path))
}

fn failed(action: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Box<dyn Error> {
    let what = format!("cannot {action} `{}`", path.display());
    move |cause| format!("{what}: {cause}").into()
}
