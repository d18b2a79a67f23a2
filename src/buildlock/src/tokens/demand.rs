//! Demand: what the children of one build could use, read off how their private jobserver behaves.
//!
//! A jobserver cannot be asked how many wait for it. What can be seen is how many tokens lie in it. None: the children took
//! all that there was, and probably want more. Some, for a while: nobody wants those. So a token is lent for trial, twice as
//! many after each trial that succeeded, and what was never touched goes back. After a failed trial the next one comes the
//! later, the longer the children have been doing without: a build that only waits for another's lock is seldom bothered.
//!
//! No I/O, and no clock but the one that is handed in.

use std::time::{Duration, Instant};

/// How long a token may lie untouched before it goes back to the pool.
const PATIENCE: Duration = Duration::from_millis(100);

/// The same for a token that others wait for, or that was lent for trial: what a child needs to wake up and take it.
const PATIENCE_IN_SHORT: Duration = Duration::from_millis(10);

/// The most that is made of the machine's being busy.
const LAG_MAX: Duration = Duration::from_millis(100);

/// Children that moved a token this recently are at work: as long as nobody else wants it, one spare stays with them.
const AT_WORK: Duration = Duration::from_millis(300);

/// After a trial that failed, the next one waits for this part of the time since the children last took a token; or, where
/// others want it, twice as long after each that failed.
const REST_PART: u32 = 20;
const REST_MIN: Duration = Duration::from_millis(25);
const REST_MAX: Duration = Duration::from_secs(2);
const REST_MAX_CONTESTED: Duration = Duration::from_millis(500);

/// The most tokens that are lent at once.
const STEP_MAX: u32 = 64;

/// What was seen of the children's demand so far.
#[derive(Debug)]
pub(super) struct Demand {
    /// The fewest tokens seen lying since `since`, when it was last none, or when the last that lay too long were found.
    low: u32,
    since: Instant,
    lying: u32,
    /// How many more to lend when all are taken.
    step: u32,
    /// Whether tokens were lent since all were last seen taken.
    lent: bool,
    /// Whether the children have taken a token since the last trial that failed.
    proven: bool,
    /// When the children last took or returned a token.
    active: Instant,
    /// No trial before this.
    rest_until: Instant,
    /// How long to rest after a failed trial while others want what it costs.
    rest: Duration,
    /// How late whoever sleeps is woken on this machine just now: children that wait for a token, too.
    lag: Duration,
}

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            low: 0,
            since: now,
            lying: 0,
            step: 1,
            lent: false,
            proven: true,
            active: now,
            rest_until: now,
            rest: REST_MIN,
            lag: Duration::ZERO,
        }
    }

    /// Notes how much later than asked the broker itself was woken. What counts is the worst of late.
    pub(super) fn woken_late(&mut self, lag: Duration) {
        self.lag = lag.max(self.lag - self.lag / 4).min(LAG_MAX);
    }

    /// How long a child that wants a token may take to get it.
    fn short_patience(&self) -> Duration {
        PATIENCE_IN_SHORT + self.lag * 2
    }

    /// Notes that `lying` tokens are seen, and whether children took or returned some since the last look.
    pub(super) fn observe(&mut self, now: Instant, lying: u32, moved: bool) {
        self.lying = lying;
        if moved {
            self.active = now;
            self.proven = true;
        }
        if lying > 0 {
            self.low = self.low.min(lying);
            return;
        }
        (self.low, self.since) = (u32::MAX, now);
        if std::mem::take(&mut self.lent) {
            self.step = (self.step * 2).min(STEP_MAX);
            self.rest = REST_MIN;
        }
    }

    /// How many more tokens to lend, if they can be had.
    pub(super) fn wants(&self, now: Instant) -> u32 {
        if self.lying == 0 && now >= self.rest_until {
            self.step
        } else {
            0
        }
    }

    /// Notes that tokens were lent, or put back, and lie in the jobserver from now on.
    pub(super) fn put(&mut self, now: Instant, count: u32, lent: Lent) {
        if self.lying == 0 {
            (self.low, self.since) = (u32::MAX, now);
        }
        self.lying += count;
        self.lent |= lent == Lent::Anew;
    }

    /// How many tokens have lain untouched for too long. They must then be taken away: the next answer comes later.
    pub(super) fn unused(&mut self, now: Instant, others: Others) -> u32 {
        let idle = now.duration_since(self.active);
        let (patience, kept) = match others {
            Others::Wait => (self.short_patience(), 0),
            Others::DoNot if !self.proven => (self.short_patience(), 0),
            Others::DoNot if idle < AT_WORK => (PATIENCE, 1),
            Others::DoNot => (PATIENCE, 0),
        };
        if self.lying == 0 || now.duration_since(self.since) < patience {
            return 0;
        }
        let unused = self.low.min(self.lying).saturating_sub(kept);
        (self.low, self.since) = (u32::MAX, now);
        if unused == 0 {
            return 0;
        }
        self.step = 1;
        self.lent = false;
        if kept == 0 {
            self.proven = false;
            let rest = match others {
                Others::Wait => self.rest,
                Others::DoNot => (idle / REST_PART).clamp(REST_MIN, REST_MAX),
            };
            self.rest = (self.rest * 2).min(REST_MAX_CONTESTED);
            self.rest_until = now + rest;
        }
        unused
    }

    /// How many of the tokens that lie there may still be about to be taken.
    pub(super) fn fresh(&self, now: Instant) -> u32 {
        if now.duration_since(self.since) < self.short_patience() {
            self.lying
        } else {
            0
        }
    }

    /// When something may change although the children do nothing.
    pub(super) fn next_trial(&self) -> Instant {
        self.rest_until
    }
}

/// Where tokens come from that are put into the private jobserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lent {
    /// From the pool.
    Anew,
    /// From the children themselves.
    Again,
}

/// Whether another session of the pool wants tokens that are not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    Wait,
    DoNot,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(5);

    #[test]
    fn hungry_children_are_lent_twice_as_many_each_time() {
        let mut now = Instant::now();
        let mut demand = Demand::new(now);
        let mut lent = Vec::new();
        for _ in 0..4 {
            demand.observe(now, 0, true);
            let more = demand.wants(now);
            lent.push(more);
            demand.put(now, more, Lent::Anew);
            now += TICK;
        }
        assert_eq!(lent, [1, 2, 4, 8]);
    }

    #[test]
    fn tokens_that_nobody_touches_go_back_and_the_next_trial_waits() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        demand.observe(start, 0, false);
        demand.put(start, 3, Lent::Anew);
        demand.observe(start + TICK, 2, true);
        demand.observe(start + TICK * 2, 3, true);
        assert_eq!(demand.unused(start + TICK * 2, Others::DoNot), 0);
        let late = start + PATIENCE;
        demand.observe(late, 3, false);
        assert_eq!(
            demand.unused(late, Others::DoNot),
            1,
            "one was in use meanwhile, and one spare stays"
        );
        let late = start + AT_WORK + PATIENCE;
        demand.observe(late, 2, false);
        assert_eq!(demand.unused(late, Others::DoNot), 2, "nothing moves");
        demand.observe(late, 0, false);
        assert_eq!(demand.wants(late), 0);
        assert_eq!(demand.wants(late + REST_MIN), 1);
    }

    #[test]
    fn a_token_that_others_wait_for_is_not_kept_for_long() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        demand.observe(start, 0, false);
        demand.put(start, 1, Lent::Anew);
        demand.observe(start, 1, false);
        assert_eq!((demand.unused(start, Others::Wait), demand.fresh(start)), (0, 1));
        let later = start + PATIENCE_IN_SHORT;
        assert_eq!(demand.fresh(later), 0);
        assert_eq!(demand.unused(later, Others::DoNot), 0);
        assert_eq!(demand.unused(later, Others::Wait), 1);
    }

    #[test]
    fn on_a_busy_machine_children_are_given_more_time() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        demand.woken_late(Duration::from_millis(30));
        demand.woken_late(Duration::ZERO);
        demand.observe(start, 0, false);
        demand.put(start, 1, Lent::Anew);
        demand.observe(start, 1, false);
        assert_eq!(demand.unused(start + PATIENCE_IN_SHORT, Others::Wait), 0);
        assert_eq!(
            demand.unused(
                start + PATIENCE_IN_SHORT + Duration::from_millis(45),
                Others::Wait
            ),
            1
        );
    }

    #[test]
    fn children_that_start_nothing_are_bothered_ever_more_seldom_and_briefly() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        let (mut now, mut lying, mut trials, mut lain) = (start, 0, Vec::new(), Duration::ZERO);
        while now < start + Duration::from_secs(60) {
            demand.observe(now, lying, false);
            let wants = demand.wants(now);
            if wants > 0 {
                trials.push(now);
                demand.put(now, wants, Lent::Anew);
                lying += wants;
            }
            lying -= demand.unused(now, Others::DoNot);
            if lying > 0 {
                lain += TICK;
            }
            now += TICK;
        }
        // The first is the one that build and children start with: it lies for longer.
        let gaps: Vec<_> = trials[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1] + TICK), "{gaps:?}");
        assert!(gaps.last().unwrap() >= &REST_MAX);
        assert!(
            lain < Duration::from_secs(3),
            "spares lay there for {lain:?} of a minute"
        );
    }
}
