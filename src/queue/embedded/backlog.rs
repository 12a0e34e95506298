//! How much work waits, and how fast it drains, without asking the disk: counted each second, corrected in between.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Told when nothing was measured yet.
const GUESS: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Weight of the newest second in the drain rate.
const NEWEST: f64 = 0.3;

/// Ready work, as this process sees it.
#[derive(Default)]
pub(super) struct Backlog {
    ready: AtomicI64,
    added: AtomicI64,
    drain: Mutex<Drain>,
}

#[derive(Default)]
struct Drain {
    counted: i64,
    /// Messages a second; `None` before the second count.
    rate: Option<f64>,
}

impl Backlog {
    /// This process stored a trigger.
    pub(super) fn stored(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
        self.added.fetch_add(1, Ordering::Relaxed);
    }

    /// This process took work.
    pub(super) fn taken(&self, count: usize) {
        self.ready.fetch_sub(i64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }

    /// The disk says how much is ready, `elapsed` after it said so last.
    pub(super) fn counted(&self, ready: u64, elapsed: Duration) {
        let ready = i64::try_from(ready).unwrap_or(i64::MAX);
        let added = self.added.swap(0, Ordering::Relaxed);
        let mut drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        // What other processes add meanwhile makes the rate look lower: the answer errs to the longer wait.
        let drained = drain.counted.saturating_add(added).saturating_sub(ready).max(0);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no exact count")]
        let rate = drained as f64 / elapsed.as_secs_f64().max(0.001);
        drain.rate = Some(drain.rate.map_or(rate, |old| old + NEWEST * (rate - old)));
        drain.counted = ready;
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// When a trigger is welcome again; `None`: now.
    pub(super) fn full_for(&self, soft_limit: u64) -> Option<Duration> {
        let over = self.ready.load(Ordering::Relaxed).saturating_sub_unsigned(soft_limit);
        if over <= 0 {
            return None;
        }
        let drain = self.drain.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = drain.rate else { return Some(GUESS) };
        #[expect(clippy::cast_precision_loss, reason = "a wait in whole seconds needs no exact count")]
        let seconds = over as f64 / rate;
        // A rate of zero makes this infinite, which is as long as any other too long wait.
        Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_refuses_only_over_the_limit_and_counts_what_this_process_does_at_once() {
        let backlog = Backlog::default();
        backlog.counted(10, SECOND);
        assert_eq!(backlog.full_for(10), None);
        backlog.stored();
        assert!(backlog.full_for(10).is_some());
        backlog.taken(1);
        assert_eq!(backlog.full_for(10), None);
    }

    #[test]
    fn the_wait_follows_the_drain_rate_between_one_and_thirty_seconds() {
        for (before, after, expected) in [(200, 100, 1), (120, 110, 11), (110, 110, 30), (0, 1_000_000, 30)] {
            let backlog = Backlog::default();
            backlog.drain.lock().unwrap().counted = before;
            backlog.counted(after, SECOND);
            let expected = Duration::from_secs(expected);
            assert_eq!(backlog.full_for(0).unwrap(), expected, "{before} -> {after}");
        }
    }

    #[test]
    fn before_anything_was_measured_the_wait_is_a_guess() {
        let backlog = Backlog::default();
        backlog.stored();
        assert_eq!(backlog.full_for(0), Some(GUESS));
    }
}
