//! Status: who is registered, who waits for whom, and since when.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::Result;
use crate::gate::RegistryId;
use crate::queue::{Claim, Decision, State, Ticket, blockers, decide};
use crate::record::{Record, Who};
use crate::registry::{Patience, Registry};
use crate::sys::{self, ProcessState};
use crate::wait::Cancel;

pub(crate) mod columns;
mod table;

/// A registry, seen at one moment. Its `Display` is a table.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name, as a number.
    pub registry: RegistryId,
    /// How many exclusive grants there have been.
    pub epoch: u64,
    /// The living sessions' claims, by ticket.
    pub entries: Vec<Entry>,
    /// The last mutator, if it did not finish: it died while it held the lock, or its session was broken.
    pub unfinished: Option<Record>,
}

/// A living session's claim.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its ticket.
    pub ticket: Ticket,
    /// Its record; nothing where it cannot be read, and then the others treat it as an exclusive hold.
    pub record: Option<Record>,
    /// Whom it waits for.
    pub waits_for: Option<Ticket>,
    /// How many are in its way.
    pub ahead: usize,
    /// Whether the process that registered is still there, as far as can be told from here. A session outlives its process
    /// while children that were lent its lock still run.
    pub process: Process,
    /// Where the process is gone: the processes that still hold its lock, as far as they can be seen from here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writers: Vec<Writer>,
    /// Where the process is stopped: its process group, all of which Ctrl-Z has stopped, if that has a number here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_group: Option<u32>,
}

/// A process that was lent a session's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Writer {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Process {
    /// It is there.
    Running,
    /// It is there, and stopped, as by Ctrl-Z: it keeps its place, and does nothing. Told on Linux only.
    Stopped,
    /// It is gone; its children keep the session alive.
    Gone,
    /// It cannot be told: it is on another host, or in another container.
    Unknown,
}

impl Registry {
    /// Looks at all living sessions.
    ///
    /// # Errors
    /// Where the registry cannot be used.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut gate = self.enter(&Patience {
            deadline: None,
            cancel: &Cancel::new(),
        })?;
        let living = gate.scan()?;
        let (registry, epoch) = (gate.gate.registry, gate.gate.epoch);
        let unfinished = self.folder().read_unfinished()?;
        drop(gate);
        let claims: Vec<Claim> = living.iter().map(|l| l.claim.clone()).collect();
        let entry = |living: crate::scan::Living| {
            let waits = living.claim.state == State::Waiting;
            let waits_for = match decide(&claims, &living.claim) {
                Decision::Wait(on) if waits => Some(on),
                _ => None,
            };
            let (process, stopped_group) = living
                .record
                .as_ref()
                .map_or((Process::Unknown, None), process_and_stopped_group);
            let writers = match process {
                Process::Gone => sys::processes_that_hold(&self.folder().lock_path(living.claim.ticket)),
                Process::Running | Process::Stopped | Process::Unknown => Vec::new(),
            };
            Entry {
                ticket: living.claim.ticket,
                waits_for,
                ahead: if waits {
                    blockers(&claims, &living.claim).len()
                } else {
                    0
                },
                process,
                writers: writers
                    .into_iter()
                    .map(|(pid, name)| Writer { pid, name })
                    .collect(),
                stopped_group,
                record: living.record,
            }
        };
        let entries = living.into_iter().map(entry).collect();
        Ok(Snapshot {
            folder: self.path().to_owned(),
            registry,
            epoch,
            entries,
            unfinished,
        })
    }
}

/// What became of the process that wrote a record.
pub(crate) fn process_of(record: &Record) -> Process {
    process_and_stopped_group(record).0
}

fn process_and_stopped_group(record: &Record) -> (Process, Option<u32>) {
    let me = Who::this_process();
    if record.who.host != me.host || record.who.pid_namespace != me.pid_namespace {
        return (Process::Unknown, None);
    }
    match sys::process_state(record.who.pid, record.who.pid_start) {
        Some(ProcessState::Running) => (Process::Running, None),
        Some(ProcessState::Stopped(group)) => (Process::Stopped, Some(group).filter(|&group| group != 0)),
        Some(ProcessState::Gone) => (Process::Gone, None),
        None => (Process::Unknown, None),
    }
}
