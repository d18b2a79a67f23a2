//! What is read, and what is not. The search over everything that others may do in between is in `tests/model`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::gate::RegistryId;
use crate::record::tests::sample;

/// A registry in memory that notes what is asked of it.
#[derive(Default)]
struct Table {
    sessions: BTreeMap<u64, (Liveness, Option<Record>)>,
    /// What a session becomes once its record was read.
    then: BTreeMap<u64, Liveness>,
    listed: usize,
    probed: Vec<u64>,
    swept: Vec<Write>,
}

impl Table {
    fn with(mut self, ticket: u64, mode: Mode, state: State) -> Self {
        let mut record = sample(ticket);
        (record.claim.mode, record.claim.state) = (mode, state);
        self.sessions.insert(ticket, (Liveness::Alive, Some(record)));
        self
    }

    fn unreadable(mut self, ticket: u64, then: Liveness) -> Self {
        self.sessions.insert(ticket, (Liveness::Alive, None));
        self.then.insert(ticket, then);
        self
    }

    fn dead(mut self, ticket: u64) -> Self {
        self = self.with(ticket, Mode::Exclusive, State::Granted);
        self.sessions.get_mut(&ticket).unwrap().0 = Liveness::Dead;
        self
    }
}

impl View for Table {
    type Error = Infallible;
    type Lock = ();

    fn registered(&mut self) -> Result<Vec<Ticket>, Infallible> {
        self.listed += 1;
        Ok(self.sessions.keys().copied().map(Ticket).collect())
    }

    fn open_lock(&mut self, ticket: Ticket) -> Result<Option<()>, Infallible> {
        self.probed.push(ticket.0);
        Ok(self.sessions.contains_key(&ticket.0).then_some(()))
    }

    fn liveness(&mut self, ticket: Ticket, (): &()) -> Result<Liveness, Infallible> {
        self.liveness_without_record(ticket)
    }

    fn liveness_without_record(&mut self, ticket: Ticket) -> Result<Liveness, Infallible> {
        Ok(self.sessions.get(&ticket.0).map_or(Liveness::Gone, |(l, _)| *l))
    }

    fn record(&mut self, ticket: Ticket) -> Result<Option<Record>, Infallible> {
        let Some((liveness, record)) = self.sessions.get_mut(&ticket.0) else {
            return Ok(None);
        };
        *liveness = self.then.get(&ticket.0).copied().unwrap_or(*liveness);
        Ok(record.clone())
    }

    fn sweep(&mut self, writes: Vec<Write>) -> Result<(), Infallible> {
        for write in &writes {
            if let Write::RemoveLock(ticket) = write {
                self.sessions.remove(&ticket.0);
            }
        }
        self.swept.extend(writes);
        Ok(())
    }
}

/// The newest of all is a mutator, as far as the gate knows.
fn gate(next: u64, floor: u64, granted: u64) -> Gate {
    Gate {
        next: Ticket(next),
        floor: Ticket(floor),
        granted: Ticket(granted),
        exclusive: Ticket(next - 1),
        ..Gate::new(RegistryId(1))
    }
}

fn stranger(ticket: u64, mode: Mode) -> Claim {
    Claim {
        mode,
        state: State::Waiting,
        ..sample(ticket).claim
    }
}

fn tickets(numbers: &[u64]) -> Ahead {
    numbers.iter().copied().map(Ticket).collect()
}

fn first_of(table: &mut Table, gate: Gate, me: &Claim) -> (Decision, Ahead) {
    first(table, &gate, me).unwrap()
}

fn again_of(table: &mut Table, gate: Gate, me: &Claim, ahead: &mut Ahead) -> Decision {
    again(table, &gate, me, ahead).unwrap()
}

#[test]
fn a_record_that_cannot_be_read_counts_as_an_exclusive_hold() {
    let mut table = Table::default().unreadable(1, Liveness::Alive);
    let (decision, _) = first_of(&mut table, gate(2, 1, 1), &stranger(2, Mode::Shared));
    assert_eq!(decision, Decision::Wait(Ticket(1)));
    assert!(living(&mut table).unwrap()[0].record.is_none());
}

#[test]
fn a_session_that_lets_go_while_it_is_looked_at_is_not_taken_for_an_unreadable_one() {
    let mut table = Table::default().unreadable(1, Liveness::Gone);
    let (decision, _) = first_of(&mut table, gate(2, 1, 1), &stranger(2, Mode::Shared));
    assert_eq!(decision, Decision::Granted);
    assert_eq!(table.swept, []);
}

#[test]
fn a_session_that_dies_while_it_is_looked_at_is_swept() {
    let mut table = Table::default().unreadable(1, Liveness::Dead);
    let (decision, _) = first_of(&mut table, gate(2, 1, 1), &stranger(2, Mode::Shared));
    assert_eq!(decision, Decision::Granted);
    assert_eq!(table.swept, protocol::sweep(Ticket(1), None));
}

#[test]
fn the_dead_are_swept_by_whoever_looks() {
    let mut table = Table::default().dead(1).with(2, Mode::Shared, State::Granted);
    let found = living(&mut table).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].claim.ticket, Ticket(2));
    assert_eq!(table.swept[0], Write::KeepUnfinished(Ticket(1)));
}

#[test]
fn a_stranger_looks_no_further_than_the_nearest_in_its_way() {
    let mut table = Table::default()
        .with(1, Mode::Shared, State::Granted)
        .with(2, Mode::Exclusive, State::Waiting)
        .with(3, Mode::Shared, State::Waiting);
    let (decision, ahead) = first_of(&mut table, gate(4, 1, 1), &stranger(4, Mode::Shared));
    assert_eq!(decision, Decision::Wait(Ticket(2)));
    assert_eq!(table.probed, [3, 2]);
    assert_eq!(ahead, tickets(&[1, 2, 3]));
}

#[test]
fn a_waiter_forgets_those_that_are_gone_and_remembers_those_that_are_not() {
    let mut table =
        Table::default()
            .with(1, Mode::Exclusive, State::Granted)
            .with(3, Mode::Shared, State::Waiting);
    let mut ahead = tickets(&[1, 2, 3]);
    let decision = again_of(&mut table, gate(5, 1, 1), &stranger(4, Mode::Shared), &mut ahead);
    assert_eq!(decision, Decision::Wait(Ticket(1)));
    assert_eq!(ahead, tickets(&[1, 3]));
    assert_eq!(table.listed, 0, "a waiter remembers, and need not list");
}

#[test]
fn a_waiter_looks_behind_itself_as_far_as_somebody_was_granted() {
    let mut table = Table::default()
        .with(5, Mode::Exclusive, State::Waiting)
        .with(6, Mode::Shared, State::Granted)
        .with(7, Mode::Exclusive, State::Waiting);
    let decision = again_of(
        &mut table,
        gate(8, 1, 6),
        &stranger(4, Mode::Exclusive),
        &mut Ahead::new(),
    );
    assert_eq!(decision, Decision::Wait(Ticket(6)));
    assert_eq!(table.probed, [6]);
}

#[test]
fn where_many_were_granted_behind_a_waiter_they_are_listed() {
    let me = stranger(4, Mode::Exclusive);
    let few = 4 + PROBES_MAX as u64;
    for (granted, listed) in [(few, 0), (few + 1, 1)] {
        let mut table = Table::default().with(2, Mode::Shared, State::Granted).with(
            granted,
            Mode::Shared,
            State::Granted,
        );
        let decision = again_of(&mut table, gate(granted + 1, 1, granted), &me, &mut tickets(&[2]));
        assert_eq!(decision, Decision::Wait(Ticket(granted)));
        assert_eq!(table.listed, listed, "up to {granted}");
        table.sessions.remove(&granted);
        table.probed.clear();
        let decision = again_of(&mut table, gate(granted + 1, 1, granted), &me, &mut tickets(&[2]));
        assert_eq!(decision, Decision::Wait(Ticket(2)));
        let behind = if listed == 0 { PROBES_MAX } else { 0 };
        assert_eq!(table.probed.len(), behind + 1);
    }
}

#[test]
fn nobody_below_the_floor_is_looked_at() {
    let mut table =
        Table::default()
            .with(1, Mode::Exclusive, State::Granted)
            .with(3, Mode::Shared, State::Granted);
    let (decision, ahead) = first_of(&mut table, gate(4, 2, 3), &stranger(4, Mode::Shared));
    assert_eq!(decision, Decision::Granted);
    assert_eq!(ahead, tickets(&[3]));
    assert_eq!(table.probed, [3, 2]);
}

#[test]
fn a_reader_does_not_look_at_the_readers_that_came_since_the_last_mutator() {
    let mut table = Table::default();
    for ticket in 1..200 {
        table = table.with(ticket, Mode::Shared, State::Granted);
    }
    let beside = |exclusive| Gate {
        exclusive: Ticket(exclusive),
        ..gate(201, 1, 199)
    };
    let me = stranger(201, Mode::Shared);
    assert_eq!(
        first_of(&mut table, beside(0), &me),
        (Decision::Granted, Ahead::new())
    );
    // Only whether those just before it have died.
    let just_before = [200, 199, 198, 197];
    assert_eq!((&table.probed[..], table.listed), (&just_before[..], 0));
    table.probed.clear();
    let ahead = tickets(&[1, 2]);
    assert_eq!(first_of(&mut table, beside(2), &me), (Decision::Granted, ahead));
    assert_eq!((&table.probed[4..], table.listed), (&[2, 1][..], 0));
    // A mutator does, as far as the nearest.
    let (decision, ahead) = first_of(&mut table, beside(0), &stranger(201, Mode::Exclusive));
    assert_eq!((decision, ahead.len()), (Decision::Wait(Ticket(199)), 199));
}

#[test]
fn a_reader_sweeps_those_just_before_it_and_goes_no_further_than_two_that_are_gone() {
    let mut table = Table::default().dead(3).dead(5).dead(8);
    let mut since = |mutator, me| {
        let gate = Gate {
            exclusive: Ticket(mutator),
            ..gate(me, me, 0)
        };
        first_of(&mut table, gate, &stranger(me, Mode::Shared));
        (std::mem::take(&mut table.probed), table.sessions.len())
    };
    assert_eq!(since(1, 9), (vec![8, 7], 2));
    assert_eq!(since(1, 6), (vec![5, 4], 1));
    assert_eq!(since(3, 5), (vec![4], 1));
}

#[test]
fn now_and_then_a_reader_lists_what_there_is() {
    let listed = |ticket| {
        let mut table = Table::default();
        first_of(
            &mut table,
            gate(ticket, ticket, 0),
            &stranger(ticket, Mode::Shared),
        );
        table.listed
    };
    assert_eq!((1..=2 * READERS_PER_LISTING).map(listed).sum::<usize>(), 2);
}

#[test]
fn who_may_have_kin_looks_at_all() {
    let mut table =
        Table::default()
            .with(1, Mode::Exclusive, State::Granted)
            .with(2, Mode::Shared, State::Waiting);
    let mut me = stranger(3, Mode::Exclusive);
    me.ancestors = vec![SessionId(1)];
    let (decision, ahead) = first_of(&mut table, gate(3, 1, 1), &me);
    assert_eq!(decision, Decision::Granted);
    assert_eq!(ahead, Ahead::new());
    assert_eq!(table.probed, [1, 2]);
    table.probed.clear();
    assert_eq!(
        again_of(&mut table, gate(4, 1, 1), &me, &mut Ahead::new()),
        Decision::Granted
    );
    assert_eq!(table.probed, [1, 2]);
}

#[test]
fn a_glance_among_kin_looks_at_all_and_that_of_a_stranger_at_the_one_it_waits_for() {
    let table = || {
        Table::default()
            .with(1, Mode::Shared, State::Granted)
            .with(2, Mode::Shared, State::Granted)
            .with(3, Mode::Shared, State::Granted)
    };
    let glance = |table: &mut Table, me: &Claim, on| may_be_over(table, me, Ticket(on)).unwrap();
    let mut nested = stranger(4, Mode::Exclusive);
    nested.ancestors = vec![SessionId(1)];
    let mut all = table();
    assert!(!glance(&mut all, &nested, 3));
    assert_eq!(all.probed, [1, 2, 3]);
    assert!(glance(&mut all, &nested, 2), "another is nearer");

    let stranger = stranger(4, Mode::Exclusive);
    let mut one = table();
    assert!(!glance(&mut one, &stranger, 2));
    assert_eq!(one.probed, [2]);
    assert!(glance(&mut one, &stranger, 7), "it is gone");
    let mut reader = stranger;
    reader.mode = Mode::Shared;
    assert!(
        glance(&mut one, &reader, 2),
        "it can be read now, and is a reader's"
    );
}
