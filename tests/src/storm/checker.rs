//! The checker: replays what the processes of a storm noted, and finds what must never be.
//!
//! A grant is noted after it happened and a release before it happens, so what is noted of a hold lies within the real
//! one: two that overlap on paper overlapped in truth, and of two that conflict it is known which came first. The converse
//! is not so: an overlap of microseconds can escape. Hence storms are long.

use std::collections::HashMap;

use buildlock::Mode;

use super::journal::{Line, Note};

/// What a replay found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many claims were granted.
    pub grants: usize,
    /// How many of them exclusively.
    pub exclusive: usize,
    /// How many of them to nested sessions.
    pub nested: usize,
    /// How many upgrades were let pass by a shared hold whose own tree waited for a later one.
    pub passed: usize,
    /// How many claims were refused.
    pub refusals: usize,
    /// What must never be.
    pub violations: Vec<String>,
}

/// A claim, from its asking to its end.
#[derive(Clone, Debug)]
struct Claim {
    actor: String,
    mode: Mode,
    ancestors: Vec<u64>,
    /// Whether it came on top of what its session held already.
    second: bool,
    asked: u64,
    /// When it was refused, or its process ended before it was granted.
    given_up: u64,
    grant: Option<Grant>,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    session: u64,
    ticket: u64,
    from: u64,
    to: u64,
    /// From when on it surely was no more. Of one whose process ended before it could tell that is not known.
    over: u64,
}

/// A claim that was granted.
#[derive(Clone, Copy, Debug)]
struct Hold<'a> {
    claim: &'a Claim,
    grant: Grant,
}

/// Replays the journals.
#[must_use]
pub fn check(journals: &[(String, Vec<Line>)]) -> Findings {
    let mut findings = Findings::default();
    let claims = claims(journals, &mut findings);
    let mut holds: Vec<_> = claims
        .iter()
        .filter_map(|claim| claim.grant.map(|grant| Hold { claim, grant }))
        .collect();
    holds.sort_by_key(|h| h.grant.from);
    findings.grants = holds.len();
    findings.exclusive = holds.iter().filter(|h| h.claim.mode == Mode::Exclusive).count();
    findings.nested = holds.iter().filter(|h| !h.claim.ancestors.is_empty()).count();
    exclusion(&claims, &holds, &mut findings);
    order(&holds, &mut findings);
    findings
}

fn claims(journals: &[(String, Vec<Line>)], findings: &mut Findings) -> Vec<Claim> {
    let mut killed: HashMap<&str, u64> = HashMap::new();
    let mut worked_until: HashMap<u64, u64> = HashMap::new();
    for line in journals.iter().flat_map(|(_, lines)| lines) {
        match &line.note {
            // The first kill counts: by the second the process may long be gone.
            Note::Kills { actor } => {
                killed
                    .entry(actor)
                    .and_modify(|ns| *ns = (*ns).min(line.ns))
                    .or_insert(line.ns);
            }
            Note::Works { session } => {
                worked_until
                    .entry(*session)
                    .and_modify(|ns| *ns = (*ns).max(line.ns))
                    .or_insert(line.ns);
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    for (actor, lines) in journals {
        // One that died by its own hand says so; to kill it once more changes nothing.
        let died = lines
            .iter()
            .find(|line| line.note == Note::Dies)
            .map(|line| line.ns);
        let last = lines.last().map_or(0, |line| line.ns);
        let end = died.or(killed.get(actor.as_str()).copied()).unwrap_or(last);
        all.extend(claims_of(actor, lines, end, &worked_until, findings));
    }
    all
}

/// The claims of one process, which is known to have lived until `end`.
fn claims_of(
    actor: &str,
    lines: &[Line],
    end: u64,
    worked_until: &HashMap<u64, u64>,
    findings: &mut Findings,
) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    let mut let_go = Vec::new();
    for (nth, line) in lines.iter().enumerate() {
        match &line.note {
            Note::Asks {
                mode,
                ancestors,
                session,
                ..
            } => claims.push(Claim {
                actor: actor.to_owned(),
                mode: *mode,
                ancestors: ancestors.clone(),
                second: session.is_some(),
                asked: line.ns,
                given_up: end.max(line.ns),
                grant: None,
            }),
            Note::Granted {
                claim,
                session,
                ticket,
            } => {
                claims[*claim as usize - 1].grant = Some(Grant {
                    session: *session,
                    ticket: *ticket,
                    from: line.ns,
                    to: end.max(line.ns),
                    over: u64::MAX,
                });
            }
            Note::Refused { claim, error } => {
                findings.refusals += 1;
                claims[*claim as usize - 1].given_up = line.ns;
                let error = error.iter().map(|e| format!("{actor} was refused: {e}"));
                findings.violations.extend(error);
            }
            Note::LetsGo { claim } => {
                // Several claims may be let go of together, each noted before the first of them is.
                let mut later = lines[nth..].iter();
                let next = later.find(|line| !matches!(line.note, Note::LetsGo { .. }));
                let_go.push((
                    *claim as usize - 1,
                    line.ns,
                    next.map_or(u64::MAX, |line| line.ns),
                ));
            }
            Note::Works { .. } | Note::Kills { .. } | Note::Dies => {}
        }
    }
    for grant in claims.iter_mut().filter_map(|c| c.grant.as_mut()) {
        // A child that was lent the lock keeps a killed session alive.
        grant.to = grant
            .to
            .max(worked_until.get(&grant.session).copied().unwrap_or(0));
    }
    for (claim, to, over) in let_go {
        if let Some(grant) = &mut claims[claim].grant {
            (grant.to, grant.over) = (to, over);
        }
    }
    claims
}

/// No exclusive hold beside another, but for kin, and for shared holds that let an upgrade pass.
fn exclusion(claims: &[Claim], holds: &[Hold<'_>], findings: &mut Findings) {
    let upgrades: Vec<_> = claims.iter().filter(|c| c.may_upgrade()).collect();
    let mut exclusive_of: HashMap<u64, Vec<Hold<'_>>> = HashMap::new();
    for hold in holds.iter().filter(|h| h.claim.mode == Mode::Exclusive) {
        exclusive_of.entry(hold.grant.session).or_default().push(*hold);
    }
    let mut active: Vec<Hold<'_>> = Vec::new();
    for hold in holds {
        active.retain(|other| other.grant.to > hold.grant.from);
        for other in &active {
            if !hold.claim.mode.conflicts(other.claim.mode) || hold.is_kin_of(other) || other.is_kin_of(hold)
            {
                continue;
            }
            if hold.claim.mode != other.claim.mode && hold.was_let_pass(other, &upgrades, &exclusive_of) {
                findings.passed += 1;
            } else {
                findings
                    .violations
                    .push(format!("{} beside {}", hold.describe(), other.describe()));
            }
        }
        active.push(*hold);
    }
}

/// Among those nested in nothing, a later ticket is never served before an earlier one that conflicts.
fn order(holds: &[Hold<'_>], findings: &mut Findings) {
    let mut later: Option<Hold<'_>> = None;
    let mut later_exclusive: Option<Hold<'_>> = None;
    // From the last to the first: of those that were served later, the one with the lowest ticket.
    for hold in holds.iter().rev() {
        if hold.claim.second || !hold.claim.ancestors.is_empty() {
            continue;
        }
        let exclusive = hold.claim.mode == Mode::Exclusive;
        let passed = if exclusive { later } else { later_exclusive };
        if let Some(passed) = passed.filter(|p| p.grant.ticket < hold.grant.ticket) {
            findings
                .violations
                .push(format!("{} passed {}", hold.describe(), passed.describe()));
        }
        let lowest = |a: Option<Hold<'_>>| a.is_none_or(|a| hold.grant.ticket < a.grant.ticket);
        if lowest(later) {
            later = Some(*hold);
        }
        if exclusive && lowest(later_exclusive) {
            later_exclusive = Some(*hold);
        }
    }
}

impl Claim {
    /// Whether it may be an upgrade: on top of its own session's hold, or of an ancestor's.
    fn may_upgrade(&self) -> bool {
        self.mode == Mode::Exclusive && (self.second || !self.ancestors.is_empty())
    }
}

impl Hold<'_> {
    fn is_kin_of(&self, other: &Self) -> bool {
        self.grant.session == other.grant.session || self.claim.ancestors.contains(&other.grant.session)
    }

    /// Whether this exclusive hold, or one that covers it, is an upgrade that the shared hold `other` let pass: whose tree
    /// waited, when this was granted, for a later upgrade.
    fn was_let_pass(
        &self,
        other: &Self,
        upgrades: &[&Claim],
        exclusive_of: &HashMap<u64, Vec<Hold<'_>>>,
    ) -> bool {
        if !self.claim.may_upgrade() {
            return false;
        }
        let waited = |c: &&&Claim| {
            let in_tree = c.ancestors.contains(&other.grant.session)
                || c.actor == other.claim.actor && c.second
                || c.grant.is_some_and(|g| g.session == other.grant.session);
            let later = c.grant.is_none_or(|g| g.ticket > self.grant.ticket);
            let until = c.grant.map_or(c.given_up, |g| g.from);
            in_tree && later && c.asked < self.grant.from && until > self.claim.asked
        };
        if upgrades.iter().any(|c| waited(&c)) {
            return true;
        }
        // What a relative's exclusive hold passed is settled for those whom it covers: as long as it may have stood, for what
        // is noted of it ends before it does.
        let relatives = self.claim.ancestors.iter().chain([&self.grant.session]);
        relatives
            .filter_map(|session| exclusive_of.get(session))
            .flatten()
            .any(|cover| {
                cover.grant.ticket != self.grant.ticket
                    && cover.grant.from < self.grant.from
                    && cover.grant.over > self.claim.asked
                    && cover.was_let_pass(other, upgrades, exclusive_of)
            })
    }

    fn describe(&self) -> String {
        let Grant {
            session,
            ticket,
            from,
            to,
            over: _,
        } = self.grant;
        format!(
            "{} ({}, session {session} under {:?}, ticket {ticket}, asked {}, held {from} to {to})",
            self.claim.actor, self.claim.mode, self.claim.ancestors, self.claim.asked
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared};

    /// A process of one claim: asked, granted, let go.
    fn actor(name: &str, mode: Mode, ancestors: &[u64], ticket: u64, times: [u64; 3]) -> (String, Vec<Line>) {
        let notes = [
            Note::Asks {
                claim: 1,
                mode,
                ancestors: ancestors.to_vec(),
                session: None,
            },
            Note::Granted {
                claim: 1,
                session: ticket,
                ticket,
            },
            Note::LetsGo { claim: 1 },
        ];
        let lines = notes.into_iter().zip(times).map(|(note, ns)| Line { ns, note });
        (name.to_owned(), lines.collect())
    }

    fn kills(victim: &str, ns: u64) -> (String, Vec<Line>) {
        let note = Note::Kills {
            actor: victim.to_owned(),
        };
        ("director".to_owned(), vec![Line { ns, note }])
    }

    fn violations(journals: &[(String, Vec<Line>)]) -> usize {
        check(journals).violations.len()
    }

    #[test]
    fn holds_that_follow_each_other_are_fine() {
        let a = actor("a", Exclusive, &[], 1, [1, 2, 3]);
        let b = actor("b", Exclusive, &[], 2, [1, 4, 5]);
        assert_eq!(violations(&[a, b]), 0);
    }

    #[test]
    fn readers_may_overlap_and_mutators_may_not() {
        let reader = |name, ticket| actor(name, Shared, &[], ticket, [1, 2, 9]);
        assert_eq!(violations(&[reader("a", 1), reader("b", 2)]), 0);
        let mutator = actor("c", Exclusive, &[], 3, [1, 3, 4]);
        assert_eq!(violations(&[reader("a", 1), mutator]), 1);
    }

    #[test]
    fn a_child_may_write_beside_its_parent_but_not_beside_its_sibling() {
        let parent = actor("p", Exclusive, &[], 1, [1, 2, 9]);
        let first = actor("p.1", Exclusive, &[1], 2, [3, 4, 6]);
        let second = actor("p.2", Exclusive, &[1], 3, [3, 5, 7]);
        assert_eq!(violations(&[parent.clone(), first.clone()]), 0);
        assert_eq!(violations(&[parent, first, second]), 1);
    }

    #[test]
    fn being_passed_by_a_later_ticket_is_found() {
        let late = actor("late", Exclusive, &[], 2, [1, 2, 3]);
        let early = actor("early", Shared, &[], 1, [1, 4, 5]);
        assert_eq!(violations(&[late, early]), 1);
        let late = actor("late", Shared, &[], 2, [1, 2, 3]);
        let early = actor("early", Shared, &[], 1, [1, 4, 5]);
        assert_eq!(
            violations(&[late, early]),
            0,
            "readers do not stand in each other's way"
        );
    }

    #[test]
    fn a_killed_holder_held_until_it_was_killed() {
        let mut victim = actor("victim", Exclusive, &[], 1, [1, 2, 99]);
        victim.1.pop();
        let next = |from| actor("next", Exclusive, &[], 2, [1, from, 20]);
        assert_eq!(violations(&[victim.clone(), kills("victim", 10), next(11)]), 0);
        assert_eq!(violations(&[victim, kills("victim", 10), next(9)]), 1);
    }

    #[test]
    fn a_killed_holder_still_holds_while_a_child_that_was_lent_its_lock_works() {
        let mut victim = actor("victim", Exclusive, &[], 1, [1, 2, 99]);
        victim.1.pop();
        let note = Note::Works { session: 1 };
        let worker = ("victim.1".to_owned(), vec![Line { ns: 15, note }]);
        let next = actor("next", Exclusive, &[], 2, [1, 12, 20]);
        assert_eq!(violations(&[victim, worker, kills("victim", 10), next]), 1);
    }

    #[test]
    fn an_upgrade_passes_a_shared_hold_only_while_its_tree_waits_for_a_later_one() {
        let left = actor("left", Shared, &[], 1, [1, 2, 50]);
        let right = actor("right", Shared, &[], 2, [1, 2, 60]);
        let left_child = actor("left.1", Exclusive, &[1], 3, [3, 10, 20]);
        let right_child = actor("right.1", Exclusive, &[2], 4, [4, 52, 55]);
        let all = [left.clone(), right.clone(), left_child.clone(), right_child];
        assert_eq!((check(&all).violations.len(), check(&all).passed), (0, 1));
        let too_late = actor("right.1", Exclusive, &[2], 4, [12, 52, 55]);
        assert_eq!(violations(&[left, right, left_child, too_late]), 1);
    }

    #[test]
    fn a_mutator_covers_its_children_until_it_has_surely_let_go() {
        let right = actor("right", Shared, &[], 2, [1, 2, 60]);
        let mut right_child = actor("right.1", Exclusive, &[2], 5, [4, 15, 0]);
        right_child.1.truncate(1);
        let error = None;
        right_child.1.push(Line {
            ns: 15,
            note: Note::Refused { claim: 1, error },
        });
        let left = actor("left", Shared, &[], 1, [1, 2, 50]);
        let grandchild = actor("left.1.1", Exclusive, &[1, 3], 4, [21, 22, 23]);
        let with_next_note_at = |ns| {
            let mut cover = actor("left.1", Exclusive, &[1], 3, [3, 10, 20]);
            cover.1.push(Line { ns, note: Note::Dies });
            violations(&[
                left.clone(),
                right.clone(),
                right_child.clone(),
                cover,
                grandchild.clone(),
            ])
        };
        assert_eq!(
            with_next_note_at(30),
            0,
            "it may have let go after its child had asked"
        );
        assert_eq!(with_next_note_at(21), 1, "it let go before");
    }

    #[test]
    fn a_refusal_other_than_a_timeout_is_found() {
        let mut refused = actor("a", Shared, &[], 1, [1, 2, 3]);
        let error = Some("disk on fire".to_owned());
        refused.1.truncate(1);
        refused.1.push(Line {
            ns: 2,
            note: Note::Refused { claim: 1, error },
        });
        assert_eq!(violations(&[refused]), 1);
    }
}
