//! A project of its own for each test, driven by the real `./x`: a small workspace whose builds stop at a gate until the test
//! lets them go on, so that a command can be held in the middle for as long as a test needs.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// After this long a test gives up on a process. Nothing waits for it in a test that passes.
const STUCK: Duration = Duration::from_secs(180);

/// What the build script, the test and the program of the fixture have in common: if the environment says so, they connect to
/// the gate, say who they are, and wait for a line.
const GATE: &str = r#"
pub fn gate(who: &str) {
    use std::io::{BufRead, Write};
    let Ok(address) = std::env::var("FIXTURE_GATE") else { return };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    writeln!(stream, "{who} {}", std::process::id()).unwrap();
    std::io::BufReader::new(stream).read_line(&mut String::new()).unwrap();
}
"#;

/// A workspace, its `bootstrap.toml`, and a build directory.
#[derive(Debug)]
pub struct Project {
    home: TempDir,
    gate: TcpListener,
}

impl Project {
    /// Lays out the fixture: packages `held` (stops at the gate while it is built) and `quick` (does not).
    ///
    /// # Panics
    /// If it cannot be laid out.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let gate = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        gate.set_nonblocking(true).expect("a socket that can be asked");
        let project = Self { home, gate };
        project.write(
            "ws/Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"held\", \"quick\"]\n",
        );
        for (name, build) in [("held", "build = \"build.rs\"\n"), ("quick", "")] {
            let manifest = format!(
                "[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2024\"\nlicense = \"MIT\"\n{build}"
            );
            project.write(&format!("ws/{name}/Cargo.toml"), &manifest);
            project.write(
                &format!("ws/{name}/src/lib.rs"),
                "//! A fixture.\n\n/// Two.\npub fn two() -> u32 {\n    2\n}\n",
            );
        }
        let build = "fn main() {\n    println!(\"cargo::rerun-if-env-changed=FIXTURE_ROUND\");\n    gate(\"build\");\n}\n";
        project.write("ws/held/build.rs", &format!("//! A fixture.\n{build}{GATE}"));
        let program = "fn main() {\n    println!(\"hello from held\");\n    gate(\"program\");\n}\n";
        project.write("ws/held/src/main.rs", &format!("//! A fixture.\n{program}{GATE}"));
        let test = "#[test]\nfn stops_at_the_gate() {\n    gate(\"test\");\n}\n";
        project.write("ws/quick/tests/gate.rs", &format!("//! A fixture.\n{test}{GATE}"));
        project.configure("");
        project
    }

    /// Writes `bootstrap.toml`, with `more` lines of dotted keys. Unless they say otherwise, its builds share no job tokens
    /// with others.
    pub fn configure(&self, more: &str) {
        let pool = match more.contains("build.job-pool") {
            true => "",
            false => "build.job-pool = \"build-dir\"\n",
        };
        let (build, ws) = (self.build_dir(), self.home.path().join("ws"));
        let cache = root().join("build/cache");
        let text = format!(
            "build.build-dir = {build:?}\nbuild.cache-dir = {cache:?}\nbuild.workspaces = [{ws:?}]\n{pool}{more}\n"
        );
        self.write("bootstrap.toml", &text);
    }

    /// Writes a file of the project.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A path in the project.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// The build directory.
    #[must_use]
    pub fn build_dir(&self) -> PathBuf {
        self.path("build")
    }

    /// Where the sessions meet.
    #[must_use]
    pub fn lock_dir(&self) -> PathBuf {
        self.build_dir().join("session")
    }

    /// `./x` with these arguments, not started yet.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        #[cfg(unix)]
        crate::process::heed_signals();
        let mut command = Command::new("python3");
        command
            .arg(root().join("x.py"))
            .arg("--config")
            .arg(self.path("bootstrap.toml"))
            .args(args);
        command.current_dir(self.home.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let foreign = [
                "BOOTSTRAP_",
                "BUILDLOCK_",
                "CARGO_",
                "RUSTC",
                "RUSTDOC",
                "FIXTURE_",
            ];
            if foreign.iter().any(|f| name.starts_with(f)) && name != "CARGO_HOME"
                || name == "MAKEFLAGS"
                || name == "RUSTFLAGS"
            {
                command.env_remove(name.as_ref());
            }
        }
        command
    }

    /// Starts `./x`; what it builds does not stop at the gate.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn x(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// Starts `./x`; whatever of the fixture it builds or runs stops at the gate.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn x_gated(&self, args: &[&str]) -> Running {
        Running::start(self.command_gated(args))
    }

    /// The command of [`Project::x_gated`], not started yet.
    ///
    /// # Panics
    /// If the gate is gone.
    #[must_use]
    pub fn command_gated(&self, args: &[&str]) -> Command {
        let mut command = self.command(args);
        let round = tempfile::Builder::new()
            .rand_bytes(12)
            .tempfile()
            .expect("a random name");
        let address = self.gate.local_addr().expect("a bound port").to_string();
        command
            .env("FIXTURE_GATE", address)
            .env("FIXTURE_ROUND", round.path());
        command
    }

    /// Waits until something of the fixture has come to the gate.
    ///
    /// # Panics
    /// If nothing comes for a long time.
    #[track_caller]
    #[must_use]
    pub fn at_gate(&self) -> AtGate {
        let give_up = Instant::now() + STUCK;
        loop {
            match self.gate.accept() {
                Ok((stream, _)) => return AtGate::hear(stream),
                Err(e) if e.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
                Err(e) => panic!("the gate is broken: {e}"),
            }
            assert!(Instant::now() < give_up, "nothing comes to the gate");
        }
    }

    /// Who is registered now.
    ///
    /// # Panics
    /// If that cannot be read.
    #[must_use]
    pub fn snapshot(&self) -> buildlock::Snapshot {
        let registry = buildlock::Registry::open(self.lock_dir()).expect("the registry");
        registry.snapshot().expect("a snapshot")
    }

    /// The files in the lock folder, sorted.
    #[must_use]
    pub fn lock_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.lock_dir()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

/// This repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are in the repository")
        .to_owned()
}

/// A process of the fixture that waits at the gate. Dropping it lets it go on.
#[derive(Debug)]
pub struct AtGate {
    stream: TcpStream,
    /// What it is: `build`, `program` or `test`.
    pub who: String,
    /// Its process.
    pub pid: u32,
}

impl AtGate {
    fn hear(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).expect("a socket to wait on");
        let mut line = String::new();
        BufReader::new(stream.try_clone().expect("a second handle"))
            .read_line(&mut line)
            .expect("its name");
        let (who, pid) = line.trim().split_once(' ').expect("its name and pid");
        Self {
            who: who.to_owned(),
            pid: pid.parse().expect("a pid"),
            stream,
        }
    }

    /// Lets it go on.
    pub fn open(mut self) {
        // If it was killed at the gate, nobody listens.
        drop(writeln!(self.stream, "go"));
    }
}

/// A process of `./x`, and what it says.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: Arc<Said>,
    stdout: Option<thread::JoinHandle<String>>,
}

#[derive(Debug, Default)]
struct Said {
    stderr: Mutex<(String, bool)>,
    more: Condvar,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Running {
    /// Starts a command, and listens to it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("./x starts");
        let (mut out, err) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let said = Arc::new(Said::default());
        let to = Arc::clone(&said);
        thread::spawn(move || {
            let mut err = BufReader::new(err);
            let mut bytes = Vec::new();
            while err.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
                to.lock().0.push_str(&String::from_utf8_lossy(&bytes));
                bytes.clear();
                to.more.notify_all();
            }
            to.lock().1 = true;
            to.more.notify_all();
        });
        let stdout = thread::spawn(move || {
            let mut text = Vec::new();
            // A process that is killed ends its output; what came before counts.
            drop(out.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            said,
            stdout: Some(stdout),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its standard error holds `text`.
    ///
    /// # Panics
    /// If it ends, or says nothing for a long time.
    #[track_caller]
    pub fn expect_stderr(&self, text: &str) -> &Self {
        let give_up = Instant::now() + STUCK;
        let mut said = self.said.lock();
        while !said.0.contains(text) {
            assert!(!said.1, "it ended without saying {text:?}; it said:\n{}", said.0);
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not say {text:?}; it said:\n{}", said.0);
            said = self
                .said
                .more
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        self
    }

    /// Waits until it tells that it waits for the lock.
    #[track_caller]
    pub fn expect_waiting(&self) -> &Self {
        self.expect_stderr("waiting for ")
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it cannot be sent.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) -> &Self {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it is there");
        self
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// If it does not end for a long time.
    #[track_caller]
    #[must_use]
    pub fn end(mut self) -> Ended {
        let give_up = Instant::now() + STUCK;
        while self.is_running() {
            if Instant::now() >= give_up {
                drop(self.child.kill());
                panic!("it does not end; it said:\n{}", self.said.lock().0);
            }
            thread::sleep(Duration::from_millis(2));
        }
        let status = self.child.wait().expect("a child that ended");
        let stdout = self
            .stdout
            .take()
            .map(|t| t.join().expect("its output"))
            .unwrap_or_default();
        let mut said = self.said.lock();
        while !said.1 {
            said = self.said.more.wait(said).unwrap_or_else(PoisonError::into_inner);
        }
        Ended {
            status,
            stdout,
            stderr: std::mem::take(&mut said.0),
        }
    }

    /// Waits until it ends well.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn succeeds(self) -> Ended {
        let ended = self.end();
        assert!(
            ended.status.success(),
            "{}\n--- stdout\n{}--- stderr\n{}",
            ended.status,
            ended.stdout,
            ended.stderr
        );
        ended
    }

    /// Waits until it ends with an exit code.
    ///
    /// # Panics
    /// If it ends otherwise.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Ended {
        let ended = self.end();
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{}\n--- stdout\n{}--- stderr\n{}",
            ended.status,
            ended.stdout,
            ended.stderr
        );
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that failed leaves one running.
        if self.is_running() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

impl Said {
    fn lock(&self) -> std::sync::MutexGuard<'_, (String, bool)> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
