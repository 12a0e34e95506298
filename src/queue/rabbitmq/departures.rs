//! The departures of results: while many are stored, those of a few milliseconds leave together.
//!
//! A quorum queue writes, replicates and confirms what reaches it at once in one go. A thousand a second, each alone, cost the
//! broker half as much again as the same in groups of five.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// From one departure to the next. Who comes when nothing left for so long leaves at once.
const APART: Duration = Duration::from_millis(5);

/// When the results of deliveries leave.
pub(super) struct Departures {
    apart: Duration,
    last: Mutex<Option<Instant>>,
}

impl Departures {
    /// For deliveries that are worked on side by side.
    pub(super) fn together() -> Self {
        Self { apart: APART, last: Mutex::default() }
    }

    /// For those that are worked on one after the other: nobody waits.
    pub(super) fn at_once() -> Self {
        Self { apart: Duration::ZERO, last: Mutex::default() }
    }

    /// Waits for the next departure, no longer than 5 ms.
    pub(super) async fn next(&self) {
        let now = Instant::now();
        let departure = self.after(now);
        if departure > now {
            sleep_until(departure).await;
        }
    }

    /// The departure for whoever comes now.
    fn after(&self, now: Instant) -> Instant {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let departure = match *last {
            Some(coming) if coming > now => coming,
            Some(left) if left + self.apart > now => left + self.apart,
            _ => now,
        };
        *last = Some(departure);
        departure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_quiet_moment_a_result_leaves_at_once_and_those_after_it_together() {
        let (departures, start) = (Departures::together(), Instant::now());
        for (at, expected) in [(0, 0), (1, 5), (4, 5), (5, 10), (6, 10), (10, 15), (20, 20), (21, 25), (30, 30)] {
            let departure = departures.after(start + Duration::from_millis(at));
            assert_eq!(departure.duration_since(start).as_millis(), expected, "at {at} ms");
        }
    }
}
