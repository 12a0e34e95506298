//! How long to wait before the next try.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
