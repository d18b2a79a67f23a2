//! Watching the queue behind a session that steps aside.

use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::gate::RegistryId;
use crate::queue::{Mode, SessionId, State};
use crate::record::Record;
use crate::registry::{Patience, Registry};
use crate::scan::Living;
use crate::wait::Cancel;

/// Time stamps of files are no finer than this on any file system that we know of (two seconds on FAT).
const STAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// Notices when a mutator queues behind a session. Independent of it, so that another thread may watch.
#[derive(Debug)]
pub struct Watch {
    pub(super) registry: Registry,
    pub(super) registry_id: RegistryId,
    pub(super) session: SessionId,
    /// When the registry was last changed, at the last look.
    pub(super) seen: Option<SystemTime>,
}

impl Watch {
    /// Looks whether a mutator that is not nested in the session waits, for it or for others: the one that came first.
    ///
    /// One that would itself step aside does not count: two that step aside for each other would never come to an end.
    ///
    /// Cheap enough to be called many times a second: as long as nobody came, it is one `stat`.
    ///
    /// # Errors
    /// As [`Session::acquire`](crate::Session::acquire).
    pub fn wanted_by(&mut self) -> Result<Option<Record>> {
        let changed = self.registry.folder().gate_changed()?;
        if self.seen == Some(changed) {
            return Ok(None);
        }
        let mut gate = self.registry.enter_again(
            self.registry_id,
            &Patience {
                deadline: None,
                cancel: &Cancel::new(),
            },
        )?;
        let waits = |l: &Living| {
            l.claim.state == State::Waiting
                && l.claim.mode == Mode::Exclusive
                && l.claim.session != self.session
                && !l.claim.ancestors.contains(&self.session)
                && !l.record.as_ref().is_some_and(|r| r.preemptible)
        };
        let mutator = gate.scan()?.into_iter().find(waits).and_then(|l| l.record);
        // A stamp that is still fresh may be shared by a registration that came after this look: then look again.
        let stale = changed.elapsed().is_ok_and(|age| age > STAMP_RESOLUTION);
        self.seen = (mutator.is_none() && stale).then_some(changed);
        Ok(mutator)
    }
}
