//! Counting what is being done, also when it is cancelled or panics.

use prometheus::IntGauge;

/// One more in a gauge until dropped.
pub struct InFlight(IntGauge);

impl InFlight {
    /// Counts one more.
    #[must_use]
    pub fn count(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
