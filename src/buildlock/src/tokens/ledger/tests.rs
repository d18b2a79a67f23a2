//! The ledger gives out no more than there is, and everybody their share.

use std::collections::{HashSet, VecDeque};

use super::*;

fn entry(ticket: u64, held: u32, wanted: u32) -> Entry {
    Entry {
        ticket: Ticket(ticket),
        lease: Lease {
            held,
            wanted,
            cap: u32::MAX,
            weight: 1,
            capacity: 1,
        },
    }
}

fn weighing(mut entry: Entry, weight: u32) -> Entry {
    entry.lease.weight = weight;
    entry
}

fn capped(mut entry: Entry, cap: u32) -> Entry {
    entry.lease.cap = cap;
    entry
}

#[test]
fn a_session_alone_gets_what_it_wants() {
    assert_eq!(fair_shares(8, &[entry(1, 1, 5)]), [5]);
    assert_eq!(fair_shares(8, &[entry(1, 1, 50)]), [8]);
    assert_eq!(may_lease(8, &[entry(1, 1, 50)], Ticket(1)), 7);
}

#[test]
fn equal_sessions_share_equally_whatever_they_wait_with() {
    assert_eq!(fair_shares(8, &[entry(1, 1, 1000), entry(2, 1, 5)]), [4, 4]);
    assert_eq!(fair_shares(9, &[entry(1, 1, 10), entry(2, 1, 10)]), [5, 4]);
}

#[test]
fn what_one_does_not_want_the_others_get() {
    assert_eq!(fair_shares(8, &[entry(1, 1, 2), entry(2, 1, 10)]), [2, 6]);
    assert_eq!(
        fair_shares(8, &[capped(entry(1, 1, 9), 3), entry(2, 1, 10)]),
        [3, 5]
    );
}

#[test]
fn weights_divide_the_pool() {
    let three = [weighing(entry(1, 1, 99), 2), entry(2, 1, 99), entry(3, 1, 99)];
    assert_eq!(fair_shares(4, &three), [2, 1, 1]);
    assert_eq!(fair_shares(16, &three), [8, 4, 4]);
    assert_eq!(fair_shares(128, &three), [64, 32, 32]);
}

#[test]
fn even_the_lightest_has_a_right_to_one() {
    let two = [weighing(entry(1, 1, 99), 1000), entry(2, 0, 99)];
    assert_eq!(fair_shares(4, &two), [3, 1]);
}

#[test]
fn first_tokens_are_leased_in_order() {
    let three = [entry(1, 1, 1), entry(2, 0, 1), entry(3, 0, 1)];
    assert_eq!(may_lease(2, &three, Ticket(2)), 1);
    assert_eq!(may_lease(2, &three, Ticket(3)), 0);
    assert_eq!(may_lease(3, &three, Ticket(3)), 1);
}

#[test]
fn nobody_takes_another_token_while_somebody_waits_for_its_first() {
    let two = [entry(1, 2, 9), entry(2, 0, 1)];
    assert_eq!(may_lease(3, &two, Ticket(1)), 0);
    assert_eq!(may_lease(4, &two, Ticket(1)), 1);
}

#[test]
fn only_what_others_lack_is_given_back_and_never_the_last() {
    let two = [entry(1, 4, 9), entry(2, 0, 1)];
    assert_eq!(should_return(4, &two, Ticket(1)), 1);
    assert_eq!(should_return(5, &two, Ticket(1)), 0, "one is free");
    assert_eq!(
        should_return(4, &[entry(1, 4, 9)], Ticket(1)),
        0,
        "nobody wants it"
    );
    assert_eq!(should_return(1, &[entry(1, 1, 9), entry(2, 0, 1)], Ticket(1)), 0);
}

#[test]
fn the_session_that_joined_first_fixes_the_capacity() {
    let mut entries = [entry(3, 1, 1), entry(2, 1, 1)];
    entries[0].lease.capacity = 16;
    entries[1].lease.capacity = 4;
    assert_eq!(capacity_in_force(&entries, 8), 4);
    assert_eq!(capacity_in_force(&[], 8), 8);
    assert_eq!(
        capacity_in_force(&[], 0),
        1,
        "a pool without tokens would block for ever"
    );
}

/// Each way in which up to three sessions may stand, with small numbers.
fn small_casts() -> impl Iterator<Item = (u32, Vec<Entry>)> {
    let one = |ticket| {
        (0..=3u32).flat_map(move |held| {
            (0..=4u32).flat_map(move |wanted| {
                [(1, 4), (2, 4), (1, 1)]
                    .map(|(weight, cap)| weighing(capped(entry(ticket, held, wanted), cap), weight))
            })
        })
    };
    (1..=4u32).flat_map(move |capacity| {
        one(1)
            .flat_map(move |a| one(2).flat_map(move |b| one(3).map(move |c| vec![a, b, c])))
            .filter(move |all| all.iter().map(|e| e.lease.held).sum::<u32>() <= capacity)
            .map(move |all| (capacity, all))
    })
}

#[test]
fn shares_fit_the_pool_and_leave_nothing_that_is_wanted() {
    for (capacity, all) in small_casts() {
        let shares = fair_shares(capacity, &all);
        let sum: u32 = shares.iter().sum();
        assert!(sum <= capacity, "{shares:?} of {capacity}: {all:?}");
        let most = |e: &Entry| {
            if e.lease.held > 0 {
                e.demand().max(1)
            } else {
                e.demand()
            }
        };
        for (share, entry) in shares.iter().zip(&all) {
            assert!(*share <= most(entry), "{shares:?} of {capacity}: {all:?}");
            assert!(
                *share > 0 || entry.lease.held == 0,
                "{shares:?} of {capacity}: {all:?}"
            );
        }
        let all_wanted: u32 = all.iter().map(most).sum();
        assert_eq!(sum, all_wanted.min(capacity), "{shares:?} of {capacity}: {all:?}");
    }
}

#[test]
fn a_larger_pool_takes_nothing_from_anybody() {
    for (capacity, all) in small_casts() {
        let (small, large) = (fair_shares(capacity, &all), fair_shares(capacity + 1, &all));
        assert!(
            small.iter().zip(&large).all(|(s, l)| s <= l),
            "{small:?} {large:?} {all:?}"
        );
    }
}

#[test]
fn leases_never_exceed_what_is_free() {
    for (capacity, all) in small_casts() {
        for entry in &all {
            let more = may_lease(capacity, &all, entry.ticket);
            assert!(more <= free(capacity, &all), "{all:?} of {capacity}");
            assert!(entry.lease.held + more <= entry.lease.cap.max(entry.lease.held));
            let less = should_return(capacity, &all, entry.ticket);
            assert!(less == 0 || entry.lease.held > less, "{all:?} of {capacity}");
            assert!(
                more == 0 || less == 0,
                "it leases and gives back: {all:?} of {capacity}"
            );
        }
    }
}

/// A cast of three in a pool of three, each of whom may join, want more or less, lease, give back, end, or be killed, at
/// any moment and in any order.
mod exhaustive {
    use super::*;

    const CAPACITY: u32 = 3;
    const DEMAND_MAX: u32 = 3;

    /// What each of the three is; nothing where it has not joined, or is gone. Sorted by ticket.
    type World = [Option<Lease>; 3];

    fn entries(world: &World) -> Vec<Entry> {
        let living = world.iter().enumerate();
        living
            .filter_map(|(i, lease)| {
                lease.map(|lease| Entry {
                    ticket: Ticket(i as u64),
                    lease,
                })
            })
            .collect()
    }

    /// What the sessions themselves do: each takes what it may, and gives back what it should as its jobs end.
    fn moves(world: &World) -> Vec<World> {
        let (all, mut next) = (entries(world), Vec::new());
        for entry in &all {
            let mut with_held = |held| {
                let mut world = *world;
                world[entry.ticket.0 as usize] = Some(Lease { held, ..entry.lease });
                next.push(world);
            };
            match may_lease(CAPACITY, &all, entry.ticket) {
                0 => {}
                more => with_held(entry.lease.held + more),
            }
            if should_return(CAPACITY, &all, entry.ticket) > 0 {
                with_held(entry.lease.held - 1);
            }
        }
        next
    }

    /// What the world does to them.
    fn fates(world: &World) -> Vec<World> {
        let mut next = Vec::new();
        for (i, slot) in world.iter().enumerate() {
            let mut becomes = |lease| {
                let mut world = *world;
                world[i] = lease;
                next.push(world);
            };
            let Some(lease) = slot else {
                for weight in [1, 2] {
                    becomes(Some(Lease {
                        held: 0,
                        wanted: 1,
                        cap: DEMAND_MAX,
                        weight,
                        capacity: CAPACITY,
                    }));
                }
                continue;
            };
            // Its end, and its death: the same to the ledger.
            becomes(None);
            for wanted in 1..=DEMAND_MAX {
                if lease.held > 0 {
                    becomes(Some(Lease { wanted, ..*lease }));
                }
                // A token that lies unused is given back although nobody asked.
                if lease.held > wanted {
                    becomes(Some(Lease {
                        held: lease.held - 1,
                        wanted,
                        ..*lease
                    }));
                }
            }
        }
        next
    }

    fn reachable() -> HashSet<World> {
        let start: World = [None; 3];
        let (mut seen, mut queue) = (HashSet::from([start]), VecDeque::from([start]));
        while let Some(world) = queue.pop_front() {
            for next in moves(&world).into_iter().chain(fates(&world)) {
                if seen.insert(next) {
                    queue.push_back(next);
                }
            }
        }
        seen
    }

    #[test]
    fn the_living_never_hold_more_than_there_is() {
        let worlds = reachable();
        assert!(worlds.len() > 1000, "the search saw only {} worlds", worlds.len());
        for world in worlds {
            let held: u32 = world.iter().flatten().map(|l| l.held).sum();
            assert!(held <= CAPACITY, "{world:?}");
        }
    }

    #[test]
    fn nobody_who_wants_its_first_token_waits_while_tokens_come_back() {
        // From wherever the world stops to meddle, the sessions' own moves end, and end well: everybody has its share, and
        // where there are as many tokens as sessions everybody has one.
        for world in reachable() {
            let (mut seen, mut queue) = (HashSet::from([world]), VecDeque::from([world]));
            while let Some(at) = queue.pop_front() {
                let next = moves(&at);
                if next.is_empty() {
                    let all = entries(&at);
                    for (entry, share) in all.iter().zip(fair_shares(CAPACITY, &all)) {
                        assert!(entry.lease.held >= share, "{world:?} ends in {at:?}");
                        assert!(entry.lease.held > 0, "{world:?} ends in {at:?}");
                    }
                }
                for next in next {
                    if seen.insert(next) {
                        queue.push_back(next);
                    }
                }
            }
            // Sessions that gave to each other in a circle would never end: no world is met again on any path.
            assert!(is_acyclic(&seen), "{world:?}");
        }
    }

    fn is_acyclic(worlds: &HashSet<World>) -> bool {
        let mut left: Vec<World> = worlds.iter().copied().collect();
        loop {
            let before = left.len();
            let still: HashSet<World> = left.iter().copied().collect();
            left.retain(|w| moves(w).iter().any(|n| still.contains(n)));
            if left.is_empty() || left.len() == before {
                return left.is_empty();
            }
        }
    }
}
