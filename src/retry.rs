//! How long to wait before the next try, and how many tries may be repeats.

use std::time::{Duration, Instant};

/// Exponential back-off with full jitter and a cap.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Upper bound of the wait before the second try.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
    /// Tries in all, the first included.
    pub attempts: u32,
}

impl RetryPolicy {
    /// The wait after failed try number `attempt` (from 1), or `None` when that was the last one.
    ///
    /// `jitter` is a number in 0..1 that the caller drew; `asked` is what the other side asked for (`Retry-After`):
    /// the wait is never shorter than that.
    #[must_use]
    pub fn delay(&self, attempt: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let ceiling = self.base.saturating_mul(1 << (attempt.saturating_sub(1)).min(16)).min(self.cap);
        let own = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
        Some(asked.map_or(own, |asked| asked.max(own)))
    }
}

/// What one call earns in repeats: of many calls, no more than one in five is a repeat.
const EARNED: f64 = 0.2;
/// What a second earns, so that a quiet caller can repeat its rare calls.
const EARNED_A_SECOND: f64 = 0.5;
/// Most repeats that can be saved up.
const SAVED: f64 = 20.0;

/// A limit for repeats as a share of the calls: an upstream that fails for all its callers must not get a multiple of
/// its load from their retries. Pure; the clock is an argument.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    saved: f64,
    at: Option<Instant>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { saved: SAVED, at: None }
    }
}

impl RetryBudget {
    /// Notes a call.
    pub fn earn(&mut self) {
        self.saved = (self.saved + EARNED).min(SAVED);
    }

    /// Takes one repeat; false when there is none.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.saved = (self.saved + EARNED_A_SECOND * since.as_secs_f64()).min(SAVED);
        let allowed = self.saved >= 1.0;
        if allowed {
            self.saved -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repeats that are allowed when each of `calls` calls, so far apart, wants one.
    fn repeats(calls: u32, apart: Duration) -> u32 {
        let (mut budget, start) = (RetryBudget::default(), Instant::now());
        let wanted = (1..=calls).filter(|&call| {
            budget.earn();
            budget.withdraw(start + apart * call)
        });
        u32::try_from(wanted.count()).unwrap()
    }

    #[test]
    fn repeats_are_a_share_of_many_calls_and_free_for_a_few() {
        assert_eq!(repeats(20, Duration::ZERO), 20, "what was saved up");
        let at_once = repeats(1_020, Duration::ZERO);
        assert!((200..=230).contains(&at_once), "{at_once}");
        assert_eq!(repeats(1_000, Duration::from_secs(2)), 1_000, "a quiet caller repeats what it likes");
    }

    #[test]
    fn waits_double_up_to_the_cap_obey_the_other_side_and_end() {
        let policy = RetryPolicy { base: Duration::from_secs(1), cap: Duration::from_secs(16), attempts: 8 };
        let second = Duration::from_secs;
        for (attempt, asked, jitter, expected) in [
            (1, None, 1.0, Some(second(1))),
            (2, None, 1.0, Some(second(2))),
            (2, None, 0.5, Some(second(1))),
            (3, None, 0.0, Some(Duration::ZERO)),
            (6, None, 1.0, Some(second(16))),
            (7, None, 1.0, Some(second(16))),
            (1, Some(second(30)), 1.0, Some(second(30))),
            (5, Some(second(3)), 1.0, Some(second(16))),
            (8, None, 1.0, None),
            (9, Some(second(1)), 1.0, None),
        ] {
            assert_eq!(policy.delay(attempt, asked, jitter), expected, "try {attempt}, asked {asked:?}");
        }
    }
}
