//! A token pool of a test's own, the builds that meet there, and the record of how many jobs they ran at once.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use buildlock::tokens::{MemoryLimits, PoolSnapshot, TokenPool};
use tempfile::TempDir;

use crate::clock::now_ns;

/// After this long a test gives up. Nothing waits for it in a test that passes.
const STUCK: Duration = Duration::from_secs(60);

/// The programs of this crate, which a test must name: cargo tells their paths to tests only.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// That of `pooled`.
    pub pooled: &'static str,
    /// That of `jobs`.
    pub jobs: &'static str,
}

/// A pool, and the log of all jobs that ran in it.
#[derive(Debug)]
pub struct Site {
    home: TempDir,
    programs: Programs,
    capacity: u32,
}

/// A build that takes part, in a process group of its own. Dropping it kills the group; on Windows the build's job does that.
#[derive(Debug)]
pub struct Build {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// How a build's jobs behave.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many would run at once if there were tokens for all.
    pub workers: u32,
    /// How long each takes.
    pub length_ms: u32,
    /// How many there are in all; 0 for no end.
    pub count: u32,
}

impl Site {
    /// An empty pool.
    ///
    /// # Panics
    /// If there is no room for temporary files.
    #[must_use]
    pub fn new(programs: Programs, capacity: u32) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self {
            home,
            programs,
            capacity,
        }
    }

    /// A folder for what a test needs besides.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    fn pool_path(&self) -> PathBuf {
        self.home.path().join("pool")
    }

    /// The pool, in this process.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn pool(&self) -> TokenPool {
        TokenPool::open(self.pool_path(), self.capacity).expect("a pool")
    }

    /// Who takes part now.
    ///
    /// # Panics
    /// If that cannot be read.
    #[must_use]
    pub fn snapshot(&self) -> PoolSnapshot {
        self.pool().snapshot(&MemoryLimits::OFF).expect("a snapshot")
    }

    /// A command that runs another one in the pool.
    #[must_use]
    pub fn pooled(&self, options: &[&str]) -> Command {
        let mut command = Command::new(self.programs.pooled);
        command
            .arg(self.pool_path())
            .arg(self.capacity.to_string())
            .args(options)
            .arg("--");
        // A jobserver around the tests is not theirs.
        for variable in ["MAKEFLAGS", "CARGO_MAKEFLAGS", "MFLAGS"] {
            command.env_remove(variable);
        }
        command
    }

    /// The words of a command that runs jobs under `name`.
    #[must_use]
    pub fn jobs(&self, name: &str, load: Load) -> Vec<String> {
        let log = self.home.path().join("log").display().to_string();
        let numbers = [load.workers, load.length_ms, load.count].map(|n| n.to_string());
        [self.programs.jobs.to_owned(), log, name.to_owned()]
            .into_iter()
            .chain(numbers)
            .collect()
    }

    /// Starts a build of simulated jobs, and returns once it has its first token.
    #[track_caller]
    #[must_use]
    pub fn build(&self, name: &str, options: &[&str], load: Load) -> Build {
        let mut command = self.pooled(options);
        command.args(self.jobs(name, load));
        let mut build = Build::start(&mut command);
        build.expect("joined");
        build
    }

    /// What ran so far.
    ///
    /// # Panics
    /// If the log makes no sense.
    #[must_use]
    pub fn log(&self) -> JobLog {
        let mut steps = Vec::new();
        for entry in std::fs::read_dir(self.home.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_name().to_string_lossy().starts_with("log.") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                // The last line may be half written by a process that was killed.
                let whole = text.rfind('\n').map_or("", |end| &text[..end]);
                steps.extend(whole.lines().map(Step::parse));
            }
        }
        steps.sort_by_key(|s| (s.at_ns, s.change));
        JobLog { steps }
    }

    /// Waits until something is so, by looking again and again.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < STUCK,
                "{what} is still not so: {:#?}",
                self.snapshot()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until `count` more jobs have started under `name`.
    #[track_caller]
    pub fn until_started(&self, name: &str, count: usize) {
        let started = || self.log().starts_of(name);
        let before = started();
        self.until("more jobs run", || started() >= before + count);
    }
}

impl Build {
    /// Starts a command in a process group of its own.
    #[track_caller]
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let said = BufReader::new(child.stdout.take().expect("a piped stdout"));
        Self { child, said }
    }

    /// Waits for a line.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// The next line that the build says; empty at its end.
    ///
    /// # Panics
    /// If its pipe cannot be read.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Kills the whole process group, as an editor does, and returns when: a moment before the kernel did it.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn kill(mut self) -> u64 {
        let at = now_ns();
        self.kill_group();
        self.child.wait().expect("an end");
        at
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("an end")
    }

    /// What the build's own process, not those below it, has used of the processors.
    ///
    /// # Panics
    /// If the kernel does not say (proc(5), `schedstat`).
    #[must_use]
    pub fn own_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process");
        let of = |thread: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
        };
        threads.filter_map(of).sum()
    }

    /// Closes the stdin that the build was given, which ends those of its children that wait for it.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends a signal to the whole process group; that it is gone is fine.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _gone = rustix::process::kill_process_group(group, signal);
    }

    #[cfg(unix)]
    fn kill_group(&mut self) {
        self.signal(rustix::process::Signal::KILL);
    }

    #[cfg(windows)]
    fn kill_group(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_group();
            drop(self.child.wait());
        }
    }
}

/// When jobs started and ended.
pub struct JobLog {
    steps: Vec<Step>,
}

struct Step {
    at_ns: u64,
    name: String,
    change: i32,
}

impl Step {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("what is {line:?}?"));
        Self {
            at_ns: word().parse().expect("nanoseconds"),
            name: word().to_owned(),
            change: word().parse().expect("a step"),
        }
    }
}

impl fmt::Debug for JobLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} steps, at most {} at once",
            self.steps.len(),
            self.most_at_once()
        )
    }
}

impl JobLog {
    /// How many jobs ever ran at once.
    #[must_use]
    pub fn most_at_once(&self) -> i32 {
        self.levels(|_| true).map(|(_, level)| level).max().unwrap_or(0)
    }

    /// The same for the jobs of one name.
    #[must_use]
    pub fn most_at_once_of(&self, name: &str) -> i32 {
        self.levels(|s| s.name == name)
            .map(|(_, level)| level)
            .max()
            .unwrap_or(0)
    }

    /// How many jobs of this name ran at once on average, between two moments.
    #[must_use]
    pub fn mean(&self, name: &str, from_ns: u64, to_ns: u64) -> f64 {
        self.mean_where(|s| s.name == name, from_ns, to_ns)
    }

    fn mean_where(&self, of: impl Fn(&Step) -> bool, from_ns: u64, to_ns: u64) -> f64 {
        let (mut area, mut last, mut level) = (0.0, from_ns, 0);
        for (at, new) in self.levels(of) {
            let at = at.clamp(from_ns, to_ns);
            area += f64::from(level) * (at - last) as f64;
            (last, level) = (at, new);
        }
        area += f64::from(level) * (to_ns - last) as f64;
        area / (to_ns - from_ns) as f64
    }

    /// When, after a moment, that many jobs of this name first ran at once; in milliseconds from then.
    #[must_use]
    pub fn ms_until(&self, name: &str, level: i32, from_ns: u64) -> Option<f64> {
        let reached = |&(at, l): &(u64, i32)| at >= from_ns && l >= level;
        let at = self.levels(|s| s.name == name).find(reached)?.0;
        Some((at - from_ns) as f64 / 1e6)
    }

    /// How many jobs of this name have started.
    #[must_use]
    pub fn starts_of(&self, name: &str) -> usize {
        self.steps
            .iter()
            .filter(|s| s.name == name && s.change > 0)
            .count()
    }

    /// When the first job of this name started.
    #[must_use]
    pub fn first_ns(&self, name: &str) -> Option<u64> {
        self.steps.iter().find(|s| s.name == name).map(|s| s.at_ns)
    }

    /// When the last job of all started.
    #[must_use]
    pub fn last_start_ns(&self) -> Option<u64> {
        self.steps.iter().rev().find(|s| s.change > 0).map(|s| s.at_ns)
    }

    /// How many jobs ran at once on average, between two moments.
    #[must_use]
    pub fn mean_of_all(&self, from_ns: u64, to_ns: u64) -> f64 {
        self.mean_where(|_| true, from_ns, to_ns)
    }

    fn levels(&self, of: impl Fn(&Step) -> bool) -> impl Iterator<Item = (u64, i32)> {
        self.steps.iter().filter(move |s| of(s)).scan(0, |level, step| {
            *level += step.change;
            Some((step.at_ns, *level))
        })
    }
}
