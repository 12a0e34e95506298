//! Counting the time that the gateway costs, however a call ends.

use std::time::Duration;

use tokio::time::Instant;

/// Adds to a sum what passes until it is dropped.
pub(super) struct Stopwatch<'a> {
    sum: &'a mut Duration,
    begun: Instant,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(sum: &'a mut Duration) -> Self {
        Self { sum, begun: Instant::now() }
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        *self.sum += self.begun.elapsed();
    }
}
