//! The registry's folder, in memory: what each write of [`buildlock::protocol`] does to it, and the kernel's locks.

use std::collections::BTreeMap;
use std::sync::Arc;

use buildlock::gate::{Gate, RegistryId};
use buildlock::protocol::Write;
use buildlock::queue::{Claim, Mode, State, Ticket};
use buildlock::{Record, Who};

use crate::numbers::Numbers;

/// The folder's files and locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Files {
    pub gate: Gate,
    /// The member that holds the gate's lock.
    pub gate_holder: Option<usize>,
    /// The lock files that are there.
    pub names: Numbers,
    /// The lock files that somebody keeps locked, whether they still have a name or not.
    pub locked: Numbers,
    /// The record files. Of a record, only what the rule looks at.
    pub records: BTreeMap<Ticket, Arc<Claim>>,
    /// New record files that were not renamed yet.
    pub staged: Numbers,
    pub unfinished: Option<Arc<Claim>>,
}

/// One call of the operating system: as [`Write`], but for those that are two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Gate(Gate),
    CreateLock(Ticket),
    TakeLock(Ticket),
    CreateRecord(Arc<Claim>),
    TearRecord(Ticket),
    RewriteRecord(Arc<Claim>),
    StageRecord(Ticket),
    RenameRecord(Arc<Claim>),
    KeepUnfinished(Ticket),
    ForgetUnfinished,
    RemoveLock(Ticket),
    RemoveRecord(Ticket),
    Unlock(Ticket),
}

impl Call {
    /// The calls that make a list of writes, in order.
    pub(crate) fn sequence(writes: Vec<Write>) -> Vec<Self> {
        let calls = |write| match write {
            Write::Gate(gate) => vec![Self::Gate(gate)],
            Write::CreateLock(ticket) => vec![Self::CreateLock(ticket), Self::TakeLock(ticket)],
            Write::CreateRecord(record) => vec![Self::CreateRecord(Arc::new(record.claim))],
            Write::RewriteRecord(record) => vec![
                Self::TearRecord(record.claim.ticket),
                Self::RewriteRecord(Arc::new(record.claim)),
            ],
            Write::ReplaceRecord(record) => vec![
                Self::StageRecord(record.claim.ticket),
                Self::RenameRecord(Arc::new(record.claim)),
            ],
            Write::KeepUnfinished(ticket) => vec![Self::KeepUnfinished(ticket)],
            Write::ForgetUnfinished => vec![Self::ForgetUnfinished],
            Write::RemoveLock(ticket) => vec![Self::RemoveLock(ticket)],
            Write::RemoveRecord(ticket) => vec![Self::RemoveRecord(ticket)],
            Write::Unlock(ticket) => vec![Self::Unlock(ticket)],
        };
        writes.into_iter().flat_map(calls).collect()
    }
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            gate: Gate::new(RegistryId(0)),
            gate_holder: None,
            names: Numbers::default(),
            locked: Numbers::default(),
            records: BTreeMap::new(),
            staged: Numbers::default(),
            unfinished: None,
        }
    }

    /// Makes a call.
    pub(crate) fn make(&mut self, call: &Call) {
        match call {
            Call::Gate(gate) => self.gate = *gate,
            Call::CreateLock(ticket) => self.names.add(*ticket),
            Call::TakeLock(ticket) => self.locked.add(*ticket),
            Call::CreateRecord(claim) | Call::RewriteRecord(claim) => {
                self.records.insert(claim.ticket, Arc::clone(claim));
            }
            // Half written it makes no sense, to whoever reads it.
            Call::TearRecord(ticket) => drop(self.records.remove(ticket)),
            Call::StageRecord(ticket) => self.staged.add(*ticket),
            Call::RenameRecord(claim) => {
                self.staged.remove(claim.ticket);
                self.records.insert(claim.ticket, Arc::clone(claim));
            }
            // Renaming over it and removing it are fine, too, where the record is missing.
            Call::KeepUnfinished(ticket) => {
                if let Some(claim) = self.records.remove(ticket) {
                    self.unfinished = Some(claim);
                }
            }
            Call::ForgetUnfinished => self.unfinished = None,
            Call::RemoveLock(ticket) => self.names.remove(*ticket),
            Call::RemoveRecord(ticket) => drop(self.records.remove(ticket)),
            Call::Unlock(ticket) => self.locked.remove(*ticket),
        }
    }

    /// Removes what is left of tickets that are not registered, as a listing of the folder does.
    pub(crate) fn remove_leftovers(&mut self) {
        let names = self.names;
        self.records.retain(|&ticket, _| names.has(ticket));
        for ticket in self.staged.without(names).tickets() {
            self.staged.remove(ticket);
        }
    }

    /// Whether a session is registered and alive.
    pub(crate) fn is_alive(&self, ticket: Ticket) -> bool {
        self.names.has(ticket) && self.locked.has(ticket)
    }

    /// The records of living sessions.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Arc<Claim>> {
        self.records.values().filter(|c| self.is_alive(c.ticket))
    }

    /// Whether the record says that its owner may change things, and the owner did not let go of it yet.
    pub(crate) fn is_mutating(&self, ticket: Ticket) -> bool {
        self.names.has(ticket)
            && self
                .records
                .get(&ticket)
                .is_some_and(|c| c.mode == Mode::Exclusive && c.state == State::Granted)
    }
}

/// A record around a claim.
pub(crate) fn record(claim: Claim) -> Record {
    Record {
        claim,
        who: Who {
            pid: 0,
            pid_start: None,
            pid_namespace: None,
            host: String::new(),
            user: String::new(),
            command: Vec::new(),
            directory: std::path::PathBuf::new(),
        },
        label: String::new(),
        asked_unix_ms: 0,
        granted_unix_ms: None,
        preemptible: false,
        uses: Vec::new(),
        lease: None,
    }
}
