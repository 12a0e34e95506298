//! Conversation summaries over a paged, OAuth2-protected JSON API, as the original service read them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::time::Instant;

use super::HistoryProvider;
use crate::{
    conversation::Conversation, http_client::UpstreamError, metrics::Metrics, secret::Secret, trigger::Trigger,
};

/// Settings of the provider.
#[derive(Clone, Debug, Deserialize)]

pub struct CxoneConfig {
    /// Base URL; paths are appended.
    pub base_url: String,
    /// Path of the token endpoint.
    pub token_path: String,
    /// Path of the summaries.
    pub summaries_path: String,
    /// OAuth2 client id.
    pub client_id: Option<String>,
    /// OAuth2 client secret.
    pub client_secret: Option<Secret>,
    /// Requested scopes.
    pub scope: String,
    /// Items asked for with each page.
    pub page_size: u32,
}

/// The provider.
pub(super) struct CxoneSummaries {}

impl CxoneSummaries {
    pub(super) fn new(_config: &CxoneConfig, _max_turns: usize, _metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        unimplemented!()
    }
}

#[async_trait]
impl HistoryProvider for CxoneSummaries {
    async fn fetch(&self, _trigger: &Trigger, _until: Instant) -> Result<Conversation, UpstreamError> {
        unimplemented!()
    }
}
