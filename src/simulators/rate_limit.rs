//! How many calls a second a simulated upstream takes.

use tokio::time::Instant;

/// Seconds whose calls there is room for when nobody has called for a while.
const ROOM_S: f64 = 0.25;

/// A bucket that is filled evenly.
pub(super) struct RateLimit {
    rate: f64,
    left: f64,
    at: Instant,
}

impl RateLimit {
    /// Full.
    pub(super) fn new(rate: f64) -> Self {
        Self { rate, left: (rate * ROOM_S).max(1.0), at: Instant::now() }
    }

    /// Takes a call, if there is room.
    pub(super) fn takes(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        (self.left, self.at) = ((self.left + gained).min((self.rate * ROOM_S).max(1.0)), now);
        let takes = self.left >= 1.0;
        if takes {
            self.left -= 1.0;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_takes_its_rate_and_no_more() {
        let begin = Instant::now();
        let mut limit = RateLimit { rate: 100.0, left: 25.0, at: begin };
        let taken = |limit: &mut RateLimit, from: u32, to: u32| {
            (from..to).filter(|&ms| limit.takes(begin + Duration::from_millis(ms.into()))).count()
        };
        assert_eq!(taken(&mut limit, 0, 1_000), 124);
        assert_eq!(taken(&mut limit, 1_000, 2_000), 100);
    }
}
