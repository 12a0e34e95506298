//! Whether this machine's clock and that of whoever sent a message agree, as far as one message can tell. A worker alone
//! sees only that it is behind; here the broker's clock, which counts times to live, tells as well that it is ahead.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lapin::protocol::BasicProperties;

use crate::{metrics::Metrics, time::EpochMs};

/// Differences up to this are the ordinary state of clocks, waits and the timestamp's whole seconds.
const ORDINARY: Duration = Duration::from_secs(5);
/// How much older than its time to live a message may seem: it can have waited in this process while its results could
/// not be stored.
const WAITED: Duration = Duration::from_secs(30);
/// Between two warnings.
const SILENCE: Duration = Duration::from_secs(60);

/// Compares clocks; warns now and then of one that is ahead. (Of one that is behind the worker warns.)
pub(super) struct Skew {
    metrics: Arc<Metrics>,
    warned: Mutex<Option<Instant>>,
}

impl Skew {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, warned: Mutex::new(None) }
    }

    /// Looks at a trigger that was not delivered before. (Outcomes come from this machine as well as from others.)
    pub(super) fn look(&self, properties: &BasicProperties, now: EpochMs) {
        let Some(sent) = properties.timestamp() else { return };
        let lives = properties.expiration().as_ref().and_then(|text| text.as_str().parse().ok());
        let seconds = between(EpochMs(sent.saturating_mul(1000)), lives.map(Duration::from_millis), now);
        self.metrics.clock_skew.set(seconds);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if seconds > 0 && warned.is_none_or(|at| at.elapsed() > SILENCE) {
            *warned = Some(Instant::now());
            tracing::warn!(
                event = "clock_ahead",
                seconds,
                "this machine's clock is ahead of that of an ingress: triggers get safe answers too early; synchronise the \
                 clocks (NTP)"
            );
        }
    }
}

/// Seconds by which the clock that says `now` is ahead of the one that said `sent`; 0 where nothing is proved. A message
/// cannot be received before it was sent, nor long after its time to live, which the broker counts by its own clock.
fn between(sent: EpochMs, lives: Option<Duration>, now: EpochMs) -> i64 {
    let (behind, age) = (sent.since(now), now.since(sent));
    let whole = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    if behind > ORDINARY {
        -whole(behind)
    } else if lives.is_some_and(|lives| age > lives + WAITED) {
        whole(age)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_from_the_future_or_from_beyond_its_life_proves_a_skew() {
        for (sent_s, lives_s, now_s, expected) in [
            (1_000, Some(28), 1_000, 0),
            (1_000, Some(28), 995, 0),
            (1_000, Some(28), 990, -10),
            (1_000, None, 700, -300),
            (1_000, Some(28), 1_058, 0),
            (1_000, Some(28), 1_059, 59),
            (1_000, Some(28), 1_300, 300),
            (1_000, None, 1_300, 0),
        ] {
            let skew = between(EpochMs(sent_s * 1000), lives_s.map(Duration::from_secs), EpochMs(now_s * 1000));
            assert_eq!(skew, expected, "sent {sent_s}, lives {lives_s:?}, now {now_s}");
        }
    }
}
