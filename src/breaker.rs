//! A circuit breaker: stops asking what keeps failing, and lets one caller probe whether it works again. Pure; the clock is
//! an argument, and who waits and how is the caller's business.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::metrics::labels::Circuit;

/// This many failures with no success between them open it.
const FAILURES_IN_A_ROW: u32 = 5;

/// More failures than successes among the calls of [`WINDOW`] open it, from this many calls on.
const CALLS_TO_JUDGE: usize = 5;

/// How long a call counts.
const WINDOW: Duration = Duration::from_secs(60);

/// At most the newest so many calls count.
const CALLS_KEPT: usize = 128;

/// This many refusals with no success between them open it for [`REFUSED`] at once. A wrong key refuses every call; a
/// single refusal can also come from one bad deployment behind a balancing gateway and must not stop the others.
const REFUSALS_IN_A_ROW: u32 = 3;

/// How long it stays open after failures the first time; a failed probe doubles it.
const SHORTEST: Duration = Duration::from_secs(5);

/// And at most: an upstream that comes back is asked again within this time. One probe in it costs nothing.
const LONGEST: Duration = Duration::from_secs(10);

/// How long it stays open after refusals: somebody has to act before anything changes.
const REFUSED: Duration = Duration::from_secs(60);

/// How a call ended, as far as it tells about the other side's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It works, whatever it answered.
    Success,
    /// It is down, overloaded or talks nonsense: this heals by itself.
    Failure,
    /// It does not serve us (key, money, unknown model): this needs somebody to act.
    Refusal,
}

/// Permission for one call. It must come back by [`Breaker::report`] or [`Breaker::release`].
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    generation: u64,
}

/// No call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// None before this moment.
    Until(Instant),
    /// Another caller is probing.
    Probing,
}

/// The state of one upstream.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Counts state changes: a call that began before the last one tells nothing new.
    generation: u64,
    /// True for a failure; the oldest first.
    calls: VecDeque<(Instant, bool)>,
    failures_in_a_row: u32,
    refusals_in_a_row: u32,
    next_pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            generation: 0,
            calls: VecDeque::new(),
            failures_in_a_row: 0,
            refusals_in_a_row: 0,
            next_pause: SHORTEST,
        }
    }
}

impl Breaker {
    /// The state as of the last call of [`Breaker::admit`], [`Breaker::report`] or [`Breaker::release`].
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        match self.state {
            State::Closed => Circuit::Closed,
            State::Open { .. } => Circuit::Open,
            State::Probing => Circuit::HalfOpen,
        }
    }

    /// Asks for a call.
    ///
    /// # Errors
    /// [`Held`], while it is open or probed.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Held> {
        match self.state {
            State::Closed => {}
            State::Open { until } if now < until => return Err(Held::Until(until)),
            State::Open { .. } => self.enter(State::Probing),
            State::Probing => return Err(Held::Probing),
        }
        Ok(Permit { generation: self.generation })
    }

    /// Tells how a call ended; true when that changed what [`Breaker::admit`] answers.
    pub fn report(&mut self, permit: Permit, report: Report, now: Instant) -> bool {
        if permit.generation != self.generation {
            return false;
        }
        match (self.state, report) {
            (State::Closed, Report::Success) => {
                self.remember(now, false);
                self.failures_in_a_row = 0;
                self.refusals_in_a_row = 0;
                return false;
            }
            (State::Closed, failed) => return self.fail(failed, now),
            (_, Report::Success) => {
                *self = Self { generation: self.generation, ..Self::default() };
                self.enter(State::Closed);
            }
            (_, Report::Refusal) => self.open(REFUSED, now),
            (_, Report::Failure) => self.open(self.next_pause, now),
        }
        true
    }

    /// Gives back a permit whose call told nothing (it was abandoned); true when that lets another one probe.
    pub fn release(&mut self, permit: Permit, now: Instant) -> bool {
        let probing = permit.generation == self.generation && self.state == State::Probing;
        if probing {
            self.enter(State::Open { until: now });
        }
        probing
    }

    fn fail(&mut self, report: Report, now: Instant) -> bool {
        self.remember(now, true);
        self.failures_in_a_row += 1;
        self.refusals_in_a_row += u32::from(report == Report::Refusal);
        if self.refusals_in_a_row >= REFUSALS_IN_A_ROW {
            self.open(REFUSED, now);
        } else if self.failures_in_a_row >= FAILURES_IN_A_ROW || self.mostly_fails() {
            self.open(self.next_pause, now);
        } else {
            return false;
        }
        true
    }

    fn remember(&mut self, now: Instant, failed: bool) {
        let old = |&(at, _): &(Instant, bool)| now.saturating_duration_since(at) > WINDOW;
        while self.calls.len() >= CALLS_KEPT || self.calls.front().is_some_and(old) {
            self.calls.pop_front();
        }
        self.calls.push_back((now, failed));
    }

    fn mostly_fails(&self) -> bool {
        let failed = self.calls.iter().filter(|(_, failed)| *failed).count();
        self.calls.len() >= CALLS_TO_JUDGE && failed * 2 > self.calls.len()
    }

    fn open(&mut self, pause: Duration, now: Instant) {
        self.next_pause = (pause * 2).min(LONGEST);
        self.enter(State::Open { until: now + pause });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step of a story: seconds since its beginning, and what is done then.
    enum Step {
        /// A call that is let through and ends so.
        Call(u64, Report),
        /// A call that is held until this second.
        Held(u64, u64),
    }

    fn tell(title: &str, steps: &[Step]) {
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        let mut breaker = Breaker::default();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Call(second, report) => {
                    let permit = breaker.admit(at(second)).unwrap_or_else(|held| panic!("{title}, {number}: {held:?}"));
                    breaker.report(permit, report, at(second));
                }
                Step::Held(second, until) => {
                    let held = breaker.admit(at(second)).unwrap_err();
                    assert_eq!(held, Held::Until(at(until)), "{title}, step {number}");
                }
            }
        }
    }

    #[test]
    fn it_opens_and_closes_by_these_stories() {
        use Report::{Failure as F, Refusal as R, Success as S};
        use Step::{Call, Held};
        let calls = |second, reports: &[Report]| -> Vec<Step> { reports.iter().map(|&r| Call(second, r)).collect() };
        let story = |title: &str, begin: Vec<Step>, end: Vec<Step>| {
            tell(title, &begin.into_iter().chain(end).collect::<Vec<_>>());
        };
        story("four failures are borne", calls(0, &[F, F, F, F]), calls(1, &[S]));
        story("a fifth is not", calls(0, &[F, F, F, F, F]), vec![Held(1, 5), Held(4, 5), Call(5, S), Call(5, S)]);
        story("a success between starts the count anew", calls(0, &[S, S, S, S, S, F, F, F, F, S, F]), calls(1, &[S]));
        story("more than half of five fail", calls(0, &[F, S, F, S, F]), vec![Held(1, 5)]);
        story("half of six is not more than half", calls(0, &[S, F, S, F, S, F]), calls(1, &[S]));
        story("what is a minute old does not count", calls(0, &[F, F, F, S]), calls(61, &[F, S, F, S]));
        story(
            "three refusals open it for a minute",
            calls(0, &[R, R, R]),
            vec![Held(1, 60), Held(59, 60), Call(60, S)],
        );
        story("a success between makes refusals harmless", calls(0, &[S, S, R, R, S, S, R, R]), calls(1, &[S]));
        let probes = vec![Call(5, F), Held(14, 15), Call(15, F), Held(24, 25), Call(25, F), Held(34, 35), Call(35, F)];
        story("failed probes double the pause", calls(0, &[F, F, F, F, F]), probes);
        let later = vec![Call(5, F), Call(15, F), Call(25, F), Call(35, F), Held(44, 45), Call(45, F), Held(54, 55)];
        story("up to ten seconds", calls(0, &[F, F, F, F, F]), later);
        let healed = vec![
            Call(5, F),
            Call(15, S),
            Call(16, F),
            Call(16, F),
            Call(16, F),
            Call(16, F),
            Call(16, F),
            Held(17, 21),
        ];
        story("a successful probe forgets everything", calls(0, &[F, F, F, F, F]), healed);
        story("a refused probe waits a minute", calls(0, &[F, F, F, F, F]), vec![Call(5, R), Held(6, 65)]);
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            let permit = breaker.admit(now).unwrap();
            breaker.report(permit, Report::Failure, now);
        }
        breaker
    }

    #[test]
    fn one_caller_probes_and_an_abandoned_probe_makes_room_for_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SHORTEST;
        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.admit(later).unwrap_err(), Held::Probing);
        assert!(breaker.release(probe, later));
        assert!(breaker.admit(later).is_ok());
        assert!(!breaker.release(probe, later), "a permit counts once");
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let early = breaker.admit(now).unwrap();
        for _ in 0..5 {
            let permit = breaker.admit(now).unwrap();
            breaker.report(permit, Report::Failure, now);
        }
        assert!(!breaker.report(early, Report::Success, now));
        assert_eq!(breaker.admit(now).unwrap_err(), Held::Until(now + SHORTEST));
    }
}
