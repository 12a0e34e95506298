//! How fast and how many at once a model may be asked, found out by asking. Pure; the clock is an argument.
//!
//! Nothing is held back until the gateway gives a sign. A 429 sets a *pace*: calls leave evenly, at first as fast as the
//! gateway has just answered, a little slower after every further 429, a little faster with every second without one; after
//! half a minute without any there is no pace again. A pace and not only a number of calls at once, because gateways limit requests for a
//! time, and because at 50 ms and 100 requests a second the sixth call at once is already a fifth too many. Answers that take
//! much longer than usual set a *window*: so many calls at once, fewer while it lasts, more with every quick answer.

use std::time::Duration;

use tokio::time::Instant;

use super::latency::{Latencies, Slowness};

/// What a 429 leaves of the pace.
const AFTER_429: f64 = 0.92;

/// By this part of the time between two calls the next one leaves later after a 429.
const OUT_OF_STEP: f64 = 0.4;

/// The slowest pace, in calls a second: the waits between the tries of each call go on below that.
const SLOWEST: f64 = 2.0;

/// What a second adds to the pace for [`GENTLE`] after a 429, while the limit is probably near. Later it is ever more, with
/// the square of the time, as the limit is probably another one.
const GENTLY: f64 = 0.01;
const GENTLE: Duration = Duration::from_secs(5);

/// What a second adds while no limit was found yet.
const LEARNING: f64 = 1.0;

/// After so long without a 429 there is no pace.
const QUIET: Duration = Duration::from_secs(30);

/// A call may leave so much earlier than the pace says, if those before it left late: timers are not exact.
const CREDIT: Duration = Duration::from_millis(50);

/// What a round of slow answers leaves of the window, and the least that is left.
const AFTER_SLOW: f64 = 0.8;
const NARROWEST: f64 = 4.0;

/// When a call may leave that may not leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// Then.
    At(Instant),
    /// When another one has ended.
    Slot,
}

/// How a call ended, as far as it tells how busy the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was answered, or its time ran out.
    Took(Duration),
    /// It was refused for being one too many.
    Limited,
    /// It tells nothing.
    Nothing,
}

/// What is known of one model.
#[derive(Debug, Default)]
pub(super) struct Adaptive {
    pace: Option<Pace>,
    window: Option<Window>,
    in_flight: u32,
    answered: Answered,
    /// How long its answers take.
    pub(super) latencies: Latencies,
}

#[derive(Debug)]
struct Pace {
    /// Calls a second, as of `changed`.
    rate: f64,
    changed: Instant,
    /// When it was last lowered: what left before that tells nothing new.
    lowered: Instant,
    /// No call leaves before this.
    next: Instant,
    /// True while the rate is a guess: nothing had been answered when it was set.
    learning: bool,
}

#[derive(Debug)]
struct Window {
    most: f64,
    lowered: Instant,
}

impl Adaptive {
    /// True while calls are held back.
    pub(super) fn narrowed(&mut self, now: Instant) -> bool {
        self.pace.take_if(|pace| now.saturating_duration_since(pace.lowered) >= QUIET);
        self.pace.is_some() || self.window.is_some()
    }

    /// Counts a call that leaves whatever the pace is; it must come back by [`Adaptive::end`].
    pub(super) fn pass(&mut self) {
        self.in_flight += 1;
    }

    /// Calls a second that may leave; `None` for any number.
    #[cfg(test)]
    fn rate(&self) -> Option<f64> {
        self.pace.as_ref().map(|pace| pace.rate)
    }

    /// Takes leave for a call; it must come back by [`Adaptive::end`].
    ///
    /// # Errors
    /// [`Later`], while calls are held back.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Later> {
        self.pace.take_if(|pace| now.saturating_duration_since(pace.lowered) >= QUIET);
        if self.window.as_ref().is_some_and(|window| f64::from(self.in_flight) >= window.most.floor()) {
            return Err(Later::Slot);
        }
        if let Some(pace) = &mut self.pace {
            pace.grow(now);
            if now < pace.next {
                return Err(Later::At(pace.next));
            }
            let earliest = now.checked_sub(CREDIT).unwrap_or(now);
            pace.next = pace.next.max(earliest) + Duration::from_secs_f64(1.0 / pace.rate);
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Tells how a call ended that left at `left`; true when that narrowed what may leave.
    pub(super) fn end(&mut self, left: Instant, ending: Ending, now: Instant) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        match ending {
            Ending::Nothing => false,
            Ending::Limited => self.limited(left, now),
            Ending::Took(time) => {
                self.answered.note(now);
                let slowness = self.latencies.note(time, self.window.is_some());
                self.judge(slowness, left, now)
            }
        }
    }

    /// Besides, the next call leaves a little later than it would have: two workers that leave in step would be refused in
    /// step for ever.
    fn limited(&mut self, left: Instant, now: Instant) -> bool {
        let answered = self.answered.a_second(now);
        let Some(pace) = &mut self.pace else {
            let (rate, learning) = (answered.max(SLOWEST), answered < SLOWEST);
            self.pace = Some(Pace { rate, changed: now, lowered: now, next: now, learning });
            return true;
        };
        if left < pace.lowered {
            return false;
        }
        pace.grow(now);
        // Much too fast is not worth many steps. One more for the call that is just under way.
        let rate = (pace.rate * AFTER_429).min((answered + 1.0).max(pace.rate / 2.0));
        (pace.rate, pace.lowered, pace.learning) = (rate.max(SLOWEST), now, false);
        pace.next += Duration::from_secs_f64(OUT_OF_STEP / pace.rate);
        true
    }

    fn judge(&mut self, slowness: Slowness, left: Instant, now: Instant) -> bool {
        match (&mut self.window, slowness) {
            (None, Slowness::Much) => {
                let most = (f64::from(self.in_flight + 1) * AFTER_SLOW).max(NARROWEST);
                self.window = Some(Window { most, lowered: now });
                true
            }
            (Some(window), Slowness::Much) if left >= window.lowered => {
                (window.most, window.lowered) = ((window.most * AFTER_SLOW).max(NARROWEST), now);
                true
            }
            (Some(window), Slowness::Little) => {
                window.most += 1.0 / window.most;
                // Wide enough not to hold back anybody: what is under way does not fill half of it.
                if f64::from(self.in_flight + 1) * 2.0 < window.most {
                    self.window = None;
                }
                false
            }
            _ => false,
        }
    }
}

impl Pace {
    /// Catches up with the time.
    fn grow(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.lowered).saturating_sub(GENTLE).as_secs_f64();
        let share = if self.learning { LEARNING } else { GENTLY * (1.0 + late * late) };
        // Who asks seldom learns seldom: no single step more than doubles.
        self.rate *= 1.0 + (share * now.saturating_duration_since(self.changed).as_secs_f64()).min(1.0);
        self.changed = now;
    }
}

/// Counts answers: how many in the last second.
#[derive(Debug, Default)]
struct Answered {
    since: Option<Instant>,
    before: f64,
    current: f64,
}

impl Answered {
    fn note(&mut self, now: Instant) {
        self.turn(now);
        self.current += 1.0;
    }

    /// The part of the second before that is less than a second ago counts in proportion.
    fn a_second(&mut self, now: Instant) -> f64 {
        let passed = self.turn(now);
        self.before * (1.0 - passed) + self.current
    }

    /// Begins a new second when the current one is over; how much of it has passed.
    fn turn(&mut self, now: Instant) -> f64 {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_secs_f64();
        if passed < 1.0 {
            return passed;
        }
        self.before = if passed < 2.0 { self.current } else { 0.0 };
        self.current = 0.0;
        let rest = if passed < 2.0 { passed - 1.0 } else { 0.0 };
        self.since = Some(now.checked_sub(Duration::from_secs_f64(rest)).unwrap_or(now));
        rest
    }
}

#[cfg(test)]
mod tests;
