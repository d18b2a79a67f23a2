//! A gate in a script: it says that it has arrived, and waits until it is let through.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};

/// After this long a test gives up. Nothing waits for it in a test that passes.
pub(super) const STUCK: Duration = Duration::from_secs(60);

/// Two named pipes.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    arrivals: File,
    passes: File,
}

impl Gate {
    /// A gate by this name in a folder.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let open = |suffix: &str| {
            let pipe = path.with_extension(suffix);
            rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .expect("a named pipe");
            // For reading and writing, so that neither side waits for the other to open it.
            File::options()
                .read(true)
                .write(true)
                .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                .open(&pipe)
                .expect("its ends")
        };
        let (arrivals, passes) = (open("in"), open("out"));
        Self {
            path,
            arrivals,
            passes,
        }
    }

    /// The shell's words by which a script stops at this gate.
    #[must_use]
    pub fn stop(&self) -> String {
        let (path, q) = (self.path.display(), "'");
        format!("echo > {q}{path}.in{q}; read -r _ < {q}{path}.out{q}")
    }

    /// Waits until a script has arrived.
    ///
    /// # Errors
    /// If none does for too long.
    pub fn arrived(&self) -> Result<(), String> {
        let mut files = [PollFd::new(&self.arrivals, PollFlags::IN)];
        let stuck = Timespec::try_from(STUCK).expect("a minute");
        match poll(&mut files, Some(&stuck)) {
            Ok(1) => (&self.arrivals).read_exact(&mut [0]).map_err(|e| e.to_string()),
            _ => Err(format!("nobody arrives at {}", self.path.display())),
        }
    }

    /// Lets one script through.
    ///
    /// # Panics
    /// If the pipe is broken.
    pub fn open(&self) {
        (&self.passes).write_all(b"\n").expect("a pipe with room");
    }
}
