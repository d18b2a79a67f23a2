//! Collection: toolchains, drivers and archives that nothing uses any more are removed from the cache.
//!
//! Only under an exclusive session, and never what a living session names in its record. What goes is first renamed away, so
//! that at every moment a name in the cache is complete or absent.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use buildlock::Snapshot;

use super::Event;
use super::toolchain::{Cache, Toolchains};
use crate::error::{Error, Result};
use crate::file_times::set_modified;

/// After how long without use a part of the cache is removed without being asked for. Who goes back and forth between two
/// branches keeps what both need.
pub const UNUSED_MAX: Duration = Duration::from_hours(14 * 24);

/// How exact the mark of the last use is: each use would be too often to write it.
const USE_NOTED_EVERY: Duration = Duration::from_hours(24);

/// The name by which a session says that it uses a toolchain.
#[must_use]
pub fn toolchain_in_use(key: &str) -> String {
    format!("stage0/{key}")
}

/// The name by which a session says that it uses a driver.
#[must_use]
pub fn driver_in_use(fingerprint: &str) -> String {
    format!("driver/{fingerprint}")
}

/// Notes that a part of the cache is used, by its folder's time of change.
///
/// # Errors
/// Where it is not there (any more). That the time cannot be set is none.
pub fn note_use(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    if unused_for(&metadata) > USE_NOTED_EVERY {
        // Somebody else's cache may not be ours to mark.
        let _ = set_modified(folder, SystemTime::now());
    }
    Ok(())
}

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What has not been used for [`UNUSED_MAX`].
    Old,
    /// All that is not in use now.
    Unused,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Freed {
    /// By path, with the bytes that each had to itself or shared only with others of these.
    pub parts: Vec<(PathBuf, u64)>,
}

impl Freed {
    /// How many bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Removes from the cache what is neither part of the current pin, nor the current driver, nor used by a living session.
///
/// A cache that other build directories share is only ever freed of what is [`Extent::Old`]: their sessions cannot be seen
/// from here.
///
/// # Errors
/// Where the cache lock cannot be had, or something cannot be removed.
pub fn collect(
    toolchains: &Toolchains<'_>,
    driver: &str,
    sessions: &Snapshot,
    extent: Extent,
    say: &mut dyn FnMut(&Event<'_>),
) -> Result<Freed> {
    let cache = toolchains.cache;
    let extent = if cache.is_shared() { Extent::Old } else { extent };
    let kept = kept(toolchains, driver, sessions);
    if candidates(cache, &kept, extent)?.is_empty() {
        return Ok(Freed::default());
    }
    let locks = cache.lock("removing what is unused", toolchains.patience, say)?;
    let staging = cache.staging()?;
    let mut sizes = Sizes::default();
    let mut parts = Vec::new();
    for (number, path) in candidates(cache, &kept, extent)?.into_iter().enumerate() {
        let aside = staging.path().join(number.to_string());
        match fs::rename(&path, &aside) {
            // Windows moves no folder in which a program runs: that of a driver that is about to ask for its session, say.
            Err(e) if cfg!(windows) && e.kind() == io::ErrorKind::PermissionDenied => continue,
            moved => moved.map_err(|e| Error::io("cannot remove", &path, e))?,
        }
        sizes
            .add(&aside)
            .map_err(|e| Error::io("cannot look at", &path, e))?;
        parts.push((path, sizes.take()));
    }
    staging
        .close()
        .map_err(|e| Error::io("cannot remove", cache.folder(), e))?;
    drop(locks);
    say(&Event::Done);
    Ok(Freed { parts })
}

/// The names, relative to the cache, that stay.
fn kept(toolchains: &Toolchains<'_>, driver: &str, sessions: &Snapshot) -> HashSet<PathBuf> {
    // A pin without archives for this host has no toolchains to keep.
    let keys = toolchains.keys().unwrap_or_default();
    let used = sessions
        .entries
        .iter()
        .filter_map(|entry| entry.record.as_ref())
        .flat_map(|record| &record.uses);
    let archives = toolchains
        .pin
        .sums
        .keys()
        .filter_map(|key| key.rsplit('/').next());
    keys.iter()
        .map(|key| toolchain_in_use(key))
        .chain([driver_in_use(driver)])
        .chain(used.cloned())
        .chain(archives.map(|name| format!("downloads/{name}")))
        .map(PathBuf::from)
        .collect()
}

fn candidates(cache: &Cache, kept: &HashSet<PathBuf>, extent: Extent) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for shelf in [cache.toolchains(), cache.drivers(), cache.downloads()] {
        let failed = |e| Error::io("cannot list", &shelf, e);
        let entries = match fs::read_dir(&shelf) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        let shelf_name = Path::new(shelf.file_name().unwrap_or(OsStr::new("")));
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // It may go while we look: the launcher of another build directory removes what it finds damaged.
            let Ok(metadata) = entry.metadata() else { continue };
            let in_use = kept.contains(&shelf_name.join(entry.file_name()));
            if !in_use && (extent == Extent::Unused || unused_for(&metadata) > UNUSED_MAX) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn unused_for(metadata: &Metadata) -> Duration {
    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    // A time in the future is a clock that was set back: then it is in use now.
    SystemTime::now().duration_since(changed).unwrap_or_default()
}

/// Counts bytes that removing frees. A file with several names frees nothing before the last of them goes.
#[derive(Default)]
struct Sizes {
    bytes: u64,
    names_left: HashMap<(u64, u64), u64>,
}

impl Sizes {
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.is_dir() {
            return fs::read_dir(path)?.try_for_each(|entry| self.add(&entry?.path()));
        }
        if self.is_last_name(&metadata) {
            self.bytes += metadata.len();
        }
        Ok(())
    }

    #[cfg(unix)]
    fn is_last_name(&mut self, metadata: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let left = self
            .names_left
            .entry((metadata.dev(), metadata.ino()))
            .or_insert(metadata.nlink());
        *left = left.saturating_sub(1);
        *left == 0
    }

    #[cfg(not(unix))]
    fn is_last_name(&mut self, _metadata: &Metadata) -> bool {
        self.names_left.is_empty()
    }

    fn take(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

/// A number of bytes, for people.
#[derive(Clone, Copy, Debug)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        let Self(bytes) = *self;
        if bytes < 1024 {
            return write!(f, "{bytes} bytes");
        }
        let mut size = bytes as f64 / 1024.0;
        let mut units = UNITS.iter();
        let mut unit = units.next().unwrap_or(&"");
        while size >= 1024.0 {
            let Some(next) = units.next() else { break };
            size /= 1024.0;
            unit = next;
        }
        write!(f, "{size:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use buildlock::{Mode, Registry, Request, Session, Timeout};

    use super::super::pin;
    use super::super::toolchain::Patience;
    use super::*;
    use crate::interrupt::Interrupts;

    struct Scene {
        folder: tempfile::TempDir,
        pin: pin::Pin,
    }

    fn scene() -> Scene {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../stage0")).unwrap();
        Scene {
            folder: tempfile::tempdir().unwrap(),
            pin: pin::Pin::parse(&text).unwrap(),
        }
    }

    impl Scene {
        fn build(&self) -> PathBuf {
            self.folder.path().join("build")
        }

        fn put(&self, cache: &Path, name: &str, age: Duration) -> PathBuf {
            let path = cache.join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("file"), "12345").unwrap();
            set_modified(&path, SystemTime::now() - age).unwrap();
            path
        }

        fn base_key(&self) -> String {
            self.pin.key(&pin::Component::BASE, pin::tests::HOST).unwrap()
        }

        /// Collects with a session that uses `stage0/used`, and returns the names that went and their bytes.
        fn collect(&self, cache: &Path, extent: Extent) -> (Vec<String>, u64) {
            let session_dir = self.build().join("session");
            let registry = Registry::open(&session_dir).unwrap();
            let request = Request::new(Mode::Exclusive, "clean").uses(["stage0/used".to_owned()]);
            let _session = Session::acquire(&registry, request).unwrap();
            let snapshot = registry.snapshot().unwrap();
            let cache = Cache::new(cache, &self.build(), &session_dir);
            let interrupts = Interrupts::default();
            let patience = Patience {
                timeout: Timeout::Never,
                interrupts: &interrupts,
            };
            let toolchains = Toolchains {
                pin: &self.pin,
                host: pin::tests::HOST,
                server: "",
                cache: &cache,
                patience,
            };
            let freed = collect(&toolchains, "current", &snapshot, extent, &mut |_| {}).unwrap();
            for (path, _) in &freed.parts {
                assert!(!path.exists(), "{} is still there", path.display());
            }
            let bytes = freed.bytes();
            let name = |path: PathBuf| {
                let name = path.strip_prefix(cache.folder()).unwrap().display().to_string();
                name.replace('\\', "/")
            };
            (
                freed.parts.into_iter().map(|(path, _)| name(path)).collect(),
                bytes,
            )
        }
    }

    const OLD: Duration = Duration::from_hours(15 * 24);
    const NEW: Duration = Duration::from_hours(1);

    #[test]
    fn what_is_current_or_in_use_stays() {
        let scene = scene();
        let cache = scene.build().join("cache");
        let current = format!("stage0/{}", scene.base_key());
        for name in [
            current.as_str(),
            "driver/current",
            "stage0/used",
            "driver/old",
            "stage0/old",
        ] {
            scene.put(&cache, name, OLD);
        }
        let archive = scene
            .pin
            .archive(pin::Component::Rustc, pin::tests::HOST)
            .unwrap();
        scene.put(&cache, &format!("downloads/{}", archive.file_name()), OLD);
        scene.put(&cache, "downloads/rustc-1.0.0.tar.xz", OLD);
        let (gone, bytes) = scene.collect(&cache, Extent::Unused);
        assert_eq!(gone, ["downloads/rustc-1.0.0.tar.xz", "driver/old", "stage0/old"]);
        assert_eq!(bytes, 15);
        assert_eq!(scene.collect(&cache, Extent::Unused).0, [""; 0]);
    }

    #[test]
    fn without_being_asked_only_what_is_old_goes() {
        let scene = scene();
        let cache = scene.build().join("cache");
        scene.put(&cache, "stage0/recent", NEW);
        scene.put(&cache, "stage0/old", OLD);
        assert_eq!(scene.collect(&cache, Extent::Old).0, ["stage0/old"]);
        assert_eq!(scene.collect(&cache, Extent::Unused).0, ["stage0/recent"]);
    }

    #[test]
    fn a_shared_cache_keeps_what_others_may_use() {
        let scene = scene();
        let cache = scene.folder.path().join("shared");
        scene.put(&cache, "stage0/recent", NEW);
        scene.put(&cache, "stage0/old", OLD);
        assert_eq!(scene.collect(&cache, Extent::Unused).0, ["stage0/old"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_use_makes_young_again_and_shared_files_count_once() {
        let scene = scene();
        let cache = scene.build().join("cache");
        let (one, two) = (
            scene.put(&cache, "stage0/one", OLD),
            scene.put(&cache, "stage0/two", OLD),
        );
        fs::remove_file(two.join("file")).unwrap();
        fs::hard_link(one.join("file"), two.join("file")).unwrap();
        note_use(&one).unwrap();
        note_use(&two).unwrap();
        assert_eq!(scene.collect(&cache, Extent::Old).0, [""; 0]);
        assert_eq!(scene.collect(&cache, Extent::Unused).1, 5);
        assert!(note_use(&one).is_err());
    }

    #[test]
    fn bytes_are_shown_in_units_that_fit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1536, "1.5 KiB"),
            (231 << 20, "231.0 MiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(HumanBytes(bytes).to_string(), text);
        }
    }
}
