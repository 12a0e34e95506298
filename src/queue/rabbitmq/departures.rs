//! Departures: while many leave for the broker, those of a few milliseconds leave together.
//!
//! A quorum queue writes, replicates and confirms what reaches it at once in one go. A thousand results a second, each alone,
//! cost the broker half as much again as the same in groups of five; acks, twice as much.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// So many leave within that time before the next one waits: when there are fewer nobody would come along.
const FEW: u32 = 2;

/// When things of one kind leave.
pub(super) struct Departures {
    apart: Duration,
    last: Mutex<Option<Departure>>,
}

/// Those that leave within the time of one departure.
#[derive(Clone, Copy)]
struct Departure {
    at: Instant,
    number: u32,
}

impl Departures {
    /// One each `apart`; with zero nobody waits.
    pub(super) fn every(apart: Duration) -> Self {
        Self { apart, last: Mutex::default() }
    }

    /// Waits for the next departure, no longer than from one to the next.
    pub(super) async fn next(&self) {
        let now = Instant::now();
        let departure = self.after(now);
        if departure > now {
            sleep_until(departure).await;
        }
    }

    /// The departure for whoever comes now.
    pub(super) fn after(&self, now: Instant) -> Instant {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Departure { at: now, number: 1 };
        let departure = match *last {
            Some(Departure { at, number }) if at > now => Departure { at, number: number + 1 },
            Some(Departure { at, number }) if at + self.apart > now => match number {
                ..FEW => Departure { at, number: number + 1 },
                _ => Departure { at: at + self.apart, ..new },
            },
            _ => new,
        };
        *last = Some(departure);
        departure.at.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(departures: &Departures, coming: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let start = Instant::now();
        let leaving = |at| departures.after(start + Duration::from_millis(at)) - start;
        coming.into_iter().map(|at| u64::try_from(leaving(at).as_millis()).unwrap()).collect()
    }

    #[test]
    fn while_few_come_they_leave_at_once_and_while_many_do_they_leave_together() {
        let departures = Departures::every(Duration::from_millis(5));
        assert_eq!(leaving(&departures, [0, 10, 14, 20, 29, 33]), [0, 10, 14, 20, 29, 33]);
        let departures = Departures::every(Duration::from_millis(5));
        assert_eq!(leaving(&departures, [0, 1, 2, 4, 4, 5, 6, 9, 10, 30]), [0, 1, 5, 5, 5, 10, 10, 10, 15, 30]);
    }

    #[test]
    fn with_nothing_between_departures_nobody_waits() {
        assert_eq!(leaving(&Departures::every(Duration::ZERO), 0..9), Vec::from_iter(0..9));
    }
}
