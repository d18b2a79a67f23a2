//! Messages of cargo's that were handed on already. A command that steps aside and starts over hears the same diagnostics
//! again, and whoever reads them should not.
//!
//! What was handed on cannot be taken back: where the command that writes was `fix` or `fmt`, what it put right stays shown until
//! the editor's next check.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// The lines that were handed on.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<HashSet<u64>>);

impl Repeats {
    /// Whether a line is whole, and was not handed on before. From now on it was.
    ///
    /// A line without its end is what cargo was killed at; it comes again, whole.
    pub fn is_new(&self, line: &[u8]) -> bool {
        let mut hash = DefaultHasher::new();
        line.hash(&mut hash);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.ends_with(b"\n") && seen.insert(hash.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_new_once_and_only_when_it_is_whole() {
        let repeats = Repeats::default();
        assert!(!repeats.is_new(b"{\"reason\":"));
        assert!(repeats.is_new(b"{\"reason\":\"x\"}\n"));
        assert!(!repeats.is_new(b"{\"reason\":\"x\"}\n"));
        assert!(repeats.is_new(b"{\"reason\":\"y\"}\n"));
    }
}
