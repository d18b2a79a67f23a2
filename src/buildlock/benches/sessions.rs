//! What a session costs: `cargo bench -p buildlock`, or some of its tables:
//! `cargo bench -p buildlock --bench sessions -- free beside hand-over`.
//!
//! Prints tables, for one file system after the other: taking and leaving a free lock beside what the bare system calls
//! cost; handing it over to who waits, beside a bare `flock` and beside polling; both again with many sessions registered;
//! and the memory of a waiter. Waiters are processes of their own, and stay until the measurement is over.
//!
//! Run it on an idle machine: a hand-over is two processes in turn, and shows whatever else wants to run.

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["waiter", kind, folder] => waiter::run(kind, folder.as_ref()),
        _ => tables::print(&arguments),
    }
}

#[cfg(unix)]
mod waiter {
    //! The other side of a hand-over: a process that waits, notes when it was served, and serves the next.

    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::path::Path;
    use std::time::Duration;

    use buildlock::tokens::{Joining, TokenPool};
    use buildlock::{Mode, Registry, Request, Session};
    use rustix::fs::FlockOperation;

    /// A pool of one token, as `buildlock run --builds 1` has.
    pub(super) fn turns(folder: &Path) -> TokenPool {
        TokenPool::open(folder.join("turns"), 1).expect("a pool")
    }

    pub(super) fn now_ns() -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
    }

    pub(super) fn open(path: &Path) -> File {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .expect("a lock file")
    }

    pub(super) fn flock(file: &File, operation: FlockOperation) -> bool {
        rustix::fs::flock(file, operation).is_ok()
    }

    /// Says `ready`, waits in this way, and notes in `folder/served` when it was served and when it let go.
    pub(super) fn run(kind: &str, folder: &Path) {
        let served = File::options()
            .append(true)
            .create(true)
            .open(folder.join("served"));
        let mut served = served.expect("a place for notes");
        let registry = Registry::open(folder.join("session")).expect("a registry");
        let file = open(&folder.join("bare"));
        drop(io::stdout().write_all(b"ready\n"));
        let mut note = |granted: u64| {
            // What comes next must find the next waiter blocked in the kernel.
            std::thread::sleep(Duration::from_micros(500));
            writeln!(served, "{granted} {}", now_ns()).expect("a note");
        };
        match kind {
            "session" => {
                let session = Session::acquire(&registry, Request::new(Mode::Exclusive, "bench"));
                note(now_ns());
                drop(session);
            }
            "turn" => {
                let member = turns(folder).join(Joining::new("bench"));
                note(now_ns());
                drop(member);
            }
            "flock" => {
                flock(&file, FlockOperation::LockExclusive);
                note(now_ns());
                flock(&file, FlockOperation::Unlock);
            }
            "poll" => {
                while !flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    std::thread::sleep(Duration::from_millis(100));
                }
                note(now_ns());
                flock(&file, FlockOperation::Unlock);
            }
            _ => {}
        }
        // Until the measurement is over.
        drop(io::stdin().read(&mut [0]));
    }
}

#[cfg(unix)]
mod tables {
    use std::hint::black_box;
    use std::io::{self, BufRead, BufReader, Write};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use buildlock::tokens::Joining;
    use buildlock::{Ancestry, Mode, Registry, Request, Session};
    use rustix::fs::FlockOperation;

    use crate::waiter::{self, flock, now_ns};

    const ROUNDS: u32 = 2000;
    const HAND_OVERS: usize = 50;
    type Table = fn(&Path);
    const TABLES: [(&str, Table); 3] = [
        ("free", free_lock),
        ("beside", registered),
        ("hand-over", hand_over),
    ];

    /// Prints the tables of these names, or all if no name is given.
    pub(super) fn print(arguments: &[String]) {
        let names: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
        let wanted = |name: &str| names.is_empty() || names.iter().any(|n| *n == name);
        let temporary = std::env::temp_dir();
        for (name, parent) in [
            ("temporary files", temporary.as_path()),
            ("tmpfs", Path::new("/dev/shm")),
        ] {
            match tempfile::tempdir_in(parent) {
                Ok(folder) => {
                    say(&format!("\n## {name}, in {}\n", parent.display()));
                    for (_, table) in TABLES.iter().filter(|(name, _)| wanted(name)) {
                        table(folder.path());
                    }
                }
                Err(e) => say(&format!("no folder in {}: {e}", parent.display())),
            }
        }
    }

    fn say(line: &str) {
        drop(writeln!(io::stdout(), "{line}"));
    }

    fn row(what: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_nanos() as f64 / 1000.0;
        say(&format!(
            "| {what:<52} | {:>9.1} | {:>9.1} | {:>9.1} |",
            at(50),
            at(90),
            at(99)
        ));
    }

    fn head(what: &str) {
        say(&format!("| {what:<52} | p50 us    | p90 us    | p99 us    |"));
        say("| --- | --- | --- | --- |");
    }

    fn measure(rounds: u32, mut act: impl FnMut()) -> Vec<Duration> {
        for _ in 0..rounds / 10 {
            act();
        }
        (0..rounds).map(|_| timed(&mut act)).collect()
    }

    fn timed(mut act: impl FnMut()) -> Duration {
        let start = Instant::now();
        act();
        start.elapsed()
    }

    fn take_and_leave(registry: &Registry, mode: Mode) {
        let session = Session::acquire(registry, Request::new(mode, "bench")).expect("a free lock");
        session.release().expect("a clean end");
    }

    fn free_lock(folder: &Path) {
        head("a free lock, taken and left");
        let registry = Registry::open(folder.join("session")).expect("a registry");
        let mut acts: [(&str, &mut dyn FnMut()); 5] = [
            ("bare: open, flock, close", &mut || {
                let file = waiter::open(&folder.join("bare"));
                flock(&file, FlockOperation::LockExclusive);
            }),
            ("bare: create, flock, unlink, close", &mut || {
                let file = waiter::open(&folder.join("made"));
                flock(&file, FlockOperation::LockExclusive);
                drop(std::fs::remove_file(folder.join("made")));
            }),
            ("bare: the same, and another file written", &mut || {
                let file = waiter::open(&folder.join("made"));
                flock(&file, FlockOperation::LockExclusive);
                drop(std::fs::write(folder.join("written"), [b'x'; 300]));
                drop(std::fs::remove_file(folder.join("made")));
                drop(std::fs::remove_file(folder.join("written")));
            }),
            ("session, shared", &mut || take_and_leave(&registry, Mode::Shared)),
            ("session, exclusive", &mut || {
                take_and_leave(&registry, Mode::Exclusive);
            }),
        ];
        let mut times = acts.each_ref().map(|_| Vec::new());
        // In turn, because what a file system needs for a new file changes with what was removed just before.
        for _ in 0..ROUNDS {
            for ((_, act), times) in acts.iter_mut().zip(&mut times) {
                times.push(timed(act));
            }
        }
        for ((what, _), times) in acts.iter().zip(times) {
            row(what, times);
        }
        say("");
    }

    fn registered(folder: &Path) {
        head("beside readers that hold already");
        let registry = Registry::open(folder.join("session")).expect("a registry");
        let mut readers = Vec::new();
        for count in [1, 10, 100, 1000] {
            while readers.len() < count {
                readers.push(
                    Session::acquire(&registry, Request::new(Mode::Shared, "bench")).expect("a reader"),
                );
            }
            row(
                &format!("{count}: a shared session, taken and left"),
                measure(ROUNDS / 10, || take_and_leave(&registry, Mode::Shared)),
            );
            let times = measure(ROUNDS / 10, || {
                let busy = Session::try_acquire(&registry, Request::new(Mode::Exclusive, "bench"));
                assert!(busy.expect("a registry that works").is_none());
            });
            row(&format!("{count}: an exclusive one, refused at once"), times);
            let root = format!(
                "{}={}",
                registry.snapshot().expect("a snapshot").registry,
                readers[0].id()
            );
            let child = Ancestry::parse(&root);
            let times = measure(ROUNDS / 20, || {
                let nested = Request::new(Mode::Shared, "bench").ancestry(child.clone());
                drop(black_box(Session::acquire(&registry, nested)));
            });
            row(&format!("{count}: a nested shared one, taken and left"), times);
            let times = measure(ROUNDS / 20, || drop(black_box(registry.snapshot())));
            row(&format!("{count}: a snapshot"), times);
        }
        say("");
    }

    fn hand_over(folder: &Path) {
        head("handed over to the next of so many waiting processes");
        for (kind, count) in [
            ("flock", 1),
            ("flock", 100),
            ("poll", 1),
            ("session", 1),
            ("session", 10),
            ("session", 100),
            ("session", 1000),
            ("turn", 1),
            ("turn", 10),
            ("turn", 100),
        ] {
            let mut times = Vec::new();
            let mut memory = None;
            // Few waiters make few hand-overs: again, then.
            while times.len() < HAND_OVERS {
                let (more, kilobytes) = queue(folder, kind, count);
                times.extend(more);
                memory = kilobytes;
            }
            row(&format!("{kind}, {count} waiting"), times);
            if let Some(kilobytes) = memory {
                say(&format!(
                    "| {:<52} | {kilobytes} KiB |  |  |",
                    format!("{kind}, {count} waiting: memory of its own, each")
                ));
            }
        }
        say("");
    }

    /// Lets `count` processes wait, then lets go, and returns how long each hand-over took, and how much memory a waiter has.
    fn queue(folder: &Path, kind: &str, count: usize) -> (Vec<Duration>, Option<u64>) {
        let served = folder.join("served");
        drop(std::fs::remove_file(&served));
        let registry = Registry::open(folder.join("session")).expect("a registry");
        let session = (kind == "session").then(|| {
            Session::acquire(&registry, Request::new(Mode::Exclusive, "bench")).expect("a free lock")
        });
        let turn = (kind == "turn").then(|| {
            let member = waiter::turns(folder).join(Joining::new("bench"));
            member.expect("a free turn")
        });
        let bare = waiter::open(&folder.join("bare"));
        flock(&bare, FlockOperation::LockExclusive);
        let mut waiters: Vec<Child> = (0..count).map(|_| start(kind, folder)).collect();
        // All are registered, or have said that they are about to block, and had time to.
        let locks = || {
            let folder = folder.join(if turn.is_some() { "turns" } else { "session" });
            let files = std::fs::read_dir(folder).expect("the folder");
            files
                .flatten()
                .filter(|f| f.path().extension().is_some_and(|e| e == "lock"))
                .count()
        };
        while (session.is_some() || turn.is_some()) && locks() <= count {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Not always at the same point of a poller's nap.
        std::thread::sleep(Duration::from_millis(300 + now_ns() % 100));
        let memory = waiters.last().and_then(|w| private_kilobytes(w.id()));
        let mut released = now_ns();
        flock(&bare, FlockOperation::Unlock);
        drop((session, turn));
        let lines = loop {
            let text = std::fs::read_to_string(&served).unwrap_or_default();
            if text.lines().count() == count && text.ends_with('\n') {
                break text;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        for waiter in &mut waiters {
            drop(waiter.stdin.take());
        }
        for mut waiter in waiters {
            drop(waiter.wait());
        }
        let mut notes: Vec<(u64, u64)> = lines
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(granted, left)| Some((granted.parse().ok()?, left.parse().ok()?)))
            .collect();
        notes.sort_unstable();
        let mut times = Vec::new();
        for (granted, left) in notes {
            times.push(Duration::from_nanos(granted.saturating_sub(released)));
            released = left;
        }
        (times, memory)
    }

    fn start(kind: &str, folder: &Path) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["waiter", kind])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("a waiter");
        let ready = BufReader::new(child.stdout.take().expect("its output"))
            .lines()
            .next();
        assert!(ready.is_some(), "the waiter starts");
        child
    }

    /// The memory that a process shares with no other, where the system tells.
    fn private_kilobytes(pid: u32) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Some(field("Private_Dirty:")? + field("Private_Clean:")?)
    }
}
