//! A note that a probe succeeded, so that it need not be asked again: a proxy is started many times a second.
//!
//! It stands as long as nobody was granted the lock exclusively, and nothing has changed of what the rule names as the
//! probe's inputs. Losing it costs a probe, and nothing else.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::rules::{ProbeInputs, places};

/// The folder of the notes, in the lock folder.
const FOLDER: &str = "probed";

/// The most notes that are kept: one for each folder that is worked in and each program.
const NOTES_MAX: usize = 1000;

/// The note of one probe.
pub(crate) struct Memo {
    path: PathBuf,
}

impl Memo {
    pub(crate) fn of(lock_folder: &Path, probe: &Command, inputs: &ProbeInputs) -> Self {
        let mut key = DefaultHasher::new();
        probe.get_program().hash(&mut key);
        probe.get_args().for_each(|word| word.hash(&mut key));
        for name in &inputs.env {
            std::env::var_os(name).hash(&mut key);
        }
        for file in places(&inputs.files) {
            stamp(&file).hash(&mut key);
        }
        let here = std::env::current_dir().unwrap_or_default();
        here.hash(&mut key);
        for folder in here.ancestors() {
            for name in &inputs.above {
                stamp(&folder.join(name)).hash(&mut key);
            }
        }
        let key = key.finish();
        Self {
            path: lock_folder.join(FOLDER).join(format!("{key:016x}")),
        }
    }

    /// Whether the probe succeeded, and nothing can have changed since.
    pub(crate) fn stands(&self, epoch: u64) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|noted| noted == epoch.to_string())
    }

    /// Notes that it succeeded. Where that cannot be written, the next one asks again.
    pub(crate) fn note(&self, epoch: u64) {
        let Some(folder) = self.path.parent() else { return };
        if std::fs::read_dir(folder).map_or(0, Iterator::count) >= NOTES_MAX {
            drop(std::fs::remove_dir_all(folder));
        }
        drop(std::fs::create_dir(folder));
        // Others may read it while it is written: half a number is another number, so it appears as a whole.
        let aside = self.path.with_extension(std::process::id().to_string());
        drop(std::fs::write(&aside, epoch.to_string()).and_then(|()| std::fs::rename(&aside, &self.path)));
    }
}

/// What tells whether a file has changed.
fn stamp(file: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
