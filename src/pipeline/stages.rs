//! How long each stage took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{history::HistoryError, http_client::UpstreamError, metrics::labels::StageFailure};

/// What to count a failed stage as, by what its upstream did.
pub(super) fn failure(error: &HistoryError) -> StageFailure {
    let error = match error {
        HistoryError::Incomplete(_) => return StageFailure::Rejected,
        HistoryError::HeldOff => return StageFailure::Unavailable,
        HistoryError::Upstream(error) => error,
    };
    match error {
        UpstreamError::Timeout => StageFailure::Timeout,
        UpstreamError::Malformed(_) => StageFailure::Malformed,
        UpstreamError::Status { status: 500.., .. } | UpstreamError::Connect | UpstreamError::Tls => {
            StageFailure::Unavailable
        }
        UpstreamError::Status { status: 408 | 429, .. } => StageFailure::Unavailable,
        UpstreamError::Status { .. } | UpstreamError::Forbidden => StageFailure::Rejected,
    }
}

/// Times of the stages of one run, for the log line of the finished trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// Fetching the conversation.
    #[serde(rename = "history_us", with = "micros")]
    pub history: Duration,
    /// Rendering the prompt.
    #[serde(rename = "prompt_us", with = "micros")]
    pub prompt: Duration,
    /// Asking the model, waits and re-asks included.
    #[serde(rename = "llm_us", with = "micros")]
    pub llm: Duration,
    /// Validating its answers.
    #[serde(rename = "decision_us", with = "micros")]
    pub decision: Duration,
    /// All of it.
    #[serde(rename = "total_us", with = "micros")]
    pub total: Duration,
}

impl Stages {
    /// What the router itself needed: the whole less the time spent in upstreams and waiting for them.
    #[must_use]
    pub fn overhead(&self, llm_upstream: Duration) -> Duration {
        self.total.saturating_sub(self.history).saturating_sub(llm_upstream)
    }
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}
