//! Conversation summaries over a paged, OAuth2-protected JSON API, as the original service read them.

mod page;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use self::page::{Item, Page};
use super::{
    HistoryError, HistoryProvider,
    gathering::{Gathering, MOST_PAGES, Order, Place},
    requests::{Auth, Budget, CONNECT_TIMEOUT, REQUEST_TIMEOUT, Requests},
};
use crate::{
    conversation::Conversation,
    http_client::{self, ClientConfig, Roots},
    metrics::{Metrics, labels::Upstream},
    oauth::{ClientAuth, OauthConfig, TokenSource},
    secret::Secret,
    trigger::Trigger,
};

/// Settings of the provider.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
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
    #[schemars(extend("x-unit" = "items"))]
    pub page_size: u32,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl CxoneConfig {
    /// Where and with what tokens are asked for.
    ///
    /// # Errors
    /// When the URL makes no sense or the client id or secret is not set.
    pub fn oauth(&self) -> anyhow::Result<OauthConfig> {
        Ok(OauthConfig {
            token_url: endpoint(&self.base_url, &self.token_path)?.into(),
            client_id: self.client_id.clone().context("the CXone client id is not set")?,
            client_secret: self.client_secret.clone().context("the CXone client secret is not set")?,
            scope: self.scope.clone(),
            client_auth: ClientAuth::Both,
            upstream: Upstream::Cxone,
        })
    }
}

/// The provider.
pub(super) struct CxoneSummaries {
    requests: Requests,
    summaries_url: Url,
    page_size: u32,
    max_turns: usize,
}

impl CxoneSummaries {
    pub(super) fn new(config: &CxoneConfig, max_turns: usize, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let summaries_url = endpoint(&config.base_url, &config.summaries_path)?;
        let client = http_client::build(&ClientConfig {
            connect_timeout: CONNECT_TIMEOUT,
            timeout: REQUEST_TIMEOUT,
            https_only: summaries_url.scheme() == "https",
            roots: Roots::read(config.ca_file.as_deref())?,
        })?;
        let auth = Auth::Token(TokenSource::new(client.clone(), config.oauth()?, Arc::clone(&metrics)));
        let renew_on = &[StatusCode::UNAUTHORIZED];
        let requests = Requests::new(client, auth, HeaderMap::new(), renew_on, Upstream::Cxone, metrics);
        Ok(Self { requests, summaries_url, page_size: config.page_size.max(1), max_turns })
    }

    fn page_url(&self, conversation_id: &str, place: Place<'_>) -> Url {
        let mut url = self.summaries_url.clone();
        url.query_pairs_mut()
            .append_pair("conversationId", conversation_id)
            .append_pair("pageSize", &self.page_size.to_string())
            .append_pair("sortOrder", "desc");
        if let Place::After(token) = place {
            url.query_pairs_mut().append_pair("nextPageToken", token);
        }
        url
    }
}

#[async_trait]
impl HistoryProvider for CxoneSummaries {
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, HistoryError> {
        let mut budget = Budget::new(until);
        let mut gathering = Gathering::new(self.max_turns, Order::NewestFirst, MOST_PAGES);
        while let Some(place) = gathering.next() {
            let url = self.page_url(&trigger.body.conversation_id, place);
            match self.requests.json::<Page>(&|| Ok(url.clone()), &mut budget, "not a page of summaries").await {
                Ok(page) => gathering.take(page.items.into_iter().filter_map(Item::into_turn), page.next_page_token),
                Err(error) => gathering.fail(error)?,
            }
        }
        Ok(gathering.conversation())
    }
}

fn endpoint(base: &str, path: &str) -> anyhow::Result<Url> {
    let url = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    Url::parse(&url).context("the CXone base URL and paths do not make a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_between_base_and_path_do_not_double() {
        for (base, path) in [("https://h", "/p"), ("https://h/", "p"), ("https://h/", "/p")] {
            assert_eq!(endpoint(base, path).unwrap().as_str(), "https://h/p");
        }
        assert_eq!(endpoint("https://h/a", "/p").unwrap().as_str(), "https://h/a/p");
        assert!(endpoint("h", "/p").is_err());
    }
}
