//! The callback mode `webhook`: a POST of the outcome, signed by Standard Webhooks and by `X-Webhook-Signature`.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use http::{HeaderMap, header::CONTENT_TYPE};
use url::Url;

use super::{Callback, CallbackError, Config, StoredOutcome};
use crate::{
    egress::Egress,
    http_client::{self, ClientConfig, Limits, Roots, UpstreamError, exchange},
    metrics::{Metrics, labels::Upstream},
    signature::Signer,
    time::EpochMs,
};

/// Bytes read of an answer, so that its connection can be used again. Nobody looks at them.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Posts outcomes of one profile.
pub(super) struct Webhook {
    client: reqwest::Client,
    headers: HeaderMap,
    egress: Egress,
    signer: Signer,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Webhook {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let egress = Egress::new(&config.egress, config.url.as_deref()).context("the callback URL")?;
        let client = ClientConfig {
            connect_timeout: config.connect_timeout,
            timeout: config.timeout,
            https_only: !config.egress.allow_http,
            roots: Roots::read(config.ca_file.as_deref())?,
        };
        Ok(Self {
            client: http_client::build_resolving(&client, egress.resolver())?,
            headers: super::headers(&config.headers)?,
            signer: Signer::new(&config.secrets).context("a callback secret")?,
            limits: Limits { time: config.timeout, body: ANSWER_LIMIT },
            egress,
            metrics,
        })
    }

    /// The further headers, for the origin of the settings alone: whoever names another host in a trigger must not learn
    /// the key of ours.
    fn headers_for(&self, target: &Url) -> HeaderMap {
        let configured = self.egress.configured_url();
        let own = configured.is_some_and(|configured| configured.origin() == target.origin());
        if own { self.headers.clone() } else { HeaderMap::new() }
    }

    /// Where to, checked anew in every try: the operator may have shortened the list since the trigger was accepted. Only
    /// these URLs ever see a signature.
    fn target(&self, outcome: &StoredOutcome) -> Result<Url, CallbackError> {
        match &outcome.url {
            Some(url) => self.egress.check_trigger_url(url).map_err(|_| CallbackError::Rejected("url not allowed")),
            None => self.egress.configured_url().cloned().ok_or(CallbackError::Rejected("no url")),
        }
    }
}

#[async_trait]
impl Callback for Webhook {
    async fn send(&self, outcome: &StoredOutcome, now: EpochMs) -> Result<(), CallbackError> {
        let id = outcome.trigger_id.to_string();
        let target = self.target(outcome)?;
        let headers = self.headers_for(&target);
        let request = self
            .client
            .post(target)
            .headers(headers)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-timestamp", now.seconds())
            .header("webhook-signature", self.signer.standard(&id, now, &outcome.body))
            .header("webhook-id", id)
            .header("x-webhook-signature", self.signer.hex_body(&outcome.body))
            .header("fallback-attempt", outcome.attempt)
            .body(outcome.body.clone());
        let answer = exchange(request, self.limits, Upstream::Cognigy, &self.metrics).await.map_err(refusal)?;
        // The status alone acknowledges: a body that breaks off behind it changes nothing.
        if answer.status.is_success() { Ok(()) } else { Err(refusal(answer.failure())) }
    }
}

/// Whether another try can help.
fn refusal(error: UpstreamError) -> CallbackError {
    let (status, retry_after): (u16, Option<Duration>) = match error {
        UpstreamError::Status { status, retry_after } => (status, retry_after),
        UpstreamError::Forbidden => return CallbackError::Rejected("address not allowed"),
        UpstreamError::Timeout | UpstreamError::Connect | UpstreamError::Tls | UpstreamError::Malformed(_) => {
            return CallbackError::Unavailable { retry_after: None };
        }
    };
    match status {
        429 => CallbackError::RateLimited { retry_after },
        408 | 425 | 500..=599 => CallbackError::Unavailable { retry_after },
        300..=399 => CallbackError::Rejected("redirected"),
        410 => CallbackError::Rejected("gone"),
        _ => CallbackError::Rejected("refused"),
    }
}
