//! Scripts that run beside each other, and the gates at which a test stops them and lets them go on.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use buildlock::{Mode, Registry, State};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// After this long a test gives up. Nothing waits for it in a test that passes.
pub(crate) const STUCK: Duration = Duration::from_secs(60);

/// A gate in a script: the script says that it has arrived, and waits until it is let through. Two named pipes.
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
            make_named_pipe(&pipe);
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

/// Makes a named pipe: by the program, because macOS has no safe call for it.
///
/// # Panics
/// If it cannot be made.
pub fn make_named_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo starts");
    assert!(made.success(), "no named pipe at {}", path.display());
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    output: tempfile::NamedTempFile,
}

impl Running {
    /// Starts it. What it says is kept in a file: a pipe that nobody empties would stop it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let output = tempfile::NamedTempFile::new().expect("a file");
        let append = || {
            let file = File::options().append(true).open(output.path());
            file.expect("a file to add to")
        };
        command.stdout(append()).stderr(append());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let name = words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start `{name}`: {e}"));
        Self { name, child, output }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, and returns what it said.
    ///
    /// # Errors
    /// What it said, if it failed, or took too long.
    pub fn end(self) -> Result<String, String> {
        let name = self.name.clone();
        let (status, said) = self.end_anyhow()?;
        if status.success() {
            Ok(said)
        } else {
            Err(format!("`{name}` failed with {status}:\n{said}"))
        }
    }

    /// Waits for its end, however it ends, and returns that and what it said.
    ///
    /// # Errors
    /// If it takes too long.
    pub fn end_anyhow(mut self) -> Result<(ExitStatus, String), String> {
        let stuck = until("its end", || self.has_ended());
        let said = self.said();
        stuck.map_err(|why| format!("`{}`: {why}\n{said}", self.name))?;
        let status = self.child.wait().map_err(|e| e.to_string())?;
        Ok((status, said))
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap_or_default()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// If the system cannot tell.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Kills it. Its children go on.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until somebody waits in a registry for a hold of this mode.
///
/// # Errors
/// If nobody does for too long.
pub fn until_one_waits(registry: &Registry, mode: Mode) -> Result<(), String> {
    until("somebody to wait for the lock", || {
        let entries = registry.snapshot().map(|s| s.entries).unwrap_or_default();
        let records = entries.into_iter().filter_map(|e| e.record);
        records
            .into_iter()
            .any(|r| r.claim.state == State::Waiting && r.claim.mode == mode)
    })
}

/// Looks again and again, for what the kernel does not tell.
///
/// # Errors
/// If it takes too long.
pub fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<(), String> {
    let give_up = Instant::now() + STUCK;
    while Instant::now() < give_up {
        if done() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("waited too long for {what}"))
}
