//! What must be true of any bytes at all. Shared by the fuzz targets and by `tests/fuzz_replay.rs`.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each fuzz target is a program of its own, and uses one of these"
)]

use std::fs;
use std::time::Duration;

use buildlock::gate::Gate;
use buildlock::queue::{Decision, decide};
use buildlock::{Ancestry, Mode, Record, Registry, Request, Session, Ticket, Timeout};

/// The highest ticket of any registry. One that has handed it out is at its end.
const TICKET_MAX: Ticket = Ticket(u64::MAX / 2);

/// A gate that is accepted is exactly what would be written for it, and can be counted on.
pub(crate) fn gate(bytes: &[u8]) {
    let Ok(gate) = Gate::parse(bytes) else { return };
    assert_eq!(gate.to_string().as_bytes(), bytes);
    let next = gate.with_ticket_taken(Mode::Exclusive);
    assert!(next.next > gate.next && next.next > gate.granted);
    assert!(gate.next == TICKET_MAX || Gate::parse(next.to_string().as_bytes()) == Ok(next));
}

/// A record that is accepted is bounded, survives being written, and can be decided on and shown.
pub(crate) fn record(bytes: &[u8]) {
    let Some(record) = Record::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= 64 * 1024 && record.claim.ancestors.len() <= 64);
    let written = serde_json::to_vec(&record).expect("a record can be written");
    assert_eq!(Record::parse(&written), Some(record.clone()));
    let mut other = record.claim.clone();
    other.ticket = Ticket(other.ticket.0.wrapping_add(1));
    let claims = [record.claim.clone(), other.clone()];
    for me in [&record.claim, &other] {
        assert_ne!(
            decide(&claims, me),
            Decision::Wait(me.ticket),
            "nobody waits for themselves"
        );
    }
    assert!(!record.command_line().is_empty());
    assert!(record.age() <= Duration::from_millis(u64::MAX));
}

/// An environment of any text names a bounded number of sessions, and what is written of it is read back.
pub(crate) fn environment(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let ancestry = Ancestry::parse(&text);
    let written = ancestry.to_string();
    assert_eq!(Ancestry::parse(&written), ancestry);
    assert!(written.split(';').count() <= 16);
    for tree in written.split(';') {
        assert!(tree.split(',').count() <= 64, "{tree}");
    }
}

/// Sessions in a folder full of anything: each call ends, errors say something, and no two hold what excludes each other.
///
/// The bytes are first the files that lie there, then what the sessions do.
pub(crate) fn folder(bytes: &[u8]) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join("session");
    let registry = Registry::open(&folder).expect("a new folder");
    let mut bytes = Bytes(bytes);
    for _ in 0..bytes.next() % 6 {
        let name = match bytes.next() % 8 {
            0 | 1 => "gate".to_owned(),
            2 => "unfinished.json".to_owned(),
            n => format!(
                "{}.{}",
                1 + bytes.next() % 4,
                ["lock", "json", "new", "json", "lock"][n as usize - 3]
            ),
        };
        let length = bytes.next() as usize * 2;
        fs::write(folder.join(name), bytes.take(length)).expect("a file in a new folder");
    }
    let mut held: Vec<Session> = Vec::new();
    for _ in 0..64 {
        if bytes.0.is_empty() {
            break;
        }
        act(&registry, &mut held, &mut bytes);
        let modes: Vec<_> = held.iter().map(Session::mode).collect();
        assert!(modes.len() < 2 || !modes.contains(&Mode::Exclusive), "{modes:?}");
    }
    drop(held);
    // Whatever lay there, either the registry works and leaves nothing, or it says what is wrong.
    // Half of a new record is only seen for litter once the lock beside it was swept: hence twice.
    let ended = [(), ()]
        .map(|()| sense(Session::acquire(&registry, request(Mode::Exclusive)).and_then(Session::release)));
    if ended == [Some(()); 2] {
        let left = fs::read_dir(&folder).expect("the folder").flatten();
        // The mark of a mutator that did not finish stays until one that was told of it comes to a clean end.
        let stays = |name: &std::ffi::OsString| name == "gate" || name == "unfinished.json";
        let left: Vec<_> = left.map(|e| e.file_name()).filter(|name| !stays(name)).collect();
        assert!(left.is_empty(), "{left:?} stay behind");
    }
}

fn act(registry: &Registry, held: &mut Vec<Session>, bytes: &mut Bytes<'_>) {
    let which = bytes.next() as usize;
    let one = held.len().checked_sub(1).map(|last| which % (last + 1));
    match (bytes.next() % 8, one) {
        (0 | 1, _) => held.extend(sense(Session::acquire(registry, request(Mode::Shared)))),
        (2, _) => held.extend(sense(Session::acquire(registry, request(Mode::Exclusive)))),
        (3, Some(one)) => {
            sense(held[one].upgrade(request(Mode::Exclusive)));
        }
        (4, Some(one)) => {
            sense(held[one].downgrade());
        }
        (5, Some(one)) => {
            sense(held.remove(one).release());
        }
        (6, _) => {
            // Not one that is alive: what is broken goes on, as documented, and may then be beside another.
            let ticket = Ticket(which as u64);
            if held.iter().all(|s| s.ticket() != ticket && s.id().0 != ticket.0) {
                sense(registry.break_session(ticket));
            }
        }
        _ => {
            sense(registry.snapshot());
        }
    }
}

fn request(mode: Mode) -> Request<'static> {
    Request::new(mode, "fuzz")
        .timeout(Timeout::AtOnce)
        .ancestry(Ancestry::default())
}

/// What came of it; an error must say what was being done.
fn sense<T>(outcome: buildlock::Result<T>) -> Option<T> {
    outcome
        .map_err(|e| assert!(e.to_string().len() > 10, "{e:?}"))
        .ok()
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(length.min(self.0.len()));
        self.0 = left;
        taken
    }
}
