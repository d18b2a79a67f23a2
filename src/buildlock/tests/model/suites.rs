//! Which casts are searched, and how closely.

use crate::cast::Cast;
use crate::search::Search;
use crate::steps::Grain;

/// A named search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub name: &'static str,
    pub grain: Grain,
    pub kills: u8,
    pub give_ups: u8,
    casts: fn() -> Vec<String>,
}

impl Suite {
    pub(crate) fn search(self) -> Search {
        Search {
            casts: (self.casts)().iter().map(|notation| Cast::parse(notation)).collect(),
            grain: self.grain,
            kills: self.kills,
            give_ups: self.give_ups,
            fault: None,
        }
    }
}
