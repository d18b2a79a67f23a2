//! The content of the gate file: the few numbers that every transition reads and writes while it holds the gate's lock.
//!
//! Text, of fixed length, so that a write in place never changes the file's size and never spans two pages:
//!
//! ```text
//! buildlock 1
//! registry 5d0c6f8b1a2e3f40
//! next 00000000000000000018
//! epoch 00000000000000000004
//! floor 00000000000000000017
//! granted 00000000000000000017
//! exclusive 00000000000000000017
//! ```

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::queue::{Claim, Mode, SessionId, State, Ticket, may_have_kin};

/// The protocol version that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// How long a gate file of this version is, in bytes.
const LENGTH: usize = 178;

/// The most that is read of a gate file, in bytes.
pub(crate) const SIZE_MAX: usize = 512;

/// A registry's random name. The same folder may have several paths (links, bind mounts, containers) but has one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegistryId(pub u64);

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The gate's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    /// The registry's random name.
    pub registry: RegistryId,
    /// The next ticket to hand out.
    pub next: Ticket,
    /// Counts the exclusive grants: two readers that see the same epoch saw the same tree.
    pub epoch: u64,
    /// No record with a lower ticket is alive. Raised by each exclusive grant to a stranger, which waited for all of them.
    pub floor: Ticket,
    /// The highest ticket ever granted: behind it, everybody waits.
    pub granted: Ticket,
    /// The highest ticket of a claim that asked for exclusivity: behind it, everybody reads.
    pub exclusive: Ticket,
}

/// What is wrong with a gate file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It was written by a newer version of the protocol.
    Newer(u32),
    /// It is not a gate's content at all.
    Garbage,
}

impl Gate {
    /// The gate of a new registry.
    #[must_use]
    pub fn new(registry: RegistryId) -> Self {
        Self {
            registry,
            next: Ticket(1),
            epoch: 0,
            floor: Ticket(1),
            granted: Ticket(0),
            exclusive: Ticket(0),
        }
    }

    /// Reads a gate's content.
    ///
    /// # Errors
    /// [`Malformed`], where `bytes` are not exactly what [`Gate`]'s `Display` writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Garbage)?;
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let version: u32 = field("buildlock")
            .and_then(|v| v.parse().ok())
            .ok_or(Malformed::Garbage)?;
        match version.cmp(&PROTOCOL_VERSION) {
            Ordering::Greater => return Err(Malformed::Newer(version)),
            Ordering::Equal => {}
            Ordering::Less => return Err(Malformed::Garbage),
        }
        let mut digits = |name, count, radix| {
            let value = field(name).filter(|v| {
                v.len() == count
                    && v.bytes()
                        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            });
            value
                .and_then(|v| u64::from_str_radix(v, radix).ok())
                .ok_or(Malformed::Garbage)
        };
        let registry = RegistryId(digits("registry", 16, 16)?);
        let mut number = |name| digits(name, 20, 10);
        let gate = Self {
            registry,
            next: Ticket(number("next")?),
            epoch: number("epoch")?,
            floor: Ticket(number("floor")?),
            granted: Ticket(number("granted")?),
            exclusive: Ticket(number("exclusive")?),
        };
        // Also refuses other line ends, and numbers that no sequence of transitions leaves.
        let sound = bytes.len() == LENGTH
            && bytes.ends_with(b"\n")
            && gate.floor <= gate.next
            && gate.granted < gate.next
            && gate.exclusive < gate.next
            && gate.next.is_possible()
            && gate.epoch < gate.next.0;
        if sound { Ok(gate) } else { Err(Malformed::Garbage) }
    }

    /// The gate after a ticket was handed out to a claim of this mode.
    #[must_use]
    pub fn with_ticket_taken(self, mode: Mode) -> Self {
        Self {
            next: Ticket(self.next.0 + 1),
            exclusive: match mode {
                Mode::Exclusive => self.next,
                Mode::Shared => self.exclusive,
            },
            ..self
        }
    }

    /// The gate after `claim` was granted.
    #[must_use]
    pub fn with_grant(self, claim: &Claim) -> Self {
        debug_assert_eq!(claim.state, State::Granted, "only grants move the marks");
        let exclusive = claim.mode == Mode::Exclusive;
        Self {
            epoch: self.epoch + u64::from(exclusive),
            floor: if exclusive && !may_have_kin(claim) {
                self.floor.max(claim.ticket)
            } else {
                self.floor
            },
            granted: self.granted.max(claim.ticket),
            ..self
        }
    }

    /// Whether a record with this ticket can stand in the way of `me`, a stranger's claim that waits: it is not below the
    /// floor, and either ahead of it or among those that were granted; and not one of a reader where `me` is one, too.
    #[must_use]
    pub fn may_block(&self, ticket: Ticket, me: &Claim) -> bool {
        ticket >= self.floor
            && (ticket < me.ticket || (ticket > me.ticket && ticket <= self.granted))
            && (me.mode == Mode::Exclusive || ticket <= self.exclusive)
    }

    /// The name under which the session that takes the next ticket will be known.
    #[must_use]
    pub fn next_session(&self) -> SessionId {
        SessionId(self.next.0)
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "buildlock {PROTOCOL_VERSION}")?;
        writeln!(f, "registry {}", self.registry)?;
        writeln!(f, "next {:020}", self.next.0)?;
        writeln!(f, "epoch {:020}", self.epoch)?;
        writeln!(f, "floor {:020}", self.floor.0)?;
        writeln!(f, "granted {:020}", self.granted.0)?;
        writeln!(f, "exclusive {:020}", self.exclusive.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate {
            next: Ticket(18),
            epoch: 4,
            floor: Ticket(17),
            granted: Ticket(17),
            exclusive: Ticket(17),
            ..Gate::new(RegistryId(0xfeed))
        }
    }

    #[test]
    fn content_survives_a_round_trip() {
        for gate in [gate(), Gate::new(RegistryId(u64::MAX))] {
            assert_eq!(Gate::parse(gate.to_string().as_bytes()), Ok(gate));
        }
    }

    #[test]
    fn the_length_never_changes() {
        let wide = Gate {
            next: Ticket(u64::MAX),
            epoch: u64::MAX,
            ..gate()
        };
        for gate in [wide, Gate::new(RegistryId(0))] {
            assert_eq!(gate.to_string().len(), LENGTH);
        }
        const { assert!(LENGTH <= SIZE_MAX) };
    }

    #[test]
    fn a_newer_version_is_told_from_garbage() {
        assert_eq!(Gate::parse(b"buildlock 2\nwho knows\n"), Err(Malformed::Newer(2)));
        let text = gate().to_string();
        for bad in [
            &text[..text.len() - 1],
            &text[1..],
            "",
            "buildlock x\n",
            &text.replacen('1', "0", 1),
            &format!("{text}\n"),
            &text.replacen('\n', "\r\n", 1),
            &text.replacen('\n', "\r\n", 1)[..text.len()],
            &text.replace("feed", "FEED"),
            &text.replace("next 0", "next +"),
            &text.replace("epoch 0", "epoch "),
            &text.replace("epoch 0", "epoch 00"),
        ] {
            assert_eq!(Gate::parse(bad.as_bytes()), Err(Malformed::Garbage), "{bad:?}");
        }
        assert_eq!(Gate::parse(&[0xff; 40]), Err(Malformed::Garbage));
    }

    #[test]
    fn numbers_that_cannot_be_are_garbage() {
        for bad in [
            Gate {
                floor: Ticket(19),
                ..gate()
            },
            Gate {
                granted: Ticket(18),
                ..gate()
            },
            Gate {
                exclusive: Ticket(18),
                ..gate()
            },
            Gate { epoch: 18, ..gate() },
            Gate {
                next: Ticket(1 << 63),
                ..gate()
            },
        ] {
            assert_eq!(Gate::parse(bad.to_string().as_bytes()), Err(Malformed::Garbage));
        }
    }

    fn claim(ticket: u64, mode: Mode) -> Claim {
        Claim {
            ticket: Ticket(ticket),
            session: SessionId(ticket),
            ancestors: vec![],
            mode,
            state: State::Granted,
        }
    }

    #[test]
    fn a_ticket_is_taken_by_counting_on() {
        let before = gate();
        assert_eq!(before.next_session(), SessionId(18));
        let after = Gate {
            next: Ticket(19),
            ..before
        };
        assert_eq!(before.with_ticket_taken(Mode::Shared), after);
        let exclusive = Ticket(18);
        assert_eq!(
            before.with_ticket_taken(Mode::Exclusive),
            Gate { exclusive, ..after }
        );
    }

    #[test]
    fn a_grant_moves_the_mark_of_the_highest_and_only_an_exclusive_one_the_epoch() {
        let after = gate().with_grant(&claim(20, Mode::Shared));
        assert_eq!((after.granted, after.epoch), (Ticket(20), 4));
        let after = gate().with_grant(&claim(20, Mode::Exclusive));
        assert_eq!((after.granted, after.epoch), (Ticket(20), 5));
        let after = gate().with_grant(&claim(3, Mode::Shared));
        assert_eq!((after.granted, after.epoch), (Ticket(17), 4));
    }

    #[test]
    fn a_stranger_may_be_blocked_from_the_floor_up_by_those_ahead_and_those_granted_behind_and_a_reader_by_no_reader()
     {
        let gate = Gate {
            next: Ticket(9),
            floor: Ticket(3),
            granted: Ticket(7),
            exclusive: Ticket(6),
            ..gate()
        };
        let blocking = |mode| {
            let me = claim(5, mode);
            let tickets = (0..10).filter(|&t| gate.may_block(Ticket(t), &me));
            tickets.collect::<Vec<_>>()
        };
        assert_eq!(blocking(Mode::Exclusive), [3, 4, 6, 7]);
        assert_eq!(blocking(Mode::Shared), [3, 4, 6]);
    }

    #[test]
    fn only_an_exclusive_grant_to_a_stranger_raises_the_floor() {
        let stranger = claim(20, Mode::Exclusive);
        assert_eq!(gate().with_grant(&stranger).floor, Ticket(20));
        let nested = Claim {
            ancestors: vec![SessionId(1)],
            ..stranger
        };
        assert_eq!(gate().with_grant(&nested).floor, Ticket(17));
        let upgrade = Claim {
            session: SessionId(18),
            ..stranger
        };
        assert_eq!(gate().with_grant(&upgrade).floor, Ticket(17));
        assert_eq!(gate().with_grant(&claim(20, Mode::Shared)).floor, Ticket(17));
    }
}
