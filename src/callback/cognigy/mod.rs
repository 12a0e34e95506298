//! Ways back into a Cognigy session: the endpoint's inject and notify routes, and for old installations the management
//! API. Neither is idempotent, so what was perhaps taken is never sent again.
//!
//! Inject and notify: <https://docs.cognigy.com/ai/agents/deploy/endpoints/inject-and-notify>. The management API's form is
//! deprecated there since 2026.6.

mod body;
pub(super) mod preview;
mod route;
mod settings;
mod text;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

pub use self::settings::{Action, Config, Management, Thinking};
use self::{
    body::{Body, Session},
    route::Route,
};
use super::{Callback, CallbackError, Config as CallbackConfig, Mode, ReplyTo, StoredOutcome};
use crate::{
    egress::Egress,
    http_client::{self, ClientConfig, Limits, Roots, Unanswered, UpstreamError, exchange_noting},
    metrics::{Metrics, labels::Upstream},
    outcome::{Outcome, Status},
    safe_answer::SafeAnswers,
    signature::Signer,
    time::EpochMs,
    trigger::{Trigger, TriggerBody},
};

/// Bytes read of an answer, so that its connection can be used again. Nobody looks at them.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Limit for telling that it takes a while: an outcome that is ready waits for it.
const SHORT: Duration = Duration::from_secs(2);

/// Posts outcomes into the sessions of one profile.
pub(super) struct Cognigy {
    client: reqwest::Client,
    headers: HeaderMap,
    route: Route,
    signer: Signer,
    config: Config,
    thinking: Option<SafeAnswers>,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Cognigy {
    pub(super) fn new(config: &CallbackConfig, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let own = config.cognigy.clone();
        let egress = Egress::new(&config.egress, config.url.as_deref()).context("the endpoint's URL")?;
        let base =
            egress.configured_url().context("url is not set; https://endpoint-<...>.cognigy.ai would be right")?;
        let client = ClientConfig {
            connect_timeout: config.connect_timeout,
            timeout: config.timeout,
            https_only: !config.egress.allow_http,
            roots: Roots::read(config.ca_file.as_deref())?,
        };
        let mut headers = super::headers(&config.headers)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if config.mode == Mode::CognigyManagement {
            let key = own.management.api_key.as_ref().context("cognigy.management.api_key is not set")?;
            let mut key = HeaderValue::from_str(key.expose()).context("cognigy.management.api_key")?;
            key.set_sensitive(true);
            headers.insert("x-api-key", key);
        }
        let thinking = own.thinking.as_ref().map(|thinking| {
            let sentences = SafeAnswers::of_sentences(thinking.sentences.clone(), &thinking.language);
            sentences.context("cognigy.thinking.sentences")
        });
        ensure!(!base.cannot_be_a_base(), "url cannot have a path");
        Ok(Self {
            client: http_client::build_resolving(&client, egress.resolver())?,
            headers,
            route: Route::new(config.mode, own.management.action, base.clone()),
            signer: Signer::new(&config.secrets).context("a callback secret")?,
            thinking: thinking.transpose()?,
            config: own,
            timeout: config.timeout,
            metrics,
        })
    }

    async fn post(&self, body: Body<'_>, now: EpochMs, time: Duration, action: Action) -> Result<(), CallbackError> {
        let (url, json) = (self.route.url(action, body.session.url_token), self.route.json(&body, &self.signer, now));
        let (url, json) = url.zip(json).ok_or(CallbackError::Rejected("it cannot be written"))?;
        let request = self.client.post(url).headers(self.headers.clone()).body(json);
        let limits = Limits { time, body: ANSWER_LIMIT };
        match exchange_noting(request, limits, Upstream::Cognigy, &self.metrics).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(refusal(answer.failure(), true)),
            Err(Unanswered { error, sent }) => Err(refusal(error, sent)),
        }
    }
}

#[async_trait]
impl Callback for Cognigy {
    fn reply_to(&self, trigger: Option<&TriggerBody>, outcome: &Outcome) -> ReplyTo {
        let text = text::of(self.route.action(), &self.config, trigger, outcome);
        ReplyTo { url_token: trigger.and_then(|trigger| trigger.url_token.clone()), text: Some(text) }
    }

    fn longest_life(&self) -> Option<Duration> {
        Some(self.config.session_life)
    }

    async fn send(&self, outcome: &StoredOutcome, now: EpochMs) -> Result<(), CallbackError> {
        // The customer would read a sentence about a message that they have replaced by another.
        if self.route.action() == Action::Notify && outcome.status == Status::Superseded {
            return Ok(());
        }
        let session = Session {
            user_id: &outcome.user_id,
            session_id: outcome.session_id.as_deref().ok_or(CallbackError::Rejected("no sessionId"))?,
            url_token: outcome.reply_to.url_token.as_deref().ok_or(CallbackError::Rejected("no urlToken"))?,
        };
        let payload = std::str::from_utf8(&outcome.body).map_err(|_| CallbackError::Rejected("it is not text"))?;
        let text = outcome.reply_to.text.as_deref().unwrap_or_default();
        let body = Body { session, text, trigger_id: outcome.trigger_id, payload };
        self.post(body, now, self.timeout, self.route.action()).await
    }

    fn patience(&self) -> Option<Duration> {
        self.config.thinking.as_ref().map(|thinking| thinking.after)
    }

    async fn still_thinking(&self, trigger: &Trigger, now: EpochMs) -> Result<(), CallbackError> {
        let body = &trigger.body;
        let session = Session {
            user_id: &body.user_id,
            session_id: body.session_id.as_deref().ok_or(CallbackError::Rejected("no sessionId"))?,
            url_token: body.url_token.as_deref().ok_or(CallbackError::Rejected("no urlToken"))?,
        };
        let Some(sentences) = &self.thinking else { return Ok(()) };
        let text = sentences.pick(body.language.as_deref());
        let payload = format!(r#"{{"status":"pending","triggerId":"{}"}}"#, trigger.id);
        let body = Body { session, text, trigger_id: trigger.id, payload: &payload };
        self.post(body, now, self.timeout.min(SHORT), Action::Notify).await
    }
}

/// What another try could do. `sent` tells whether the endpoint may have had the request: then only its own word that it
/// did not take it makes a repetition safe.
fn refusal(error: UpstreamError, sent: bool) -> CallbackError {
    let (status, retry_after) = match error {
        UpstreamError::Status { status, retry_after } => (status, retry_after),
        UpstreamError::Forbidden => return CallbackError::Rejected("address not allowed"),
        _ if sent => return CallbackError::Unknown,
        _ => return CallbackError::Unavailable { retry_after: None },
    };
    match status {
        429 => CallbackError::RateLimited { retry_after },
        502..=504 => CallbackError::Unavailable { retry_after },
        300..=399 => CallbackError::Rejected("redirected"),
        404 => CallbackError::Rejected("no such endpoint"),
        408 | 500..=599 => CallbackError::Unknown,
        _ => CallbackError::Rejected("refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_certainly_not_taken_is_tried_again() {
        let status = |status| UpstreamError::Status { status, retry_after: None };
        let unavailable = CallbackError::Unavailable { retry_after: None };
        let pause = Some(Duration::from_secs(7));
        let asks = |status| UpstreamError::Status { status, retry_after: pause };
        for (error, sent, expected) in [
            (asks(429), true, CallbackError::RateLimited { retry_after: pause }),
            (asks(503), true, CallbackError::Unavailable { retry_after: pause }),
            (status(410), true, CallbackError::Rejected("refused")),
            (status(425), true, CallbackError::Rejected("refused")),
            (status(429), true, CallbackError::RateLimited { retry_after: None }),
            (status(502), true, unavailable.clone()),
            (status(503), true, unavailable.clone()),
            (status(504), true, unavailable.clone()),
            (status(500), true, CallbackError::Unknown),
            (status(408), true, CallbackError::Unknown),
            (status(400), true, CallbackError::Rejected("refused")),
            (status(404), true, CallbackError::Rejected("no such endpoint")),
            (status(302), true, CallbackError::Rejected("redirected")),
            (UpstreamError::Timeout, true, CallbackError::Unknown),
            (UpstreamError::Connect, true, CallbackError::Unknown),
            (UpstreamError::Timeout, false, unavailable.clone()),
            (UpstreamError::Connect, false, unavailable.clone()),
            (UpstreamError::Tls, false, unavailable),
            (UpstreamError::Forbidden, false, CallbackError::Rejected("address not allowed")),
        ] {
            assert_eq!(refusal(error.clone(), sent), expected, "{error}, sent: {sent}");
        }
    }
}
