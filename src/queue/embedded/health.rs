//! What the process knows about its queue without asking the disk.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::queue::QueueError;

/// How often a process that is well says so.
pub(super) const BEAT: Duration = Duration::from_secs(3);
/// After this silence the leases of a process that still lives (frozen, stuck on its disk) go back.
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// Without a beat for this long we trust our leases no more: a little before the others stop to.
const DOUBT: Duration = Duration::from_secs(27);
/// A transaction that takes longer than this blocks the queue.
const STUCK: Duration = Duration::from_secs(2);

/// Shared by the writer, who tells, and everybody else, who asks.
pub(super) struct Health {
    started: Instant,
    /// Milliseconds since `started`, plus one; zero: no transaction is under way.
    busy_since: AtomicU64,
    failing: AtomicBool,
    broken: OnceLock<String>,
    beat_at: AtomicU64,
    lost_until: AtomicI64,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            busy_since: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            broken: OnceLock::new(),
            beat_at: AtomicU64::new(0),
            lost_until: AtomicI64::new(0),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn since(&self, then_ms: u64) -> Duration {
        Duration::from_millis(self.elapsed_ms().saturating_sub(then_ms))
    }

    /// A transaction begins.
    pub(super) fn begin(&self) {
        self.busy_since.store(self.elapsed_ms() + 1, Ordering::Relaxed);
    }

    /// A transaction ended; true if that is a change from well to failing or back.
    pub(super) fn end(&self, failed: Option<&QueueError>) -> bool {
        self.busy_since.store(0, Ordering::Relaxed);
        if let Some(QueueError::Unusable(why)) = failed {
            self.break_for_good(why.clone());
        }
        self.failing.swap(failed.is_some(), Ordering::Relaxed) != failed.is_some()
    }

    /// Nothing helps any more but an operator.
    pub(super) fn break_for_good(&self, why: String) {
        if self.broken.set(why).is_ok() {
            tracing::error!(why = self.broken.get().map(String::as_str), "the queue is unusable");
        }
    }

    /// # Errors
    /// `Unusable`, when it is.
    pub(super) fn usable(&self) -> Result<(), QueueError> {
        self.broken.get().map_or(Ok(()), |why| Err(QueueError::Unusable(why.clone())))
    }

    /// False while transactions fail or hang.
    pub(super) fn is_well(&self) -> bool {
        let busy_since = self.busy_since.load(Ordering::Relaxed);
        let stuck = busy_since > 0 && self.since(busy_since - 1) > STUCK;
        !stuck && !self.failing.load(Ordering::Relaxed) && self.broken.get().is_none()
    }

    /// The beat of a transaction that began `ago` is on disk; leases up to `lost_until` were given back while we were
    /// silent.
    pub(super) fn beaten(&self, ago: Duration, lost_until: i64) {
        self.lost_until.fetch_max(lost_until, Ordering::Relaxed);
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        self.beat_at.store(self.elapsed_ms().saturating_sub(ago), Ordering::Release);
    }

    /// True when the next transaction should say that we are well.
    pub(super) fn is_beat_due(&self) -> bool {
        self.since(self.beat_at.load(Ordering::Relaxed)) >= BEAT
    }

    /// False once the lease of that token may be over.
    pub(super) fn holds(&self, token: i64) -> bool {
        // Acquire: whoever sees the beat sees what it learned.
        let heard = self.since(self.beat_at.load(Ordering::Acquire)) < DOUBT;
        heard && token > self.lost_until.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_given_back_while_silent_are_over_and_later_ones_are_held() {
        let health = Health::new();
        assert!(health.holds(1));
        health.beaten(Duration::ZERO, 2);
        assert!(!health.holds(1));
        assert!(!health.holds(2));
        assert!(health.holds(3));
        health.beaten(Duration::ZERO, 0);
        assert!(!health.holds(2), "what is lost stays lost");
    }

    #[test]
    fn failing_is_told_once_each_way_and_damage_is_for_good() {
        let health = Health::new();
        let full = QueueError::Refused { reason: "disk full", retry_after: None };
        assert!(health.end(Some(&full)));
        assert!(!health.end(Some(&full)));
        assert!(!health.is_well());
        assert!(health.end(None));
        assert!(health.is_well());
        health.end(Some(&QueueError::Unusable("damaged".into())));
        health.end(None);
        assert!(!health.is_well());
        assert_eq!(health.usable(), Err(QueueError::Unusable("damaged".into())));
    }
}
