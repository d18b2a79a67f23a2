//! A scene: one lock folder, the processes that meet there, and the order in which things were seen to happen.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use buildlock::{Mode, Registry, SESSION_VARIABLE, Snapshot};
#[cfg(unix)]
use rustix::process::{WaitId, WaitIdOptions};
use tempfile::TempDir;

use crate::holder::{Bond, Grant, Order, Patience, Report};

/// After this long without the line that it waits for, a test gives up. Nothing waits for it in a test that passes.
const STUCK: Duration = Duration::from_secs(60);

/// Whether the processes of a scene really lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locks {
    On,
    Off,
}

/// A lock folder, and the processes that meet there.
#[derive(Debug)]
pub struct Scene {
    home: TempDir,
    holder: PathBuf,
    listener: TcpListener,
    locks: Locks,
    log: Arc<Log>,
    direct_children: RefCell<Vec<Child>>,
}

/// What was seen, in order, and what of it no test has asked for yet.
#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Seen>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    moments: Vec<String>,
    unread: HashMap<String, VecDeque<Report>>,
}

/// A process of the scene.
#[derive(Debug)]
pub struct Holder<'a> {
    scene: &'a Scene,
    name: String,
    pid: u32,
    to_holder: TcpStream,
}

/// Plays `act` with locks, and again without: the first must end well, and the second must not, or `act` proves nothing.
///
/// `holder` is the path of the `holder` program.
///
/// # Panics
/// If either is not so.
#[track_caller]
pub fn play_with_control(holder: &str, act: impl Fn(&Scene)) {
    play(holder, &act);
    let control = Scene::new(holder, Locks::Off);
    let passed = catch_unwind(AssertUnwindSafe(|| act(&control))).is_ok();
    assert!(!passed, "this passes without any locks, too: it shows nothing");
}

/// Plays `act` with locks only: for what no lock is needed to pass.
pub fn play(holder: &str, act: impl Fn(&Scene)) {
    act(&Scene::new(holder, Locks::On));
}

impl Scene {
    fn new(holder: &str, locks: Locks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        // A holder that dies before it connects must not block the test for ever.
        listener
            .set_nonblocking(true)
            .expect("a socket that can be asked");
        Self {
            home: tempfile::tempdir().expect("a temporary folder"),
            holder: holder.into(),
            listener,
            locks,
            log: Arc::default(),
            direct_children: RefCell::default(),
        }
    }

    /// The lock folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("session")
    }

    /// The registry.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::open(self.folder()).expect("the scene's registry")
    }

    /// Who is registered now.
    ///
    /// # Panics
    /// If that cannot be read.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.registry().snapshot().expect("a snapshot")
    }

    /// The files in the lock folder, sorted. What is removed but still open somewhere, on Windows, is gone.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|name| !(cfg!(windows) && name.ends_with(".gone")))
            .collect();
        names.sort();
        names
    }

    /// Starts a process that is nested in nothing.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(&self, name: &str) -> Holder<'_> {
        let mut command = Command::new(&self.holder);
        command
            .arg(self.listener.local_addr().expect("a bound port").to_string())
            .arg(self.folder())
            .arg(name)
            .args((self.locks == Locks::Off).then_some("--no-lock"))
            .env_remove(SESSION_VARIABLE)
            .stdin(Stdio::null());
        let child = command.spawn().expect("the holder starts");
        self.direct_children.borrow_mut().push(child);
        self.welcome(name)
    }

    /// Waits until the process called `name` reports.
    #[track_caller]
    fn welcome(&self, name: &str) -> Holder<'_> {
        let to_holder = self.accept();
        to_holder.set_nonblocking(false).expect("a socket to wait on");
        let mut reports = BufReader::new(to_holder.try_clone().expect("a second handle"));
        let mut line = String::new();
        reports.read_line(&mut line).expect("the holder's first line");
        let Ok(Report::Here { name: said, pid }) = serde_json::from_str(&line) else {
            panic!("a holder introduced itself with {line:?}");
        };
        assert_eq!(said, name, "the holders are started one by one");
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in reports.lines().map_while(Result::ok) {
                if let Ok(report) = serde_json::from_str(&line) {
                    log.hear(&said, report);
                }
            }
        });
        Holder {
            scene: self,
            name: name.to_owned(),
            pid,
            to_holder,
        }
    }

    #[track_caller]
    fn accept(&self) -> TcpStream {
        let give_up = Instant::now() + STUCK;
        while Instant::now() < give_up {
            match self.listener.accept() {
                Ok((stream, _)) => return stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                Err(e) => panic!("no holder can connect: {e}"),
            }
        }
        panic!("the holder does not connect\n{}", self.describe());
    }

    /// The grants, releases and deaths so far, in the order in which they were seen: `a granted`, `a lets go`, `b killed`.
    ///
    /// A grant is noted after it happened and a release before it happens, so two holds that overlap here really did.
    #[must_use]
    pub fn holds(&self) -> Vec<String> {
        self.log.lock().moments.clone()
    }

    fn describe(&self) -> String {
        format!(
            "seen so far: {:#?}\nfiles: {:#?}\nregistry: {:#?}",
            self.holds(),
            self.files(),
            self.registry().snapshot()
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for mut child in self.direct_children.take() {
            // Those that wait for ever, or that were stopped, must not outlive the test; the rest is gone already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, moment: String) {
        self.lock().moments.push(moment);
    }

    fn hear(&self, name: &str, report: Report) {
        let mut seen = self.lock();
        if let Report::Granted(_) = report {
            seen.moments.push(format!("{name} granted"));
        }
        seen.unread.entry(name.to_owned()).or_default().push_back(report);
        drop(seen);
        self.more.notify_all();
    }

    /// The next report of a holder, unless it takes too long.
    fn next(&self, name: &str) -> Option<Report> {
        let give_up = Instant::now() + STUCK;
        let mut seen = self.lock();
        loop {
            if let Some(report) = seen.unread.get_mut(name).and_then(VecDeque::pop_front) {
                return Some(report);
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            seen = self
                .more
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl<'a> Holder<'a> {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks for the lock, with endless patience.
    pub fn acquire(&self, mode: Mode) -> &Self {
        self.order(&Order::Acquire(mode, Patience::Endless))
    }

    /// Asks for the lock.
    pub fn acquire_within(&self, mode: Mode, patience: Patience) -> &Self {
        self.order(&Order::Acquire(mode, patience))
    }

    /// Asks for the exclusive hold as well, with endless patience.
    pub fn upgrade(&self) -> &Self {
        self.order(&Order::Upgrade(Patience::Endless))
    }

    /// Gives up the wait.
    pub fn cancel(&self) -> &Self {
        self.order(&Order::Cancel)
    }

    /// Turns its exclusive hold into a shared one.
    #[track_caller]
    pub fn downgrade(&self) {
        self.order(&Order::Downgrade).expect_done();
    }

    /// Lets go of the lock.
    #[track_caller]
    pub fn release(&self) {
        self.scene.log.note(format!("{} lets go", self.name));
        self.order(&Order::Release).expect_done();
    }

    /// The labels of those that want its lock.
    #[track_caller]
    #[must_use]
    pub fn wanted_by(&self) -> Vec<String> {
        match self.order(&Order::WantedBy).next() {
            Report::Wanted(labels) => labels,
            other => self.unexpected("who wants it", &other),
        }
    }

    /// Starts a child of this process.
    #[track_caller]
    #[must_use]
    pub fn start_child(&self, name: &str, bond: Bond) -> Holder<'a> {
        self.order(&Order::Start(name.to_owned(), bond));
        self.scene.welcome(name)
    }

    /// Kills the process: no code of its own runs any more. It stays a zombie, as under a parent that does not look.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&self) {
        self.scene.log.note(format!("{} killed", self.name));
        kill(self.pid);
    }

    /// Waits until the process stands in the queue, and returns the ticket of the session that it waits for.
    #[track_caller]
    pub fn expect_waiting(&self) -> Option<u64> {
        match self.next() {
            Report::Waiting { on, .. } => on,
            other => self.unexpected("that it waits", &other),
        }
    }

    /// Waits until the process holds the lock. That it waited first is fine.
    #[track_caller]
    pub fn expect_granted(&self) -> Grant {
        loop {
            match self.next() {
                Report::Granted(grant) => return grant,
                Report::Waiting { .. } => {}
                other => self.unexpected("that it was granted", &other),
            }
        }
    }

    /// Waits until the process holds the lock, without having had to wait.
    #[track_caller]
    pub fn expect_granted_at_once(&self) -> Grant {
        match self.next() {
            Report::Granted(grant) => grant,
            other => self.unexpected("that it was granted at once", &other),
        }
    }

    /// Waits until the process was refused, and returns the error's kind and text. That it waited first is fine.
    #[track_caller]
    pub fn expect_refused(&self) -> (String, String) {
        loop {
            match self.next() {
                Report::Refused { kind, text } => return (kind, text),
                Report::Waiting { .. } => {}
                other => self.unexpected("that it was refused", &other),
            }
        }
    }

    #[track_caller]
    fn expect_done(&self) {
        match self.next() {
            Report::Done => {}
            other => self.unexpected("that it is done", &other),
        }
    }

    #[track_caller]
    fn next(&self) -> Report {
        self.scene
            .log
            .next(&self.name)
            .unwrap_or_else(|| panic!("`{}` says nothing\n{}", self.name, self.scene.describe()))
    }

    #[track_caller]
    fn unexpected(&self, wanted: &str, got: &Report) -> ! {
        panic!(
            "`{}` should say {wanted}, and says {got:?}\n{}",
            self.name,
            self.scene.describe()
        )
    }

    fn order(&self, order: &Order) -> &Self {
        let line = serde_json::to_string(order).expect("orders are plain data") + "\n";
        (&self.to_holder)
            .write_all(line.as_bytes())
            .unwrap_or_else(|e| panic!("`{}` does not listen: {e}", self.name));
        self
    }
}

impl Drop for Holder<'_> {
    /// Hangs up, which ends the process.
    fn drop(&mut self) {
        drop(self.to_holder.shutdown(Shutdown::Both));
    }
}

#[cfg(unix)]
fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is there to be killed");
    // Of our own children the kernel tells when they have ended; a grandchild is not ours to ask about.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::Pid(pid), ended).ok();
}

#[cfg(not(unix))]
fn kill(pid: u32) {
    let done = Command::new("taskkill")
        .args(["/F", "/PID"])
        .arg(pid.to_string())
        .status();
    assert!(
        done.expect("taskkill").success(),
        "process {pid} cannot be killed"
    );
}
