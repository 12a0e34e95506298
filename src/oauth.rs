//! Access tokens by OAuth 2.0 client credentials: one refresh in flight, renewed before they expire.

use std::{sync::Arc, time::Duration};

use crate::{http_client::UpstreamError, metrics::Metrics, secret::Secret};

/// Where and with what to ask for tokens.
#[derive(Clone, Debug)]
pub struct OauthConfig {
    /// The token endpoint.
    pub token_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: Secret,
    /// Requested scopes, separated by spaces.
    pub scope: String,
}

/// Gives out the current token and refreshes it, once for all who wait.
pub struct TokenSource {}

impl TokenSource {
    /// A source that has no token yet; the first caller fetches it.
    #[must_use]
    pub fn new(_client: reqwest::Client, _config: OauthConfig, _metrics: Arc<Metrics>) -> Self {
        unimplemented!()
    }

    /// A token that is valid for at least 60 s more (or half its life, if that is shorter).
    ///
    /// # Errors
    /// When none could be had within `limit`.
    pub async fn token(&self, _limit: Duration) -> Result<Secret, UpstreamError> {
        unimplemented!()
    }

    /// Tells that `token` was refused, so that the next call fetches a new one. A token that was already replaced is
    /// not touched.
    pub async fn reject(&self, _token: &Secret) {
        unimplemented!()
    }
}
