//! How many signed requests of a profile are taken in a time. Off unless it is set.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use serde::Deserialize;

/// `[profiles.NAME.webhook.rate]`: the limit of one ingress process; several processes take as many times more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
pub struct RateConfig {
    /// Requests per second in the long run.
    #[schemars(extend("x-unit" = "requests a second"))]
    pub per_second: NonZeroU32,
    /// Requests at once, after a pause; as many as `per_second`, if not set.
    #[serde(default)]
    #[schemars(extend("x-unit" = "requests"))]
    pub burst: Option<NonZeroU32>,
}

/// A leaky bucket (GCRA) that only holders of the secret can fill: it is asked after the signature, so that a stranger
/// cannot use up a bot's rate.
pub struct Rate {
    bucket: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Rate {
    /// A bucket that is empty: a whole burst is taken at once.
    #[must_use]
    pub fn new(config: RateConfig) -> Self {
        let quota = Quota::per_second(config.per_second).allow_burst(config.burst.unwrap_or(config.per_second));
        Self { bucket: RateLimiter::direct(quota), clock: DefaultClock::default() }
    }

    /// Takes one request, or says how long until one would be taken.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        self.bucket.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: Option<u32>) -> Rate {
        let per_second = NonZeroU32::new(per_second).unwrap();
        Rate::new(RateConfig { per_second, burst: burst.and_then(NonZeroU32::new) })
    }

    #[test]
    fn a_burst_is_taken_and_the_next_one_is_told_how_long_to_wait() {
        let rate = rate(1, Some(3));
        for _ in 0..3 {
            assert_eq!(rate.admit(), Ok(()));
        }
        let wait = rate.admit().unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn without_a_burst_as_many_are_taken_at_once_as_in_a_second() {
        let rate = rate(2, None);
        assert_eq!([rate.admit().is_ok(), rate.admit().is_ok(), rate.admit().is_ok()], [true, true, false]);
    }
}
