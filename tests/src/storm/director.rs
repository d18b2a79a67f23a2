//! The director: starts the processes of a storm, kills and stops them at random, and waits until the last has ended.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::actor::Part;
use super::chance::Chance;
use super::checker::{self, Findings};
use super::journal::{Journal, Note};
use super::processes::{Id, Next, Processes};
use crate::clock::now_ns;
use buildlock::{Registry, SESSION_VARIABLE};

/// How long the processes may take to end once the storm is over.
const STUCK: Duration = Duration::from_secs(120);

/// How a process of the storm ends that could not play its part.
pub const FAILED: i32 = 2;

/// How often the director does something.
const BEAT: Duration = Duration::from_millis(2);

/// What storm to make.
#[derive(Clone, Debug)]
pub struct Storm {
    /// Where chance starts.
    pub seed: u64,
    /// How many processes there are at any time, their children not counted.
    pub processes: usize,
    /// How long it lasts.
    pub time: Duration,
    /// The lock folder.
    pub folder: PathBuf,
    /// The folder for the journals, which must be there.
    pub journals: PathBuf,
    /// Whether the processes lock.
    pub locks: bool,
    /// Whether each process, with its children, has a pid namespace of its own.
    pub pid_namespaces: bool,
}

/// What came of a storm.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many processes the director started.
    pub started: usize,
    /// How many it killed. They kill themselves and their children, too.
    pub kills: usize,
    /// How many times it stopped one for a while.
    pub stops: usize,
    /// What the replay found.
    pub findings: Findings,
}

struct Troupe<'a> {
    storm: &'a Storm,
    chance: Chance,
    journal: Journal,
    ends_ns: u64,
    processes: Processes,
    actors: Vec<(Id, String)>,
    /// Who was stopped, and until when.
    stopped: Vec<(Id, u64)>,
    started: usize,
    kills: usize,
    stops: usize,
    failed: usize,
}

impl Storm {
    /// Makes the storm, and judges it.
    ///
    /// # Errors
    /// Where processes cannot be started or journals not be kept. What the lock does wrong is in the outcome.
    pub fn rage(&self) -> io::Result<Outcome> {
        let mut troupe = Troupe {
            storm: self,
            chance: Chance::new(self.seed),
            journal: Journal::start(&self.journals, "director")?,
            ends_ns: now_ns() + self.time.as_nanos() as u64,
            processes: Processes::new()?,
            actors: Vec::new(),
            stopped: Vec::new(),
            started: 0,
            kills: 0,
            stops: 0,
            failed: 0,
        };
        while now_ns() < troupe.ends_ns {
            troupe.beat()?;
            std::thread::sleep(BEAT);
        }
        let stuck = troupe.see_off()?;
        let (started, kills, stops, failed) = (troupe.started, troupe.kills, troupe.stops, troupe.failed);
        let mut findings = checker::check(&super::journal::read_all(&self.journals)?);
        findings.violations.extend(stuck);
        if failed > 0 {
            findings
                .violations
                .push(format!("{failed} processes failed: see what they said"));
        }
        findings.violations.extend(self.litter()?);
        Ok(Outcome {
            started,
            kills,
            stops,
            findings,
        })
    }

    /// What is wrong with the lock folder after the last process has ended.
    fn litter(&self) -> io::Result<Vec<String>> {
        let registry = Registry::open(&self.folder).map_err(io::Error::other)?;
        // Half of a new record is only seen for litter once the lock beside it was swept: hence a look before this one.
        registry.snapshot().map_err(io::Error::other)?;
        let snapshot = registry.snapshot().map_err(io::Error::other)?;
        let mut found: Vec<_> = snapshot
            .entries
            .iter()
            .map(|e| {
                format!(
                    "session {} is registered although all processes have ended",
                    e.ticket
                )
            })
            .collect();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if name != "gate" && name != "unfinished.json" {
                found.push(format!("{} stays behind", name.display()));
            }
        }
        Ok(found)
    }
}

impl Troupe<'_> {
    /// Replaces those that have ended, and does some harm.
    fn beat(&mut self) -> io::Result<()> {
        self.reap()?;
        while self.actors.len() < self.storm.processes {
            self.start()?;
        }
        let now = now_ns();
        self.stopped.retain(|&(id, until)| {
            let stays = until > now;
            if !stays {
                self.processes.go_on(id);
            }
            stays
        });
        let at = self.chance.below(self.actors.len() as u64) as usize;
        let (id, name) = self.actors[at].clone();
        match self.chance.below(100) {
            // An editor kills the whole group of its check, others just the process.
            0..8 => {
                self.journal.note(Note::Kills { actor: name })?;
                if self.chance.percent(50) {
                    self.processes.kill_group(id);
                } else {
                    self.processes.kill(id);
                }
                self.kills += 1;
            }
            8..20 if self.processes.stop(id) => {
                self.stopped
                    .push((id, now + self.chance.time(16).as_nanos() as u64));
                self.stops += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<()> {
        self.started += 1;
        let name = self.started.to_string();
        let part = Part {
            name: name.clone(),
            seed: self.chance.number(),
            folder: self.storm.folder.clone(),
            journals: self.storm.journals.clone(),
            ends_ns: self.ends_ns,
            rounds: u32::MAX,
            depth: 0,
            locks: self.storm.locks,
            works_for: None,
        };
        let mut command = part.command()?;
        if self.storm.pid_namespaces {
            let inner = command;
            command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child", "--"]);
            command.arg(inner.get_program()).args(inner.get_args());
        }
        let id = self.processes.start(command.env_remove(SESSION_VARIABLE))?;
        self.actors.push((id, name));
        Ok(())
    }

    /// Takes note of those that have ended. Returns whether any is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match self.processes.next_ended()? {
                Next::Ended(id, code) => {
                    self.failed += usize::from(code == Some(FAILED));
                    self.actors.retain(|(actor, _)| *actor != id);
                    self.stopped.retain(|(actor, _)| *actor != id);
                }
                Next::NoneYet => return Ok(true),
                Next::NoneLeft => return Ok(false),
            }
        }
    }

    /// Waits until all have ended by themselves. Returns what is wrong if they do not.
    fn see_off(&mut self) -> io::Result<Option<String>> {
        for (id, _) in self.stopped.drain(..) {
            self.processes.go_on(id);
        }
        let patience_ends = now_ns() + STUCK.as_nanos() as u64;
        while self.reap()? {
            if now_ns() > patience_ends {
                let snapshot = Registry::open(&self.storm.folder).and_then(|r| r.snapshot());
                self.end_all()?;
                return Ok(Some(format!("processes are stuck: {snapshot:#?}")));
            }
            std::thread::sleep(BEAT);
        }
        Ok(None)
    }

    /// Kills what is left: our children, and theirs, as they become ours.
    fn end_all(&mut self) -> io::Result<()> {
        while self.reap()? {
            self.processes.kill_children()?;
            std::thread::sleep(BEAT);
        }
        Ok(())
    }
}
