//! Access tokens by OAuth 2.0: one refresh in flight, renewed before they expire. How a token is asked for is a
//! [`Grant`]; client credentials are one, others stand beside the upstream that wants them.

mod grant;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::{Instant, timeout};

pub use self::grant::{ClientAuth, Grant, OauthConfig, TokenAnswer};
use self::grant::{ClientCredentials, REFRESH_LIMITS};
use crate::{
    http_client::UpstreamError,
    metrics::{
        Metrics,
        labels::{TokenProvider, TokenRefresh},
    },
    secret::Secret,
    time::EpochMs,
};

/// A token is renewed this long before it expires, or at half its life if that is shorter than twice this.
const MARGIN: Duration = Duration::from_secs(60);

/// Life of a token whose answer does not say, as the original service assumed.
const DEFAULT_LIFE_SECONDS: u64 = 3_600;

/// No token is kept longer than a day, whatever its answer says.
const LONGEST_LIFE_SECONDS: u64 = 86_400;

/// Gives out the current token and refreshes it, once for all who wait.
pub struct TokenSource {
    inner: Arc<Inner>,
}

struct Inner {
    grant: Arc<dyn Grant>,
    provider: TokenProvider,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    refresh: Option<Refresh>,
}

type Refresh = Shared<BoxFuture<'static, Result<Secret, UpstreamError>>>;

struct Held {
    token: Secret,
    renew_at: Instant,
    expires_at: Instant,
}

impl TokenSource {
    /// A source of tokens by client credentials. It has none yet; the first caller fetches it.
    #[must_use]
    pub fn new(client: reqwest::Client, config: OauthConfig, metrics: Arc<Metrics>) -> Self {
        let grant = ClientCredentials { client, config, metrics: Arc::clone(&metrics) };
        Self::by(Arc::new(grant), TokenProvider::Cxone, metrics)
    }

    /// A source of tokens by any grant.
    #[must_use]
    pub fn by(grant: Arc<dyn Grant>, provider: TokenProvider, metrics: Arc<Metrics>) -> Self {
        Self { inner: Arc::new(Inner { grant, provider, metrics, state: Mutex::default() }) }
    }

    /// A token that is valid for at least 60 s more (or half its life, if that is shorter). Where a renewal fails, the
    /// former one serves until it expires.
    ///
    /// # Errors
    /// When none could be had within `limit`. A failure is told to all who wait for it and then forgotten.
    pub async fn token(&self, limit: Duration) -> Result<Secret, UpstreamError> {
        let refresh = {
            let mut state = self.inner.lock();
            if let Some(held) = state.held.as_ref().filter(|held| Instant::now() < held.renew_at) {
                return Ok(held.token.clone());
            }
            state.refresh.get_or_insert_with(|| spawn_refresh(Arc::clone(&self.inner))).clone()
        };
        let renewed = timeout(limit, refresh).await.unwrap_or(Err(UpstreamError::Timeout));
        renewed.or_else(|error| self.inner.unexpired().ok_or(error))
    }

    /// Tells that `token` was refused, so that the next call fetches a new one. A token that was already replaced is
    /// not touched.
    pub fn reject(&self, token: &Secret) {
        let mut state = self.inner.lock();
        if state.held.as_ref().is_some_and(|held| held.token.expose() == token.expose()) {
            state.held = None;
        }
    }
}

/// Starts a refresh that does not end with the caller who wanted it first.
fn spawn_refresh(inner: Arc<Inner>) -> Refresh {
    let running = tokio::spawn(async move {
        let ending = EndRefresh(&inner);
        let result = inner.refresh().await;
        ending.0.settle(result)
    });
    // It can only fail to join when the runtime stops.
    running.map(|joined| joined.unwrap_or(Err(UpstreamError::Connect))).boxed().shared()
}

/// Makes room for the next refresh, also after a panic.
struct EndRefresh<'a>(&'a Inner);

impl Drop for EndRefresh<'_> {
    fn drop(&mut self) {
        self.0.lock().refresh = None;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unexpired(&self) -> Option<Secret> {
        self.lock().held.as_ref().filter(|held| Instant::now() < held.expires_at).map(|held| held.token.clone())
    }

    fn settle(&self, result: Result<Held, UpstreamError>) -> Result<Secret, UpstreamError> {
        let end = if result.is_ok() { TokenRefresh::Success } else { TokenRefresh::Failure };
        self.metrics.token_refreshes.get(self.provider, end).inc();
        let held = result?;
        let token = held.token.clone();
        let life = held.expires_at.saturating_duration_since(Instant::now());
        let expiry = EpochMs::from(SystemTime::now()).plus(life).seconds();
        self.metrics.token_expiry.get(self.provider).set(i64::try_from(expiry).unwrap_or(i64::MAX));
        self.lock().held = Some(held);
        Ok(token)
    }

    async fn refresh(&self) -> Result<Held, UpstreamError> {
        let asked_at = Instant::now();
        let answer = timeout(REFRESH_LIMITS.time, self.grant.ask()).await.unwrap_or(Err(UpstreamError::Timeout))?;
        Ok(held(answer, asked_at))
    }
}

fn held(answer: TokenAnswer, asked_at: Instant) -> Held {
    let seconds = answer.expires_in.unwrap_or(DEFAULT_LIFE_SECONDS).min(LONGEST_LIFE_SECONDS);
    let life = Duration::from_secs(seconds);
    let renew_after = if life < MARGIN * 2 { life / 2 } else { life - MARGIN };
    Held { token: answer.access_token, renew_at: asked_at + renew_after, expires_at: asked_at + life }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_renewed_a_minute_before_its_end_or_at_half_a_short_life() {
        let asked_at = Instant::now();
        for (body, renew, expire) in [
            (r#"{"access_token":"t","expires_in":3600}"#, 3_540, 3_600),
            (r#"{"access_token":"t"}"#, 3_540, 3_600),
            (r#"{"access_token":"t","expires_in":null,"token_type":"bearer"}"#, 3_540, 3_600),
            (r#"{"access_token":"t","expires_in":120}"#, 60, 120),
            (r#"{"access_token":"t","expires_in":100}"#, 50, 100),
            (r#"{"access_token":"t","expires_in":0}"#, 0, 0),
            (r#"{"access_token":"t","expires_in":99999999}"#, 86_340, 86_400),
        ] {
            let held = held(TokenAnswer::parse(body.as_bytes()).unwrap(), asked_at);
            assert_eq!((held.renew_at - asked_at).as_secs(), renew, "{body}");
            assert_eq!((held.expires_at - asked_at).as_secs(), expire, "{body}");
        }
    }
}
