//! How long a model's answers take: what is usual, and what is slow.

use std::time::Duration;

/// The newest so many count for [`Latencies::p95`].
const KEPT: usize = 256;

/// From so many on there is a 95th percentile worth acting on.
const ENOUGH: usize = 50;

/// Weights of a new one in what is usual, and in what is now.
const USUAL: f64 = 1.0 / 256.0;
const NOW: f64 = 1.0 / 16.0;

/// Answers are slow when they take so many times as long as usual, and no longer slow at so many times.
const SLOW: f64 = 3.0;
const QUICK: f64 = 1.5;

/// How answers now compare with what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slowness {
    /// As usual.
    Little,
    /// Between the two.
    Some,
    /// Much slower.
    Much,
}

/// The latencies of one model.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// The newest, in milliseconds; the oldest is at `next` once there are [`KEPT`].
    newest: Vec<u32>,
    next: usize,
    usual: f64,
    now: f64,
}

impl Latencies {
    /// Notes one. While calls are `held` back, what is usual stays: it is what the model shall come back to.
    pub(super) fn note(&mut self, time: Duration, held: bool) -> Slowness {
        let millis = time.as_secs_f64() * 1000.0;
        if self.newest.is_empty() {
            (self.usual, self.now) = (millis, millis);
        }
        self.keep(time);
        self.now += (millis - self.now) * NOW;
        if self.newest.len() < ENOUGH {
            // A plain mean at first.
            self.usual += (millis - self.usual) / self.newest.len() as f64;
            return Slowness::Little;
        }
        let slowness = match self.now / self.usual.max(1.0) {
            times if times >= SLOW => Slowness::Much,
            times if times <= QUICK => Slowness::Little,
            _ => Slowness::Some,
        };
        // What is slow becomes usual very slowly: a model that was replaced by a slower one is not held back for ever.
        let weight = if held || slowness == Slowness::Much { USUAL / 8.0 } else { USUAL };
        self.usual += (millis - self.usual) * weight;
        slowness
    }

    /// Notes that a call had taken so long when it was given up because another one was quicker.
    pub(super) fn at_least(&mut self, time: Duration) {
        self.keep(time);
    }

    /// The time that 95 of 100 answers take at most; `None` while too few are known.
    pub(super) fn p95(&self) -> Option<Duration> {
        if self.newest.len() < ENOUGH {
            return None;
        }
        let mut sorted = self.newest.clone();
        let place = sorted.len() * 95 / 100;
        let (_, p95, _) = sorted.select_nth_unstable(place);
        Some(Duration::from_millis((*p95).into()))
    }

    /// What an answer usually takes; zero while nothing is known.
    pub(super) fn usual(&self) -> Duration {
        Duration::from_secs_f64(self.usual / 1000.0)
    }

    fn keep(&mut self, time: Duration) {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        if self.newest.len() < KEPT {
            self.newest.push(millis);
        } else {
            self.newest[self.next] = millis;
        }
        self.next = (self.next + 1) % KEPT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_is_of_the_newest_and_needs_enough_of_them() {
        let mut latencies = Latencies::default();
        for number in 1..=49 {
            latencies.note(Duration::from_millis(number), false);
        }
        assert_eq!(latencies.p95(), None);
        for number in 50..=100 {
            latencies.note(Duration::from_millis(number), false);
        }
        assert_eq!(latencies.p95(), Some(Duration::from_millis(96)));
        for _ in 0..KEPT {
            latencies.at_least(Duration::from_millis(7));
        }
        assert_eq!(latencies.p95(), Some(Duration::from_millis(7)));
    }

    #[test]
    fn chance_is_not_slowness_and_three_times_the_usual_is() {
        let mut latencies = Latencies::default();
        let mut worst = Slowness::Little;
        // Between a third and a little more than twice of 600, in a fixed disorder.
        for number in 0..5_000_u64 {
            let time = Duration::from_millis(200 + number * 7_919 % 1_200);
            if latencies.note(time, false) == Slowness::Much {
                worst = Slowness::Much;
            }
        }
        assert_ne!(worst, Slowness::Much);
        let slow = (0..60).map(|_| latencies.note(Duration::from_secs(4), false)).position(|s| s == Slowness::Much);
        assert!(slow.is_some_and(|calls| calls < 20), "{slow:?}");
    }
}
