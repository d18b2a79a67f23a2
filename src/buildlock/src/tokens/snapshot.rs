//! A look at a pool, for `status`.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::Result;
use crate::queue::Ticket;
use crate::record::{Lease, Record};
use crate::tokens::ledger;
use crate::tokens::memory::{MemoryLimits, MemoryReading};
use crate::tokens::pool::TokenPool;
use crate::tokens::seat::Ledger;

mod table;

/// A pool, seen at one moment. Its `Display` is a table.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Its folder.
    pub folder: PathBuf,
    /// The capacity in force, or what this process would choose where nobody takes part.
    pub capacity: u32,
    /// The tokens that nobody holds.
    pub free: u32,
    /// Those that take part, in the order in which they came.
    pub entries: Vec<PoolEntry>,
    /// How the machine's memory stands.
    pub memory: MemoryReading,
    /// Why no further token is leased just now, if the limits are those that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A build that takes part in a pool.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PoolEntry {
    /// Its place in the order of those that joined.
    pub ticket: Ticket,
    /// Who it is; nothing where its record cannot be read.
    pub record: Option<Record>,
    /// What it holds and wants.
    pub lease: Lease,
    /// What it is entitled to now.
    pub fair_share: u32,
}

impl TokenPool {
    /// Looks at all that take part, and at the memory with these limits in mind.
    ///
    /// # Errors
    /// Where the pool cannot be used.
    pub fn snapshot(&self, limits: &MemoryLimits) -> Result<PoolSnapshot> {
        let living = self.living()?;
        let ledger = Ledger::of(&living, self.capacity());
        let shares = ledger::fair_shares(ledger.capacity, &ledger.entries);
        let memory = MemoryReading::now();
        let entries = living.into_iter().zip(&ledger.entries).zip(shares);
        Ok(PoolSnapshot {
            folder: self.path().to_owned(),
            capacity: ledger.capacity,
            free: ledger::free(ledger.capacity, &ledger.entries),
            refused: limits.refuse(&memory),
            memory,
            entries: entries
                .map(|((living, entry), fair_share)| PoolEntry {
                    ticket: entry.ticket,
                    record: living.record,
                    lease: entry.lease,
                    fair_share,
                })
                .collect(),
        })
    }
}
