//! Ancestry: under which sessions a process was started, as its environment says.
//!
//! `BUILDLOCK_SESSION` names, for every registry in which the tree holds something, the sessions from the root down:
//! `5d0c6f8b1a2e3f40=5,9;00c0ffee00c0ffee=3`. An environment outlives the sessions that it names, so a name counts only
//! while a living, granted record bears it (see [`crate::queue`]); whatever else stands there is ignored.

use std::fmt;
use std::process::Command;

use crate::gate::RegistryId;
use crate::queue::SessionId;
use crate::record::ANCESTORS_MAX;

/// The environment variable that names the sessions under which a process was started.
pub const SESSION_VARIABLE: &str = "BUILDLOCK_SESSION";

/// The most registries that are remembered; of more, the last named are dropped.
const REGISTRIES_MAX: usize = 16;

/// Under which sessions a process was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestry(Vec<(RegistryId, Vec<SessionId>)>);

impl Ancestry {
    /// That of the calling process.
    #[must_use]
    pub fn from_environment() -> Self {
        std::env::var(SESSION_VARIABLE).map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// That which a command was given, if it was given one.
    #[must_use]
    pub(crate) fn given_to(command: &Command) -> Option<Self> {
        let given = command.get_envs().find(|(name, _)| *name == SESSION_VARIABLE)?;
        Some(Self::parse(given.1?.to_str()?))
    }

    /// Reads what [`Ancestry`]'s `Display` writes. What makes no sense is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let tree = |part: &str| {
            let (registry, sessions) = part.split_once('=')?;
            let registry = RegistryId(u64::from_str_radix(registry, 16).ok()?);
            let sessions: Option<Vec<_>> = sessions
                .split(',')
                .map(|s| s.parse().ok().map(SessionId))
                .collect();
            let mut sessions = sessions?;
            // The nearest matter most: they are the ones that still live when a tree dies from the root.
            sessions.drain(..sessions.len().saturating_sub(ANCESTORS_MAX));
            Some((registry, sessions))
        };
        Self(text.split(';').filter_map(tree).take(REGISTRIES_MAX).collect())
    }

    /// The sessions named for one registry, the nearest last.
    #[must_use]
    pub fn sessions(&self, registry: RegistryId) -> &[SessionId] {
        self.0
            .iter()
            .find(|(id, _)| *id == registry)
            .map_or(&[], |(_, sessions)| sessions)
    }

    /// The ancestry of a child of `session`.
    #[must_use]
    pub fn with(&self, registry: RegistryId, session: SessionId) -> Self {
        let mut trees = self.clone();
        match trees.0.iter_mut().find(|(id, _)| *id == registry) {
            Some((_, sessions)) if sessions.last() == Some(&session) => {}
            Some((_, sessions)) => {
                if sessions.len() == ANCESTORS_MAX {
                    sessions.remove(0);
                }
                sessions.push(session);
            }
            None => {
                trees.0.insert(0, (registry, vec![session]));
                trees.0.truncate(REGISTRIES_MAX);
            }
        }
        trees
    }

    /// Puts the ancestry into a command's environment.
    pub fn give_to(&self, command: &mut Command) {
        if self.0.is_empty() {
            command.env_remove(SESSION_VARIABLE);
        } else {
            command.env(SESSION_VARIABLE, self.to_string());
        }
    }
}

impl fmt::Display for Ancestry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (registry, sessions)) in self.0.iter().enumerate() {
            write!(f, "{}{registry}=", if i == 0 { "" } else { ";" })?;
            for (i, session) in sessions.iter().enumerate() {
                write!(f, "{}{session}", if i == 0 { "" } else { "," })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RegistryId = RegistryId(0xa);
    const B: RegistryId = RegistryId(0xb);

    fn ids(numbers: &[u64]) -> Vec<SessionId> {
        numbers.iter().copied().map(SessionId).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let tree = Ancestry::default()
            .with(A, SessionId(5))
            .with(B, SessionId(3))
            .with(A, SessionId(9));
        assert_eq!(tree.sessions(A), ids(&[5, 9]));
        assert_eq!(tree.sessions(B), ids(&[3]));
        assert_eq!(Ancestry::parse(&tree.to_string()), tree);
    }

    #[test]
    fn nonsense_is_left_out() {
        for text in [
            "",
            ";",
            "=",
            "a",
            "a=",
            "a=x",
            "g=1",
            "a=1,,2",
            "a=99999999999999999999999",
        ] {
            assert_eq!(Ancestry::parse(text), Ancestry::default(), "{text:?}");
        }
        assert_eq!(Ancestry::parse("zz;a=1;b=").sessions(A), ids(&[1]));
    }

    #[test]
    fn a_deep_tree_keeps_its_nearest_sessions() {
        let mut tree = Ancestry::default();
        for n in 0..1000 {
            tree = tree.with(A, SessionId(n));
        }
        assert_eq!(tree.sessions(A).len(), ANCESTORS_MAX);
        assert_eq!(tree.sessions(A).last(), Some(&SessionId(999)));
        assert_eq!(Ancestry::parse(&tree.to_string()), tree);
    }
}
