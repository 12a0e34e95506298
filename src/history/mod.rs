//! Where the conversation comes from.
//!
//! A failure never fails a trigger: it degrades it (`no_history`), and a trigger's inline history stands in.

mod cache;
mod cxone_digital;
mod cxone_summaries;
mod examination;
mod gathering;
mod guarded;
mod http;
mod inline;
mod requests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    conversation::Conversation, http_client::UpstreamError, metrics::Metrics, secret::Secret, trigger::Trigger,
};

pub use self::http::{AuthKind, HttpConfig, HttpOauth, Speaker};
pub use cache::CacheConfig;
pub use cxone_digital::{Api, CxoneDigitalConfig, Read};
pub use cxone_summaries::CxoneConfig;
pub use examination::{Examined, examine};
pub use gathering::Order;

/// Settings of a profile's history.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Where it comes from.
    pub provider: Provider,
    /// Newest turns to keep.
    #[schemars(extend("x-unit" = "turns"))]
    pub max_turns: usize,
    /// Characters to keep, from the newest turn on.
    #[schemars(extend("x-unit" = "characters"))]
    pub max_characters: usize,
    /// Limit for fetching it, all pages and retries included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub timeout: Duration,
    /// How long a fetched conversation serves the next trigger of it.
    pub cache: CacheConfig,
    /// Settings of the provider `cxone_summaries`.
    pub cxone: CxoneConfig,
    /// Settings of the provider `cxone_digital`.
    pub cxone_digital: CxoneDigitalConfig,
    /// Settings of the provider `http`.
    pub http: HttpConfig,
}

/// The sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Only what the trigger brings.
    Inline,
    /// Paged conversation summaries, as the original service read them.
    CxoneSummaries,
    /// The messages of a CXone digital case.
    CxoneDigital,
    /// Any JSON API.
    Http,
}

/// Why there is no conversation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The source failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The trigger does not bring what the source has to be asked with.
    #[error("the trigger does not bring {0}")]
    Incomplete(&'static str),
    /// It failed so often that it is not asked for a moment.
    #[error("is held off after it failed too often")]
    HeldOff,
}

/// A source of conversations.
#[async_trait]
pub trait HistoryProvider: Send + Sync {
    /// The newest turns of the trigger's conversation, oldest first; gives up at `until`.
    ///
    /// # Errors
    /// When nothing at all could be had. What came before a failure while paging is returned as `partial`.
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, HistoryError>;
}

impl Config {
    /// Every secret in it.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        let digital = [&self.cxone_digital.access_key_secret, &self.cxone_digital.client_secret];
        let cxone = digital.into_iter().chain([&self.cxone.client_secret]).flatten();
        cxone.chain(self.http.secrets()).collect()
    }

    /// Fills in what defaults to another setting: an OAuth2 client of CXone serves both of its providers.
    pub fn complete(&mut self) {
        let digital = &mut self.cxone_digital;
        digital.client_id = digital.client_id.take().or_else(|| self.cxone.client_id.clone());
        digital.client_secret = digital.client_secret.take().or_else(|| self.cxone.client_secret.clone());
    }
}

/// Connects the configured provider, behind a breaker, and a cache where one is wanted.
///
/// # Errors
/// When a setting of it is unusable, or its HTTP client cannot be built.
pub fn connect(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<dyn HistoryProvider>> {
    let (turns, shared) = (config.max_turns, Arc::clone(metrics));
    let provider: Arc<dyn HistoryProvider> = match config.provider {
        // There is nothing to spare.
        Provider::Inline => return Ok(Arc::new(inline::Inline)),
        Provider::CxoneSummaries => Arc::new(cxone_summaries::CxoneSummaries::new(&config.cxone, turns, shared)?),
        Provider::CxoneDigital => Arc::new(cxone_digital::CxoneDigital::new(&config.cxone_digital, turns, shared)?),
        Provider::Http => Arc::new(http::JsonApi::new(&config.http, turns, shared)?),
    };
    let provider = Arc::new(guarded::Guarded::new(provider, Arc::clone(metrics)));
    if config.cache.is_off() {
        return Ok(provider);
    }
    Ok(Arc::new(cache::Cached::new(provider, &config.cache, config.timeout, Arc::clone(metrics))))
}
