//! Moments on the wall clock, as they travel in message headers. Reading the clock is the caller's business.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EpochMs(pub u64);

/// How a span of time is written in the settings, for their schema: `250ms`, `10s`, `5m`, `1h 30m`.
pub struct DurationText;

impl schemars::JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let unit = "(nsec|ns|usec|us|msec|ms|seconds?|sec|s|minutes?|min|m|hours?|hr|h|days?|d|weeks?|w)";
        schemars::json_schema!({
            "type": "string",
            "pattern": format!("^([0-9]+ ?{unit} ?)+$"),
            "x-unit": "duration",
        })
    }
}

impl EpochMs {
    /// The moment `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// The moment `span` earlier; never before the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the epoch, as signature timestamps count them.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl From<std::time::SystemTime> for EpochMs {
    fn from(moment: std::time::SystemTime) -> Self {
        Self(moment.duration_since(std::time::UNIX_EPOCH).map_or(0, millis))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// When work on a trigger must end so that the safe answer still leaves in time: `reserve` before the deadline,
/// but never more than a quarter of the whole time before it.
#[must_use]
pub fn work_until(accepted_at: EpochMs, deadline: EpochMs, reserve: Duration) -> EpochMs {
    deadline.minus(reserve.min(deadline.since(accepted_at) / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_at_most_a_quarter_of_the_whole() {
        for (accepted, deadline, reserve, expected) in
            [(0, 30_000, 2_000, 28_000), (0, 4_000, 2_000, 3_000), (1_000, 1_000, 2_000, 1_000)]
        {
            let until = work_until(EpochMs(accepted), EpochMs(deadline), Duration::from_millis(reserve));
            assert_eq!(until, EpochMs(expected));
        }
    }
}
