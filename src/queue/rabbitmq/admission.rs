//! What is known of the work that waits, for the ingress to admit or refuse new triggers by, at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::queue::QueueError;

/// An older reading is no reading: the depth is unknown, not zero.
const STALE: Duration = Duration::from_secs(5);
/// Bounds of the advice when to try again.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How much a new reading counts in the drain rate.
const WEIGHT: f64 = 0.3;

/// The newest reading of the depth, and what was published since.
pub(super) struct Admission {
    soft_limit: u64,
    published: AtomicU64,
    reading: Mutex<Option<Reading>>,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    depth: u64,
    /// Messages a second that left the lane, smoothed.
    drain: f64,
}

impl Admission {
    pub(super) fn new(soft_limit: u64) -> Self {
        Self { soft_limit, published: AtomicU64::new(0), reading: Mutex::new(None) }
    }

    /// Counts a message published into the work lane by this process.
    pub(super) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the depth the broker told.
    pub(super) fn read(&self, depth: u64, at: Instant) {
        let published = self.published.swap(0, Ordering::Relaxed);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let drain = reading.map_or(0.0, |last| {
            let left = (last.depth + published).saturating_sub(depth);
            let rate = per_second(left, at.saturating_duration_since(last.at));
            last.drain + WEIGHT * (rate - last.drain)
        });
        *reading = Some(Reading { at, depth, drain });
    }

    /// Refuses new work over the soft limit.
    ///
    /// # Errors
    /// `Refused` as `full`, with the time in which the excess will have drained.
    pub(super) fn check(&self, now: Instant) -> Result<(), QueueError> {
        let reading = *self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reading) = reading.filter(|reading| now.saturating_duration_since(reading.at) <= STALE) else {
            return Ok(());
        };
        let since = now.saturating_duration_since(reading.at).as_secs_f64();
        let depth = (reading.depth + self.published.load(Ordering::Relaxed)) as f64 - reading.drain * since;
        let excess = depth - self.soft_limit as f64;
        if excess < 0.0 {
            return Ok(());
        }
        Err(QueueError::Refused { reason: "full", retry_after: Some(retry_after(excess, reading.drain)) })
    }
}

fn per_second(count: u64, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64().max(0.001)
}

/// Up to a quarter longer than the excess takes, so that those who were refused do not all return at once.
fn retry_after(excess: f64, drain: f64) -> Duration {
    let seconds = (excess / drain.max(0.001)) * (1.0 + 0.25 * rand::random::<f64>());
    Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER.1).clamp(RETRY_AFTER.0, RETRY_AFTER.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused_for(admission: &Admission, now: Instant) -> Option<Duration> {
        match admission.check(now) {
            Ok(()) => None,
            Err(QueueError::Refused { reason: "full", retry_after }) => retry_after,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn work_is_refused_over_the_soft_limit_until_the_reading_is_stale() {
        let start = Instant::now();
        let admission = Admission::new(100);
        assert_eq!(refused_for(&admission, start), None, "nothing is known");
        admission.read(99, start);
        assert_eq!(refused_for(&admission, start), None);
        admission.published();
        assert!(refused_for(&admission, start).is_some(), "our own publishes count at once");
        admission.read(100, start + SECOND);
        assert!(refused_for(&admission, start + 6 * SECOND).is_some());
        assert_eq!(refused_for(&admission, start + 7 * SECOND), None, "unknown, not full");
    }

    #[test]
    fn the_advice_follows_the_observed_drain_rate_within_its_bounds() {
        let start = Instant::now();
        let admission = Admission::new(1_000);
        admission.read(2_000, start);
        assert_eq!(refused_for(&admission, start), Some(RETRY_AFTER.1), "nothing drains");
        for second in 1..=20 {
            admission.read(2_000 - 50 * second, start + SECOND * u32::try_from(second).unwrap());
        }
        assert!(refused_for(&admission, start + 20 * SECOND).unwrap() <= 2 * SECOND);
        let admission = Admission::new(1_000);
        admission.read(2_500, start);
        admission.read(2_000, start + SECOND);
        let advice = refused_for(&admission, start + SECOND).unwrap();
        assert!((6 * SECOND..=9 * SECOND).contains(&advice), "1000 at 150 a second: {advice:?}");
    }
}
