//! Mutation checks: each fault that is seeded makes the search fail, and the same search without it passes.

use buildlock::Mode;
use buildlock::queue::{self, Claim, SessionId, State, Ticket};

use crate::cast::Cast;
use crate::faults::{Fault, RuleFault};
use crate::invariants as must;
use crate::rule;
use crate::search::Search;
use crate::steps::Grain;

/// Searches a cast with a fault, which must break one invariant, and without it, which must break none.
#[track_caller]
fn finds(fault: Fault, cast: &str, grain: Grain, broken: &str) {
    finds_with_kills(1, fault, cast, grain, broken);
}

#[track_caller]
fn finds_with_kills(kills: u8, fault: Fault, cast: &str, grain: Grain, broken: &str) {
    let search = |fault| Search {
        cast: Cast::parse(cast),
        grain,
        kills,
        give_ups: 0,
        fault,
        invariants: &must::ALL,
    };
    let sound = search(None).run();
    assert!(sound.broken.is_empty(), "without a fault: {:#?}", sound.broken);
    let found = search(Some(fault)).run().broken;
    let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&broken), "{fault:?} breaks {found:#?}");
}

#[test]
fn a_session_that_waits_for_its_own_ancestors_is_found() {
    finds(
        Fault::Rule(RuleFault::Ancestors),
        "Ekw(E)",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn siblings_that_do_not_exclude_each_other_are_found() {
    // Two mutators below one reader count as kin to nobody but the reader.
    finds(
        Fault::Rule(RuleFault::Siblings),
        "Skw(E)(E)",
        Grain::Write,
        must::EXCLUSION,
    );
}

#[test]
fn upgrades_that_queue_behind_waiting_strangers_are_found() {
    finds(
        Fault::Rule(RuleFault::Strangers),
        "Skw(E) E",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn crossing_upgrades_that_do_not_pass_are_found() {
    finds(
        Fault::Rule(RuleFault::Cross),
        "Skw(E) Skw(E)",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn a_covered_request_that_waits_for_settled_holds_is_found() {
    finds(
        Fault::Rule(RuleFault::Cover),
        "Skw(Ekw(E)) Skw(E)",
        Grain::Transition,
        must::PROGRESS,
    );
}

#[test]
fn crossing_upgrades_below_one_mutator_that_do_not_pass_are_found() {
    finds(
        Fault::Rule(RuleFault::CrossBelowCover),
        "Ekw(SE)(SE)",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn a_covered_request_that_waits_for_what_was_settled_below_another_cover_is_found() {
    finds(
        Fault::Rule(RuleFault::OuterCover),
        "Ekw(SEkw(E))(SE)",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn waiters_that_do_not_queue_are_found() {
    finds(
        Fault::Rule(RuleFault::Fifo),
        "S E S",
        Grain::Write,
        must::FIRST_COME,
    );
}

#[test]
fn kinship_by_ticket_instead_of_session_is_found() {
    finds(
        Fault::Rule(RuleFault::KinshipByTicket),
        "Edkw(S) E",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn a_downgrade_that_releases_before_it_publishes_is_found() {
    finds(Fault::ReleaseBeforePublish, "Ed S", Grain::Write, must::KEEPS);
}

#[test]
fn dead_records_that_are_kept_are_found() {
    finds(Fault::DeadRecordsKept, "E S", Grain::Write, must::PROGRESS);
}

#[test]
fn a_ticket_that_is_burned_after_its_files_appear_is_found() {
    finds(Fault::TicketBurnedLate, "S S", Grain::Write, must::TICKETS);
}

#[test]
fn freeing_a_lock_before_the_session_is_unregistered_is_found() {
    finds(
        Fault::UnlockBeforeUnregistering,
        "E S",
        Grain::Write,
        must::MARK_TRUE,
    );
}

#[test]
fn a_sweep_that_removes_the_lock_file_before_the_record_is_found() {
    // The sweeper may be killed, too, and the next to list the folder takes the record for litter.
    finds_with_kills(
        2,
        Fault::LockSweptBeforeRecord,
        "E S S",
        Grain::Write,
        must::MARK_KEPT,
    );
}

#[test]
fn a_dead_mutator_that_is_swept_like_any_other_is_found() {
    finds(Fault::UnfinishedNotKept, "E S", Grain::Write, must::MARK_KEPT);
}

#[test]
fn a_mark_that_every_clean_end_removes_is_found() {
    finds(Fault::EveryMarkRemoved, "Ekw(E) S", Grain::Write, must::MARK_KEPT);
}

#[test]
fn a_waiter_that_overlooks_those_granted_behind_it_is_found() {
    finds(
        Fault::GrantedBehindOverlooked,
        "Ed E",
        Grain::Write,
        must::EXCLUSION,
    );
}

#[test]
fn a_floor_that_every_grant_raises_is_found() {
    finds(
        Fault::FloorRaisedByEveryGrant,
        "S S E",
        Grain::Write,
        must::EXCLUSION,
    );
}

#[test]
fn a_gate_that_is_not_told_of_mutators_is_found() {
    finds(Fault::MutatorsNotMarked, "E S", Grain::Write, must::EXCLUSION);
}

#[test]
fn a_gate_that_is_left_between_deciding_and_registering_is_found() {
    finds(
        Fault::GateLeftBeforeRegistering,
        "E E",
        Grain::Write,
        must::EXCLUSION,
    );
}

#[test]
fn a_waiter_among_kin_that_never_looks_again_by_itself_is_found() {
    finds(
        Fault::NoTickAmongKin,
        "Skw(E) Skw(E)",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn a_look_without_the_gate_at_one_only_is_found() {
    finds(
        Fault::GlanceAtOneOnly,
        "Skw(E) Skw(E)",
        Grain::Write,
        must::PROGRESS,
    );
}

#[test]
fn a_look_without_the_gate_that_is_believed_is_found() {
    // One sibling lets go, and is seen to be gone; then the other comes, and is granted.
    finds_with_kills(
        0,
        Fault::GlanceBelieved,
        "Skw(E)(S)(S)",
        Grain::Call,
        must::EXCLUSION,
    );
}

#[test]
fn a_lock_that_is_asked_for_before_the_record_is_read_is_found() {
    // Among kin, for a reader that is a stranger looks at no other.
    finds(Fault::RecordReadLast, "Skw(s) S", Grain::Call, must::REFUSALS);
}

#[test]
fn a_look_without_the_gate_that_probes_a_claim_without_a_record_is_found() {
    finds(
        Fault::GlanceProbesWithoutRecord,
        "Skw(E) Skw(E)",
        Grain::Call,
        must::LOCKABLE,
    );
}

#[test]
fn a_freed_lock_that_lost_its_name_and_is_not_doubted_is_found() {
    finds(Fault::FreedNameNotDoubted, "E S", Grain::Call, must::MARK_TRUE);
}

/// Without a fault, the second implementation of the rule is the first: on every set of up to three claims of a family and
/// two strangers, and every request.
#[test]
fn the_second_implementation_of_the_rule_agrees_with_the_first() {
    let claim = |ticket, session, ancestors: &[u64], mode, state| Claim {
        ticket: Ticket(ticket),
        session: SessionId(session),
        ancestors: ancestors.iter().copied().map(SessionId).collect(),
        mode,
        state,
    };
    let families: [(u64, &[u64]); 6] = [(1, &[]), (2, &[1]), (3, &[1, 2]), (4, &[1]), (5, &[]), (6, &[5])];
    let mut all = vec![];
    for (session, ancestors) in families {
        for (mode, state) in [
            (Mode::Shared, State::Granted),
            (Mode::Exclusive, State::Granted),
            (Mode::Shared, State::Waiting),
            (Mode::Exclusive, State::Waiting),
        ] {
            // Its first ticket, or that of a later claim.
            all.push(claim(session, session, ancestors, mode, state));
            all.push(claim(session + 10, session, ancestors, mode, state));
        }
    }
    let mut compared = 0;
    for a in 0..all.len() {
        for b in a..all.len() {
            for c in b..all.len() {
                let claims = [all[a].clone(), all[b].clone(), all[c].clone()];
                for me in &all {
                    assert_eq!(
                        queue::decide(&claims, me),
                        rule::decide(&claims, me, None),
                        "{me:?} among {claims:#?}"
                    );
                    compared += 1;
                }
            }
        }
    }
    println!("{compared} decisions compared");
}
