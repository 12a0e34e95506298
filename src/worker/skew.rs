//! Clocks that are apart: a trigger's times were written by the ingress, and are compared with the worker's clock.
//!
//! A worker whose clock is ahead gives safe answers early, and nothing here can tell that from a long wait in the queue. One
//! whose clock is behind would work for longer than the trigger has; that shows, because the trigger comes from the
//! future.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{metrics::Metrics, time::EpochMs};

/// Clocks that are this close are as good as the same.
const TOLERATED: Duration = Duration::from_secs(1);
/// Between two warnings.
const QUIET: Duration = Duration::from_secs(60);

/// When the last warning was.
#[derive(Default)]
pub(super) struct Skew(AtomicU64);

impl Skew {
    /// The time to reckon with: never before the trigger was accepted, so that no clock gives it more than its whole time.
    pub(super) fn corrected(&self, now: EpochMs, accepted_at: EpochMs, metrics: &Metrics) -> EpochMs {
        let behind = accepted_at.since(now);
        if behind > TOLERATED {
            metrics.clock_behind.inc();
            self.warn(now, behind);
        }
        now.max(accepted_at)
    }

    fn warn(&self, now: EpochMs, behind: Duration) {
        let warned = EpochMs(self.0.load(Ordering::Relaxed));
        if warned.0 == 0 || now.since(warned) > QUIET {
            self.0.store(now.0, Ordering::Relaxed);
            tracing::warn!(
                event = "clock_behind",
                behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX),
                "a trigger was accepted in the future of this machine's clock; synchronise the clocks (NTP)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_from_the_future_counts_as_accepted_now_and_is_counted() {
        let (skew, metrics) = (Skew::default(), Metrics::new("test").unwrap());
        let correct = |now, accepted| skew.corrected(EpochMs(now), EpochMs(accepted), &metrics);
        assert_eq!(correct(5_000, 2_000), EpochMs(5_000));
        assert_eq!(correct(5_000, 5_900), EpochMs(5_900), "close enough");
        assert_eq!(metrics.clock_behind.get(), 0);
        assert_eq!(correct(5_000, 305_000), EpochMs(305_000));
        assert_eq!(metrics.clock_behind.get(), 1);
    }
}
