//! Toolchains in the cache: found, or made under the cache lock.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use buildlock::{CacheHolder, CacheLock, ErrorKind, Timeout};

use super::Event;
use super::cancelled;
use super::download::Downloader;
use super::pin::{Component, Pin};
use super::unpack::unpack;
use crate::error::Error;
use crate::interrupt::Interrupts;

/// The content-addressed cache, and where its lock is.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    lock_folder: PathBuf,
    is_shared: bool,
}

impl Cache {
    /// The cache in `folder`, used from `build_dir` with the lock folder `lock_dir`.
    ///
    /// A cache outside of the build directory may be filled from several, whose lock folders differ: its lock then lies in
    /// itself. The launcher does the same.
    #[must_use]
    pub fn new(folder: &Path, build_dir: &Path, lock_dir: &Path) -> Self {
        let is_shared = !folder.starts_with(build_dir);
        Self {
            folder: folder.to_owned(),
            lock_folder: if is_shared { folder } else { lock_dir }.to_owned(),
            is_shared,
        }
    }

    /// The folder that its lock is in.
    #[must_use]
    pub fn lock_folder(&self) -> &Path {
        &self.lock_folder
    }

    /// Whether other build directories may use it, too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a toolchain is, or will be.
    #[must_use]
    pub fn toolchain(&self, key: &str) -> PathBuf {
        self.toolchains().join(key)
    }

    /// Where a driver is, or will be.
    #[must_use]
    pub fn driver(&self, fingerprint: &str) -> PathBuf {
        self.drivers().join(fingerprint)
    }

    pub(super) fn toolchains(&self) -> PathBuf {
        self.folder.join("stage0")
    }

    pub(super) fn drivers(&self) -> PathBuf {
        self.folder.join("driver")
    }

    pub(super) fn downloads(&self) -> PathBuf {
        self.folder.join("downloads")
    }

    /// Takes the cache's lock.
    ///
    /// # Errors
    /// Where it cannot be had in time, or at all.
    pub fn lock(
        &self,
        doing: &str,
        patience: Patience<'_>,
        say: &mut dyn FnMut(&Event<'_>),
    ) -> Result<CacheLock, Error> {
        let waiting = |holder: Option<&CacheHolder>| say(&Event::Waiting(holder));
        let me = CacheHolder::me(crate::hold::command_line().join(" "), doing);
        let cancel = patience.interrupts.cancel();
        let locked = CacheLock::acquire(&self.lock_folder, me, patience.timeout, waiting, cancel);
        locked.map_err(|e| match e.kind() {
            ErrorKind::Timeout => {
                Error::from(e).advice("--lock-timeout SECS or `build.lock-timeout` allows more")
            }
            ErrorKind::Cancelled => cancelled(patience.interrupts),
            _ => Error::from(e),
        })
    }

    /// A new folder to make things in that a rename will then put in place. Whatever lies beside it was left by somebody
    /// who was killed, and is removed: the cache lock must be held.
    pub(super) fn staging(&self) -> Result<tempfile::TempDir, Error> {
        let folder = self.folder.join("staging");
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("cannot remove what was left in", &folder, e));
            }
            _ => {}
        }
        fs::create_dir_all(&folder)
            .and_then(|()| tempfile::tempdir_in(&folder))
            .map_err(|e| Error::io("cannot create a folder in", &folder, e))
    }
}

/// How to wait for the cache lock.
#[derive(Clone, Copy, Debug)]
pub struct Patience<'a> {
    /// For how long.
    pub timeout: Timeout,
    /// What ends the wait, and a download or unpacking.
    pub interrupts: &'a Interrupts,
}

/// The pinned toolchains for one host.
#[derive(Clone, Copy, Debug)]
pub struct Toolchains<'a> {
    /// Which ones.
    pub pin: &'a Pin,
    /// The host's target triple.
    pub host: &'a str,
    /// Where archives come from.
    pub server: &'a str,
    /// Where toolchains go.
    pub cache: &'a Cache,
    /// How to wait for whoever else puts something there.
    pub patience: Patience<'a>,
}

/// What gives unpacking the right to run, and takes it back.
pub trait Jobs {
    /// The right to run one job. Dropping it gives it back.
    type Job;
    /// Takes one if it can be had at once.
    ///
    /// # Errors
    /// Where that cannot be found out.
    fn try_start(&self) -> Result<Option<Self::Job>, Error>;
    /// Waits for one.
    ///
    /// # Errors
    /// Where there is none to be had, or the wait was given up.
    fn start(&self) -> Result<Self::Job, Error>;
}

/// An archive that is here, open at its start.
struct Fetched {
    component: Component,
    path: PathBuf,
    file: fs::File,
    name: String,
}

impl Toolchains<'_> {
    /// Returns the folder of the pinned toolchain with one component more than the compiler, its standard library and
    /// cargo; makes it where it is missing. Its programs are in `bin`.
    ///
    /// # Errors
    /// Where the pin has no archive for the host, or it cannot be had.
    pub fn with<J: Jobs>(
        &self,
        component: Component,
        jobs: &J,
        say: &mut dyn FnMut(&Event<'_>),
    ) -> Result<PathBuf, Error> {
        let key = self.pin.key_with(component, self.host)?;
        let folder = self.cache.toolchain(&key);
        // Complete or absent: what is there needs no look, and no lock.
        if folder.is_dir() {
            return Ok(folder);
        }
        let doing = format!("unpacking {}", component.name());
        let mut job = None;
        loop {
            let lock = self.cache.lock(&doing, self.patience, say)?;
            if folder.is_dir() {
                break;
            }
            let archives = self.fetch(component, say)?;
            if job.is_none() {
                job = jobs.try_start()?;
            }
            if job.is_some() {
                self.make(archives, &folder, say)?;
                break;
            }
            // Nobody waits for a job with this lock in hand: whoever has the job may wait for it.
            drop(lock);
            job = Some(jobs.start()?);
        }
        say(&Event::Done);
        Ok(folder)
    }

    /// The keys of all toolchains that [`Toolchains::with`] and the launcher make of this pin.
    ///
    /// # Errors
    /// Where the pin has no archives for the host.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        Component::ALL
            .iter()
            .map(|&component| self.pin.key_with(component, self.host))
            .collect()
    }

    /// Has the archives that are missing to what the base holds already.
    fn fetch(&self, component: Component, say: &mut dyn FnMut(&Event<'_>)) -> Result<Vec<Fetched>, Error> {
        let mut parts = Vec::new();
        if !self.base()?.is_dir() {
            parts.extend(Component::BASE);
        }
        if !Component::BASE.contains(&component) {
            parts.push(component);
        }
        let fetch = |component| {
            let archive = self.pin.archive(component, self.host)?;
            let mut downloader = Downloader {
                server: self.server,
                interrupts: self.patience.interrupts,
                say,
            };
            let (path, file) = downloader.archive(&archive, &self.cache.downloads())?;
            Ok(Fetched {
                component,
                path,
                file,
                name: archive.file_name().to_owned(),
            })
        };
        parts.into_iter().map(fetch).collect()
    }

    fn base(&self) -> Result<PathBuf, Error> {
        Ok(self.cache.toolchain(&self.pin.key(&Component::BASE, self.host)?))
    }

    fn make(
        &self,
        archives: Vec<Fetched>,
        folder: &Path,
        say: &mut dyn FnMut(&Event<'_>),
    ) -> Result<(), Error> {
        let staging = self.cache.staging()?;
        let tree = staging.path().join("toolchain");
        let base = self.base()?;
        if base.is_dir() {
            link_tree(&base, &tree).map_err(|e| Error::io("cannot copy the toolchain to", &tree, e))?;
        } else {
            fs::create_dir(&tree).map_err(|e| Error::io("cannot create", &tree, e))?;
        }
        for archive in archives {
            say(&Event::Unpacking { name: &archive.name });
            self.add(archive, &tree)?;
        }
        sync_folder(&tree).map_err(|e| Error::io("cannot write", &tree, e))?;
        let shelf = self.cache.toolchains();
        fs::create_dir_all(&shelf)
            .and_then(|()| fs::rename(&tree, folder))
            .and_then(|()| sync_folder(&shelf))
            .map_err(|e| Error::io("cannot put the toolchain in place as", folder, e))
    }

    fn add(&self, archive: Fetched, tree: &Path) -> Result<(), Error> {
        unpack(&archive.path, archive.file, tree, self.patience.interrupts)?;
        let program = archive.component.program().map(|name| {
            tree.join("bin")
                .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
        });
        match program {
            Some(program) if !program.is_file() => {
                let name = program.file_name().unwrap_or(OsStr::new("?"));
                Err(Error::environment(format!(
                    "`{}` has no bin/{}",
                    archive.path.display(),
                    name.display()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Makes a second tree of the same files. Toolchains never change, so the two may share them.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_tree(&source, &target)?;
        } else if kind.is_symlink() {
            super::unpack::symlink(&fs::read_link(&source)?, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            // Some file systems have no hard links, others few of one file.
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Makes the names in a folder survive a power failure.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::download::tests::Served;
    use super::super::pin::tests::HOST;
    use super::super::unpack::tests::What;
    use super::*;

    /// As many jobs as anybody likes.
    struct Free;

    impl Jobs for Free {
        type Job = ();

        fn try_start(&self) -> Result<Option<()>, Error> {
            Ok(Some(()))
        }

        fn start(&self) -> Result<(), Error> {
            unreachable!("one can be had at once")
        }
    }

    /// No job at first; the cache's lock must be free when one is waited for.
    struct Busy<'a> {
        cache: &'a Cache,
        waits: std::cell::Cell<u32>,
    }

    impl Jobs for Busy<'_> {
        type Job = ();

        fn try_start(&self) -> Result<Option<()>, Error> {
            Ok(None)
        }

        fn start(&self) -> Result<(), Error> {
            self.waits.set(self.waits.get() + 1);
            let at_once = Patience {
                timeout: Timeout::AtOnce,
                interrupts: &Interrupts::default(),
            };
            self.cache.lock("looking", at_once, &mut |_| {}).map(drop)
        }
    }

    /// A dist server in a folder, a pin of what it serves, and a cache.
    struct Scene {
        served: Served,
        cache: Cache,
    }

    fn scene() -> Scene {
        let served = Served::new();
        let build = served.folder.path().join("build");
        let cache = Cache::new(&build.join("cache"), &build, &build.join("session"));
        Scene { served, cache }
    }

    impl Scene {
        fn with(&self, pin: &Pin, component: Component) -> Result<PathBuf, Error> {
            self.with_jobs(pin, component, &Free)
        }

        fn with_jobs<J: Jobs>(&self, pin: &Pin, component: Component, jobs: &J) -> Result<PathBuf, Error> {
            let patience = Patience {
                timeout: Timeout::Never,
                interrupts: &Interrupts::default(),
            };
            let server = self.served.address();
            let cache = &self.cache;
            let toolchains = Toolchains {
                pin,
                host: HOST,
                server: &server,
                cache,
                patience,
            };
            toolchains.with(component, jobs, &mut |_| {})
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .map(|name| name.trim_end_matches(std::env::consts::EXE_SUFFIX).to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nobody_waits_for_a_job_while_the_cache_is_locked() {
        let scene = scene();
        let pin = scene.served.pin();
        let busy = Busy {
            cache: &scene.cache,
            waits: std::cell::Cell::new(0),
        };
        let made = scene.with_jobs(&pin, Component::Rustfmt, &busy).unwrap();
        assert!(made.join("bin").is_dir());
        assert_eq!(busy.waits.get(), 1);
        scene.with_jobs(&pin, Component::Rustfmt, &busy).unwrap();
        assert_eq!(busy.waits.get(), 1, "what is there costs no job");
    }

    #[test]
    fn a_component_makes_another_toolchain_beside_the_base() {
        let scene = scene();
        let pin = scene.served.pin();
        let base = scene.with(&pin, Component::Rustc).unwrap();
        assert_eq!(names(&base.join("bin")), ["cargo", "rustc"]);
        let with_rustfmt = scene.with(&pin, Component::Rustfmt).unwrap();
        assert_ne!(base, with_rustfmt);
        assert_eq!(names(&with_rustfmt.join("bin")), ["cargo", "rustc", "rustfmt"]);
        assert_eq!(names(&base.join("bin")), ["cargo", "rustc"], "the base changed");
        assert_eq!(names(&scene.cache.folder().join("staging")), [""; 0]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let inode = |tree: &Path| fs::metadata(tree.join("bin/rustc")).unwrap().ino();
            assert_eq!(inode(&base), inode(&with_rustfmt), "the compiler was copied");
        }
    }

    #[test]
    fn what_is_there_needs_neither_lock_nor_server() {
        let scene = scene();
        let pin = scene.served.pin();
        let first = scene.with(&pin, Component::Clippy).unwrap();
        scene.served.remove_all();
        let _held = scene
            .cache
            .lock(
                "x",
                Patience {
                    timeout: Timeout::Never,
                    interrupts: &Interrupts::default(),
                },
                &mut |_| {},
            )
            .unwrap();
        assert_eq!(scene.with(&pin, Component::Clippy).unwrap(), first);
    }

    #[test]
    fn a_failure_leaves_nothing_that_counts() {
        let scene = scene();
        let pin = scene.served.pin();
        let clippy = pin.archive(Component::Clippy, HOST).unwrap();
        scene.served.tamper(&clippy.key);
        let error = scene.with(&pin, Component::Clippy).unwrap_err();
        assert!(error.to_string().contains("src/stage0 pins"), "{error}");
        assert!(!scene.cache.toolchains().exists());
        assert!(!scene.cache.downloads().join(clippy.file_name()).exists());
    }

    #[test]
    fn an_archive_without_its_program_is_refused() {
        let mut scene = scene();
        scene.served.serve(
            Component::Rustfmt,
            &[("r/rustfmt-preview/bin/other", What::Program("x"))],
        );
        let error = scene.with(&scene.served.pin(), Component::Rustfmt).unwrap_err();
        assert!(error.to_string().contains("has no bin/rustfmt"), "{error}");
        assert!(!scene.cache.toolchains().exists());
    }

    #[test]
    fn a_cached_archive_that_was_tampered_with_is_fetched_again() {
        let scene = scene();
        let pin = scene.served.pin();
        let folder = scene.with(&pin, Component::Rustfmt).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let archive = scene
            .cache
            .downloads()
            .join(pin.archive(Component::Rustfmt, HOST).unwrap().file_name());
        let good = fs::read(&archive).unwrap();
        fs::write(&archive, "tampered").unwrap();
        scene.with(&pin, Component::Rustfmt).unwrap();
        assert_eq!(fs::read(&archive).unwrap(), good);
    }

    #[test]
    fn what_a_killed_run_left_in_staging_is_swept() {
        let scene = scene();
        let left = scene.cache.folder().join("staging/left/behind");
        fs::create_dir_all(&left).unwrap();
        scene.with(&scene.served.pin(), Component::Rustc).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_cache_outside_of_the_build_directory_is_shared_and_has_its_lock_in_itself() {
        let cache = |folder: &str| Cache::new(folder.as_ref(), "/b".as_ref(), "/b/session".as_ref());
        assert!(!cache("/b/cache").is_shared() && cache("/b/cache").lock_folder() == "/b/session");
        assert!(cache("/c").is_shared() && cache("/c").lock_folder() == "/c");
    }
}
