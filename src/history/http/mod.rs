//! Any JSON API that gives a conversation: a URL with the trigger's ids, and pointers to what is in its answer.

mod config;
mod shape;
mod template;

use std::sync::Arc;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT, AUTHORIZATION},
};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

pub use self::config::{AuthKind, HttpConfig, HttpOauth, Speaker};
use self::{shape::Shape, template::UrlTemplate};
use super::{
    HistoryError, HistoryProvider,
    gathering::{Gathering, Order, Place},
    requests::{Auth, Budget, CONNECT_TIMEOUT, REQUEST_TIMEOUT, Requests},
};
use crate::{
    conversation::Conversation,
    egress::Egress,
    http_client::{self, ClientConfig, Roots, UpstreamError},
    metrics::{Metrics, labels::Upstream},
    oauth::{OauthConfig, TokenSource},
    secret::Secret,
    trigger::Trigger,
};

/// The provider.
pub(super) struct JsonApi {
    requests: Requests,
    template: UrlTemplate,
    shape: Shape,
    next_parameter: Option<String>,
    order: Order,
    max_pages: usize,
    max_turns: usize,
}

impl JsonApi {
    pub(super) fn new(config: &HttpConfig, max_turns: usize, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let egress = Egress::new(&config.egress, None).context("http.egress")?;
        let template = config.url.as_deref().context("http.url: is not set")?;
        let template = UrlTemplate::parse(template, &egress).context("http.url")?;
        let client = client(config, &egress)?;
        let auth = match config.auth {
            AuthKind::None | AuthKind::Header | AuthKind::Bearer => Auth::None,
            AuthKind::Basic => Auth::Basic {
                username: config.username.clone().context("http.username: is not set")?,
                password: config.password.clone().context("http.password: is not set")?,
            },
            AuthKind::Oauth2 => Auth::Token(tokens(config, &egress, client.clone(), &metrics)?),
        };
        let renew_on = &[StatusCode::UNAUTHORIZED];
        Ok(Self {
            requests: Requests::new(client, auth, headers(config)?, renew_on, Upstream::Cxone, metrics),
            template,
            shape: Shape::new(config)?,
            next_parameter: config.next_parameter.clone(),
            order: config.order.unwrap_or(Order::NewestFirst),
            max_pages: config.max_pages,
            max_turns,
        })
    }

    fn page_url(&self, first: &Url, place: Place<'_>) -> Result<Url, UpstreamError> {
        let Place::After(next) = place else { return Ok(first.clone()) };
        match &self.next_parameter {
            Some(parameter) => Ok(with_parameter(first, parameter, next)),
            None => {
                let url = first.join(next).map_err(|_| UpstreamError::Malformed("the next page has no URL"))?;
                // Another host would be given our credentials.
                if url.origin() == first.origin() { Ok(url) } else { Err(UpstreamError::Forbidden) }
            }
        }
    }
}

#[async_trait]
impl HistoryProvider for JsonApi {
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, HistoryError> {
        let first = self.template.expand(&trigger.body)?;
        let first = Url::parse(&first).map_err(|_| HistoryError::Incomplete("ids that make a URL"))?;
        let mut budget = Budget::new(until);
        let mut gathering = Gathering::new(self.max_turns, self.order, self.max_pages);
        while let Some(place) = gathering.next() {
            let url = || self.page_url(&first, place);
            let page: Result<Value, _> = self.requests.json(&url, &mut budget, "not JSON").await;
            match page.and_then(|page| self.shape.read(&page)) {
                Ok(content) => gathering.take(content.turns, content.next),
                Err(error) => gathering.fail(error)?,
            }
        }
        Ok(gathering.conversation())
    }
}

/// The access tokens of `auth = "oauth2"`.
pub(super) fn token_source(config: &HttpConfig, metrics: &Arc<Metrics>) -> anyhow::Result<TokenSource> {
    let egress = Egress::new(&config.egress, None).context("http.egress")?;
    tokens(config, &egress, client(config, &egress)?, metrics)
}

fn tokens(
    config: &HttpConfig,
    egress: &Egress,
    client: reqwest::Client,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<TokenSource> {
    let token_url = config.oauth.token_url.as_deref().context("http.oauth.token_url: is not set")?;
    let oauth = OauthConfig {
        token_url: egress.check_configured_url(token_url).context("http.oauth.token_url")?.into(),
        client_id: config.oauth.client_id.clone().context("http.oauth.client_id: is not set")?,
        client_secret: config.oauth.client_secret.clone().context("http.oauth.client_secret: is not set")?,
        scope: config.oauth.scope.clone(),
        client_auth: config.oauth.client_auth,
        upstream: Upstream::Cxone,
    };
    Ok(TokenSource::new(client, oauth, Arc::clone(metrics)))
}

fn client(config: &HttpConfig, egress: &Egress) -> anyhow::Result<reqwest::Client> {
    let settings = ClientConfig {
        connect_timeout: CONNECT_TIMEOUT,
        timeout: REQUEST_TIMEOUT,
        https_only: !config.egress.allow_http,
        roots: Roots::read(config.ca_file.as_deref())?,
    };
    Ok(http_client::build_resolving(&settings, egress.resolver())?)
}

fn headers(config: &HttpConfig) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in &config.headers {
        let key = format!("http.headers.{name}");
        let name: HeaderName = name.parse().with_context(|| format!("{key}: is no name of a header"))?;
        headers.insert(name, header(value, &key)?);
    }
    match config.auth {
        AuthKind::Header => {
            let name: HeaderName =
                config.api_key_header.parse().context("http.api_key_header: is no name of a header")?;
            let key = config.api_key.as_ref().context("http.api_key: is not set")?;
            headers.insert(name, header(key, "http.api_key")?);
        }
        AuthKind::Bearer => {
            let token = config.token.as_ref().context("http.token: is not set")?;
            headers.insert(AUTHORIZATION, header(&Secret::new(format!("Bearer {}", token.expose())), "http.token")?);
        }
        AuthKind::None | AuthKind::Basic | AuthKind::Oauth2 => {}
    }
    Ok(headers)
}

fn header(value: &Secret, key: &str) -> anyhow::Result<HeaderValue> {
    ensure!(!value.is_blank(), "{key}: is empty");
    let mut value =
        HeaderValue::from_str(value.expose()).ok().with_context(|| format!("{key}: cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `url` with a query parameter, instead of one of that name that it may have.
fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let others: Vec<_> = url.query_pairs().into_owned().filter(|(other, _)| other != name).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_takes_the_place_of_its_like_and_keeps_the_others() {
        for (url, expected) in [
            ("https://h/x", "https://h/x?page=2%263"),
            ("https://h/x?a=1&page=1&b=%26", "https://h/x?a=1&b=%26&page=2%263"),
        ] {
            assert_eq!(with_parameter(&Url::parse(url).unwrap(), "page", "2&3").as_str(), expected);
        }
    }
}
