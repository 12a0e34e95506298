//! Conversation summaries over a paged, OAuth2-protected JSON API, as the original service read them.

mod page;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use url::Url;

use self::page::{Item, Page};
use super::HistoryProvider;
use crate::{
    conversation::{Conversation, Turn},
    http_client::{self, ClientConfig, Limits, Roots, UpstreamError, exchange},
    metrics::{Metrics, labels::Upstream},
    oauth::{OauthConfig, TokenSource},
    retry::RetryPolicy,
    secret::Secret,
    trigger::Trigger,
};

/// Bytes of one page.
const PAGE_LIMIT: usize = 1024 * 1024;

/// Pages of one conversation; a source that never ends its paging ends here.
const MAX_PAGES: usize = 20;

/// Tries for each page. The waits are short, because a customer is waiting too.
const RETRIES: RetryPolicy = RetryPolicy { base: Duration::from_millis(200), cap: Duration::from_secs(2), attempts: 3 };

/// Limit for making a connection; the time of a fetch is the caller's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Limit of a request whose caller set none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

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
            upstream: Upstream::Cxone,
        })
    }
}

/// The provider.
pub(super) struct CxoneSummaries {
    client: reqwest::Client,
    tokens: TokenSource,
    summaries_url: Url,
    page_size: u32,
    max_turns: usize,
    metrics: Arc<Metrics>,
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
        let oauth = config.oauth()?;
        let tokens = TokenSource::new(client.clone(), oauth, Arc::clone(&metrics));
        Ok(Self { client, tokens, summaries_url, page_size: config.page_size.max(1), max_turns, metrics })
    }

    /// One page, with retries while time allows. `renewed` is set when a token was refused; a second refusal in the
    /// same fetch is final.
    async fn page(
        &self,
        conversation_id: &str,
        token: Option<&str>,
        renewed: &mut bool,
        until: Instant,
    ) -> Result<Page, UpstreamError> {
        let mut attempt = 1;
        loop {
            let error = match self.get(conversation_id, token, renewed, until).await {
                Ok(body) => match serde_json::from_slice(&body) {
                    Ok(page) => return Ok(page),
                    Err(_) => UpstreamError::Malformed("not a page of summaries"),
                },
                Err(error) => error,
            };
            let Some(cause) = error.retry_cause() else { return Err(error) };
            let Some(wait) = RETRIES.delay(attempt, error.retry_after(), rand::random()) else { return Err(error) };
            if Instant::now() + wait >= until {
                return Err(error);
            }
            sleep(wait).await;
            self.metrics.upstream_retries.get(Upstream::Cxone, cause).inc();
            attempt += 1;
        }
    }

    /// One request; repeated at once with a new token if the first refusal of this fetch is met.
    async fn get(
        &self,
        conversation_id: &str,
        page_token: Option<&str>,
        renewed: &mut bool,
        until: Instant,
    ) -> Result<Bytes, UpstreamError> {
        loop {
            let token = self.tokens.token(left(until)?).await?;
            let request = self.client.get(self.page_url(conversation_id, page_token)).bearer_auth(token.expose());
            let limits = Limits { time: left(until)?, body: PAGE_LIMIT };
            let answer = exchange(request, limits, Upstream::Cxone, &self.metrics).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                return answer.success();
            }
            self.tokens.reject(&token);
            if std::mem::replace(renewed, true) {
                return answer.success();
            }
        }
    }

    fn page_url(&self, conversation_id: &str, page_token: Option<&str>) -> Url {
        let mut url = self.summaries_url.clone();
        url.query_pairs_mut()
            .append_pair("conversationId", conversation_id)
            .append_pair("pageSize", &self.page_size.to_string())
            .append_pair("sortOrder", "desc")
            .extend_pairs(page_token.map(|page_token| ("nextPageToken", page_token)));
        url
    }
}

#[async_trait]
impl HistoryProvider for CxoneSummaries {
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, UpstreamError> {
        let conversation_id = &trigger.body.conversation_id;
        let mut newest_first: Vec<Turn> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        let mut renewed = false;
        let mut partial = false;
        while newest_first.len() < self.max_turns {
            let page = match self.page(conversation_id, seen.last().map(String::as_str), &mut renewed, until).await {
                Ok(page) => page,
                Err(error) if seen.is_empty() => return Err(error),
                Err(_) => {
                    partial = true;
                    break;
                }
            };
            let room = self.max_turns - newest_first.len();
            newest_first.extend(page.items.into_iter().filter_map(Item::into_turn).take(room));
            let Some(next) = page.next_page_token.filter(|next| !next.is_empty()) else { break };
            // A token that comes again would lead in a circle.
            if seen.contains(&next) || seen.len() + 1 == MAX_PAGES {
                partial = newest_first.len() < self.max_turns;
                break;
            }
            seen.push(next);
        }
        newest_first.reverse();
        Ok(Conversation { turns: newest_first, partial, truncated: false })
    }
}

fn endpoint(base: &str, path: &str) -> anyhow::Result<Url> {
    let url = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    Url::parse(&url).context("the CXone base URL and paths do not make a URL")
}

fn left(until: Instant) -> Result<Duration, UpstreamError> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(UpstreamError::Timeout) } else { Ok(left) }
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
