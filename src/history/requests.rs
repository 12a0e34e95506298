//! Authorised GETs of JSON, with retries while time allows: what every provider that asks somebody shares.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use crate::{
    http_client::{Limits, UpstreamError, exchange},
    json,
    metrics::{Metrics, labels::Upstream},
    oauth::TokenSource,
    retry::RetryPolicy,
    secret::Secret,
};

/// Limit for making a connection; the time of a fetch is the caller's.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Limit of a request whose caller set none.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of one answer.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// Bytes of all answers of one fetch.
const FETCH_LIMIT: usize = 8 * 1024 * 1024;

/// Tries for each request. The waits are short, because a customer is waiting too.
const RETRIES: RetryPolicy = RetryPolicy { base: Duration::from_millis(200), cap: Duration::from_secs(2), attempts: 3 };

/// The longest pause that `Retry-After` can impose on later fetches.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After a new token was refused like the one before it, the permission is missing, not the token: for so long no fetch
/// asks for another one.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);

/// Where a request goes.
pub(super) type UrlSource<'a> = dyn Fn() -> Result<Url, UpstreamError> + Sync + 'a;

/// How a request proves who it is.
pub(super) enum Auth {
    /// Not at all, or by one of the headers of every request.
    None,
    /// By an access token.
    Token(TokenSource),
    /// By Basic authentication (RFC 7617).
    Basic { username: String, password: Secret },
}

/// What one fetch may still use.
pub(super) struct Budget {
    pub(super) until: Instant,
    bytes: usize,
    /// Set when a token was refused: a second refusal in the same fetch is final.
    renewed: bool,
}

impl Budget {
    pub(super) fn new(until: Instant) -> Self {
        Self { until, bytes: FETCH_LIMIT, renewed: false }
    }

    pub(super) fn left(&self) -> Result<Duration, UpstreamError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(UpstreamError::Timeout) } else { Ok(left) }
    }
}

/// The requests of one provider.
pub(super) struct Requests {
    client: reqwest::Client,
    auth: Auth,
    headers: HeaderMap,
    /// Statuses that can mean a token that is no longer good.
    renew_on: &'static [StatusCode],
    upstream: Upstream,
    metrics: Arc<Metrics>,
    gates: Mutex<Gates>,
}

/// What later fetches have to know of earlier ones.
#[derive(Default)]
struct Gates {
    /// Until when the other side wants to be left alone, and the status by which it said so.
    pause: Option<(Instant, u16)>,
    /// When a token that was just renewed was refused.
    useless_renewal: Option<Instant>,
}

impl Requests {
    pub(super) fn new(
        client: reqwest::Client,
        auth: Auth,
        headers: HeaderMap,
        renew_on: &'static [StatusCode],
        upstream: Upstream,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { client, auth, headers, renew_on, upstream, metrics, gates: Mutex::default() }
    }

    /// A JSON document. `url` is asked for when there is a token, because the token may tell the host; `nonsense` says
    /// what an answer is that is no such document.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        url: &UrlSource<'_>,
        budget: &mut Budget,
        nonsense: &'static str,
    ) -> Result<T, UpstreamError> {
        let mut attempt = 1;
        loop {
            let error = match self.get(url, budget).await {
                Ok(body) => match json::read(&body) {
                    Ok(document) => return Ok(document),
                    Err(_) => UpstreamError::Malformed(nonsense),
                },
                Err(error) => error,
            };
            self.heed(&error);
            let Some(cause) = error.retry_cause() else { return Err(error) };
            let Some(wait) = RETRIES.delay(attempt, error.retry_after(), rand::random()) else { return Err(error) };
            if Instant::now() + wait >= budget.until {
                return Err(error);
            }
            sleep(wait).await;
            self.metrics.upstream_retries.get(self.upstream, cause).inc();
            attempt += 1;
        }
    }

    /// One request; repeated at once with a new token if the first refusal of this fetch is met.
    async fn get(&self, url: &UrlSource<'_>, budget: &mut Budget) -> Result<Bytes, UpstreamError> {
        self.wait_out_pause(budget.until).await?;
        loop {
            let token = match &self.auth {
                Auth::Token(tokens) => Some((tokens, tokens.token(budget.left()?).await?)),
                Auth::None | Auth::Basic { .. } => None,
            };
            let request = self.client.get(url()?).headers(self.headers.clone());
            let request = match (&self.auth, &token) {
                (Auth::Basic { username, password }, _) => request.basic_auth(username, Some(password.expose())),
                (_, Some((_, token))) => request.bearer_auth(token.expose()),
                _ => request,
            };
            let limits = Limits { time: budget.left()?, body: budget.bytes.min(ANSWER_LIMIT) };
            let answer = exchange(request, limits, self.upstream, &self.metrics).await?;
            if let Some((tokens, token)) = token
                && self.renew_on.contains(&answer.status)
                && self.may_renew(budget)
            {
                tokens.reject(&token);
                continue;
            }
            let body = answer.success()?;
            budget.bytes -= body.len().min(budget.bytes);
            return Ok(body);
        }
    }

    /// True for the first refusal of a fetch, unless renewing was of no use a moment ago.
    fn may_renew(&self, budget: &mut Budget) -> bool {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut budget.renewed, true) {
            gates.useless_renewal = Some(Instant::now());
            return false;
        }
        gates.useless_renewal.is_none_or(|at| at.elapsed() >= RENEWAL_PAUSE)
    }

    /// Remembers how long the other side wants to be left alone.
    fn heed(&self, error: &UpstreamError) {
        if let UpstreamError::Status { status: status @ (429 | 503), retry_after: Some(wait) } = error {
            let over = Instant::now() + (*wait).min(LONGEST_PAUSE);
            self.gates.lock().unwrap_or_else(PoisonError::into_inner).pause = Some((over, *status));
        }
    }

    async fn wait_out_pause(&self, until: Instant) -> Result<(), UpstreamError> {
        let pause = self.gates.lock().unwrap_or_else(PoisonError::into_inner).pause;
        let Some((over, status)) = pause.filter(|(over, _)| *over > Instant::now()) else { return Ok(()) };
        if over >= until {
            let retry_after = Some(over.saturating_duration_since(Instant::now()));
            return Err(UpstreamError::Status { status, retry_after });
        }
        sleep_until(over).await;
        Ok(())
    }
}
