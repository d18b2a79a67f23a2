//! The rule as `rule_model.py` words it: a second implementation, with the faults that can be seeded into it.
//!
//! Without a fault it must give the same answer as [`buildlock::queue::decide`], which the searches use.

use buildlock::Mode;
use buildlock::queue::{Claim, Decision, SessionId, State};

use crate::faults::RuleFault;

/// What `me` has to do, by a rule with a fault in it.
pub(crate) fn decide(claims: &[Claim], me: &Claim, fault: Option<RuleFault>) -> Decision {
    if fault == Some(RuleFault::KinshipByTicket) {
        let by_ticket = |claim: &Claim| Claim {
            session: SessionId(claim.ticket.0),
            ..claim.clone()
        };
        let claims: Vec<_> = claims.iter().map(by_ticket).collect();
        return decide(&claims, &by_ticket(me), None);
    }
    let mine = kin(claims, me);
    let cover: Vec<_> = mine
        .iter()
        .filter(|a| a.mode >= me.mode)
        .map(|a| a.session)
        .collect();
    let upgrade = !mine.is_empty() && cover.is_empty();
    let blocks = |r: &&Claim| {
        let shared = r.mode == Mode::Shared;
        if r.ticket == me.ticket || (shared && me.mode == Mode::Shared) {
            return false;
        }
        if fault != Some(RuleFault::Ancestors)
            && (r.session == me.session || me.ancestors.contains(&r.session))
        {
            return false;
        }
        if fault == Some(RuleFault::Siblings) && r.ancestors.iter().any(|a| me.ancestors.contains(a)) {
            return false;
        }
        if r.state == State::Granted {
            let below = |cover: &SessionId| r.ancestors.contains(cover);
            let not_settled = match fault {
                Some(RuleFault::OuterCover) => cover.iter().any(below),
                _ => cover.iter().all(below),
            };
            let settled = shared && !cover.is_empty() && !not_settled;
            let crossing = |u: &Claim| {
                (u.session == r.session || u.ancestors.contains(&r.session))
                    && u.state == State::Waiting
                    && u.mode == Mode::Exclusive
                    && u.ticket > me.ticket
            };
            let may_pass = upgrade || !cover.is_empty() && fault != Some(RuleFault::CrossBelowCover);
            let lets_pass = may_pass && shared && claims.iter().any(crossing);
            !(settled && fault != Some(RuleFault::Cover) || lets_pass && fault != Some(RuleFault::Cross))
        } else {
            cover.is_empty()
                && r.ticket < me.ticket
                && fault != Some(RuleFault::Fifo)
                && (!upgrade || fault == Some(RuleFault::Strangers) || is_upgrade(claims, r))
        }
    };
    let nearest = claims.iter().filter(blocks).map(|r| r.ticket).max();
    nearest.map_or(Decision::Granted, Decision::Wait)
}

/// The granted records of my ancestors, and of my own session.
fn kin<'a>(claims: &'a [Claim], me: &Claim) -> Vec<&'a Claim> {
    let is_kin = |r: &&Claim| {
        r.state == State::Granted
            && r.ticket != me.ticket
            && (r.session == me.session || me.ancestors.contains(&r.session))
    };
    claims.iter().filter(is_kin).collect()
}

fn is_upgrade(claims: &[Claim], r: &Claim) -> bool {
    let kin = kin(claims, r);
    !kin.is_empty() && kin.iter().all(|a| a.mode < r.mode)
}
