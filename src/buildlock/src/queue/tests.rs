//! The rule, case by case. The exhaustive search over sequences of events is in `tests/model`.

use super::Mode::{Exclusive, Shared};
use super::State::{Granted, Waiting};
use super::*;

/// `claim(7, 3, &[1], …)`: ticket 7 of session 3, started under session 1.
fn claim(ticket: u64, session: u64, ancestors: &[u64], mode: Mode, state: State) -> Claim {
    let ancestors = ancestors.iter().copied().map(SessionId).collect();
    Claim {
        ticket: Ticket(ticket),
        session: SessionId(session),
        ancestors,
        mode,
        state,
    }
}

fn stranger(ticket: u64, mode: Mode, state: State) -> Claim {
    claim(ticket, ticket, &[], mode, state)
}

fn wait(ticket: u64) -> Decision {
    Decision::Wait(Ticket(ticket))
}

#[test]
fn an_empty_registry_grants_everything() {
    assert_eq!(decide(&[], &stranger(1, Shared, Waiting)), Decision::Granted);
    assert_eq!(decide(&[], &stranger(1, Exclusive, Waiting)), Decision::Granted);
}

#[test]
fn my_own_record_never_blocks_me() {
    let me = stranger(1, Exclusive, Waiting);
    assert_eq!(decide(std::slice::from_ref(&me), &me), Decision::Granted);
}

#[test]
fn readers_share() {
    assert_eq!(
        decide(&[stranger(1, Shared, Granted)], &stranger(2, Shared, Waiting)),
        Decision::Granted
    );
}

#[test]
fn a_mutator_excludes_and_is_excluded() {
    assert_eq!(
        decide(&[stranger(1, Exclusive, Granted)], &stranger(2, Shared, Waiting)),
        wait(1)
    );
    assert_eq!(
        decide(&[stranger(1, Shared, Granted)], &stranger(2, Exclusive, Waiting)),
        wait(1)
    );
    assert_eq!(
        decide(
            &[stranger(1, Exclusive, Granted)],
            &stranger(2, Exclusive, Waiting)
        ),
        wait(1)
    );
}

#[test]
fn a_reader_queues_behind_a_waiting_mutator() {
    let claims = [stranger(1, Shared, Granted), stranger(2, Exclusive, Waiting)];
    assert_eq!(decide(&claims, &stranger(3, Shared, Waiting)), wait(2));
}

#[test]
fn nobody_queues_behind_a_later_stranger_that_waits() {
    let claims = [stranger(9, Exclusive, Waiting)];
    assert_eq!(
        decide(&claims, &stranger(3, Exclusive, Waiting)),
        Decision::Granted
    );
}

#[test]
fn a_granted_hold_with_a_later_ticket_still_blocks() {
    // A downgrade leaves such a hold: the shared record's ticket is newer than those of the mutators that wait.
    assert_eq!(
        decide(
            &[claim(9, 1, &[], Shared, Granted)],
            &stranger(3, Exclusive, Waiting)
        ),
        wait(9)
    );
}

#[test]
fn a_waiter_blocks_on_the_nearest_of_many() {
    let claims = [
        stranger(1, Shared, Granted),
        stranger(4, Shared, Granted),
        stranger(2, Shared, Granted),
    ];
    let me = stranger(5, Exclusive, Waiting);
    assert_eq!(decide(&claims, &me), wait(4));
    let ahead: Vec<_> = blockers(&claims, &me).iter().map(|c| c.ticket.0).collect();
    assert_eq!(ahead, [4, 2, 1]);
}

#[test]
fn an_ancestor_never_blocks_its_descendant() {
    let parent = stranger(1, Exclusive, Granted);
    assert_eq!(
        decide(
            std::slice::from_ref(&parent),
            &claim(2, 2, &[1], Exclusive, Waiting)
        ),
        Decision::Granted
    );
    let grandchild = claim(3, 3, &[1, 2], Exclusive, Waiting);
    assert_eq!(
        decide(&[parent, claim(2, 2, &[1], Shared, Granted)], &grandchild),
        Decision::Granted
    );
}

#[test]
fn a_name_that_is_not_alive_makes_a_stranger() {
    let claims = [stranger(1, Shared, Granted), stranger(2, Exclusive, Waiting)];
    assert_eq!(decide(&claims, &claim(3, 3, &[77], Shared, Waiting)), wait(2));
}

#[test]
fn siblings_exclude_each_other() {
    let claims = [
        stranger(1, Exclusive, Granted),
        claim(2, 2, &[1], Exclusive, Granted),
    ];
    assert_eq!(decide(&claims, &claim(3, 3, &[1], Exclusive, Waiting)), wait(2));
}

#[test]
fn a_covered_request_passes_waiting_strangers() {
    let claims = [stranger(1, Shared, Granted), stranger(2, Exclusive, Waiting)];
    assert_eq!(
        decide(&claims, &claim(3, 3, &[1], Shared, Waiting)),
        Decision::Granted
    );
}

#[test]
fn a_covered_request_ignores_shared_holds_that_its_cover_passed_but_not_those_below_the_cover() {
    let cover = stranger(2, Exclusive, Granted);
    let settled = [stranger(1, Shared, Granted), cover.clone()];
    assert_eq!(
        decide(&settled, &claim(3, 3, &[2], Exclusive, Waiting)),
        Decision::Granted
    );
    let below = [cover, claim(3, 3, &[2], Shared, Granted)];
    assert_eq!(decide(&below, &claim(4, 4, &[2], Exclusive, Waiting)), wait(3));
}

#[test]
fn below_one_mutator_the_earlier_of_two_upgrades_passes() {
    let claims = [
        stranger(1, Exclusive, Granted),
        claim(2, 2, &[1], Shared, Granted),
        claim(3, 3, &[1], Shared, Granted),
        claim(4, 2, &[1], Exclusive, Waiting),
        claim(5, 3, &[1], Exclusive, Waiting),
    ];
    assert_eq!(decide(&claims, &claims[3]), Decision::Granted);
    assert_eq!(decide(&claims, &claims[4]), wait(2));
}

#[test]
fn what_the_nearest_cover_passed_is_settled_also_below_a_further_one() {
    let claims = [
        stranger(1, Exclusive, Granted),
        claim(2, 2, &[1], Shared, Granted),
        claim(3, 3, &[1], Shared, Granted),
        claim(4, 2, &[1], Exclusive, Granted),
        claim(5, 3, &[1], Exclusive, Waiting),
    ];
    let below_both = claim(6, 6, &[1, 2], Exclusive, Waiting);
    assert_eq!(decide(&claims, &below_both), Decision::Granted);
    let below_one = claim(7, 7, &[1], Exclusive, Waiting);
    assert_eq!(decide(&claims, &below_one), wait(4));
}

#[test]
fn an_upgrade_waits_for_other_readers() {
    let claims = [stranger(1, Shared, Granted), stranger(2, Shared, Granted)];
    assert_eq!(decide(&claims, &claim(3, 3, &[1], Exclusive, Waiting)), wait(2));
}

#[test]
fn an_upgrade_does_not_queue_behind_a_stranger_that_waits_for_its_ancestor() {
    let claims = [stranger(1, Shared, Granted), stranger(2, Exclusive, Waiting)];
    assert_eq!(
        decide(&claims, &claim(3, 3, &[1], Exclusive, Waiting)),
        Decision::Granted
    );
}

#[test]
fn an_upgrade_queues_behind_an_earlier_upgrade() {
    let claims = [
        stranger(1, Shared, Granted),
        stranger(2, Shared, Granted),
        claim(3, 3, &[2], Exclusive, Waiting),
    ];
    assert_eq!(decide(&claims, &claim(4, 4, &[1], Exclusive, Waiting)), wait(3));
}

#[test]
fn of_two_trees_that_upgrade_at_once_the_earlier_passes() {
    let claims = [
        stranger(1, Shared, Granted),
        stranger(2, Shared, Granted),
        claim(3, 3, &[1], Exclusive, Waiting),
        claim(4, 4, &[2], Exclusive, Waiting),
    ];
    assert_eq!(decide(&claims, &claims[2]), Decision::Granted);
    assert_eq!(decide(&claims, &claims[3]), wait(3));
}

#[test]
fn an_upgrade_passes_only_holds_whose_own_tree_waits_for_a_later_one() {
    let mine = stranger(1, Shared, Granted);
    let me = claim(4, 4, &[1], Exclusive, Waiting);
    let asks_nothing = stranger(2, Shared, Granted);
    let asks_itself = [stranger(3, Shared, Granted), claim(5, 3, &[], Exclusive, Waiting)];
    let [hold, later] = asks_itself;
    assert_eq!(
        decide(&[mine.clone(), hold.clone(), later.clone()], &me),
        Decision::Granted
    );
    assert_eq!(
        decide(&[mine.clone(), asks_nothing, hold.clone(), later], &me),
        wait(2)
    );
    let shared = claim(5, 3, &[], Shared, Waiting);
    assert_eq!(decide(&[mine, hold, shared], &me), wait(3));
}

#[test]
fn a_session_that_upgrades_its_own_hold_is_its_own_ancestor() {
    let mine = stranger(1, Shared, Granted);
    let upgrade = claim(2, 1, &[], Exclusive, Waiting);
    assert_eq!(decide(std::slice::from_ref(&mine), &upgrade), Decision::Granted);
    assert_eq!(decide(&[mine, stranger(3, Shared, Granted)], &upgrade), wait(3));
}

#[test]
fn kinship_goes_by_session_and_not_by_ticket() {
    // The parent, session 1, downgraded: its record now has ticket 5.
    let claims = [claim(5, 1, &[], Shared, Granted), stranger(2, Exclusive, Waiting)];
    assert_eq!(
        decide(&claims, &claim(6, 6, &[1], Shared, Waiting)),
        Decision::Granted
    );
}

#[test]
fn the_short_way_for_strangers_agrees_with_the_rule() {
    let pool = [
        stranger(1, Shared, Granted),
        stranger(2, Exclusive, Granted),
        stranger(3, Shared, Waiting),
        stranger(4, Exclusive, Waiting),
        claim(8, 1, &[], Shared, Granted),
        claim(9, 9, &[2], Exclusive, Granted),
    ];
    for chosen in 0..1_u32 << pool.len() {
        let claims: Vec<_> = pool
            .iter()
            .enumerate()
            .filter(|(i, _)| chosen & (1 << i) != 0)
            .map(|(_, c)| c.clone())
            .collect();
        for mode in [Shared, Exclusive] {
            let me = stranger(5, mode, Waiting);
            assert!(!may_have_kin(&me));
            let nearest = claims
                .iter()
                .filter(|c| blocks_stranger(c, &me))
                .map(|c| c.ticket)
                .max();
            assert_eq!(
                decide(&claims, &me),
                nearest.map_or(Decision::Granted, Decision::Wait)
            );
        }
    }
}

#[test]
fn a_ticket_has_one_spelling_and_is_possible() {
    assert_eq!(Ticket::parse("7"), Some(Ticket(7)));
    assert_eq!(Ticket::parse("9223372036854775807"), Some(Ticket(u64::MAX / 2)));
    for bad in ["", "0", "07", "+7", "-7", " 7", "seven", "9223372036854775808"] {
        assert_eq!(Ticket::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn tickets_sessions_and_modes_read_as_in_the_files() {
    assert_eq!(Ticket(7).to_string(), "7");
    assert_eq!(SessionId(8).to_string(), "8");
    assert_eq!(Shared.to_string(), "shared");
    assert_eq!(Exclusive.to_string(), "exclusive");
}
