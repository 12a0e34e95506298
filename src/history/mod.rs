//! Where the conversation comes from.
//!
//! A failure never fails a trigger: it degrades it (`no_history`), and a trigger's inline history stands in.

mod cxone_summaries;
mod inline;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{conversation::Conversation, http_client::UpstreamError, metrics::Metrics, trigger::Trigger};

pub use cxone_summaries::CxoneConfig;

/// Settings of a profile's history.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Where it comes from.
    pub provider: Provider,
    /// Newest turns to keep.
    pub max_turns: usize,
    /// Characters to keep, from the newest turn on.
    pub max_characters: usize,
    /// Limit for fetching it, all pages and retries included.
    #[serde(with = "humantime_serde")]
    pub timeout: std::time::Duration,
    /// Settings of the provider `cxone_summaries`.
    pub cxone: CxoneConfig,
}

/// The sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Only what the trigger brings.
    Inline,
    /// Paged conversation summaries, as the original service read them.
    CxoneSummaries,
}

/// A source of conversations.
#[async_trait]
pub trait HistoryProvider: Send + Sync {
    /// The newest turns of the trigger's conversation, oldest first; gives up at `until`.
    ///
    /// # Errors
    /// When nothing at all could be had. What came before a failure while paging is returned as `partial`.
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, UpstreamError>;
}

/// Connects the configured provider.
///
/// # Errors
/// When its HTTP client cannot be built.
pub fn connect(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn HistoryProvider>> {
    Ok(match config.provider {
        Provider::Inline => Arc::new(inline::Inline),
        Provider::CxoneSummaries => {
            Arc::new(cxone_summaries::CxoneSummaries::new(&config.cxone, config.max_turns, Arc::clone(metrics))?)
        }
    })
}
