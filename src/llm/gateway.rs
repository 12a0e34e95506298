//! The gateway over HTTP: one request, and what came of it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use tokio::time::Instant;
use url::Url;

use super::{
    Config, LlmError, Spent,
    budget::Budget,
    failure::{Failure, diagnose},
    models::Model,
    reply::{self, Reply, Unusable},
    stopwatch::Stopwatch,
};
use crate::{
    http_client::{self, ClientConfig, Limits, Roots, UpstreamError, exchange_in},
    metrics::{
        Metrics,
        labels::{Finish, TokenDirection, Upstream},
    },
    telemetry::{
        names,
        spans::{self, KeyValue, SpanKind},
    },
};

/// Bytes of an answer.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// A try that was cut short by the caller's own deadline counts against the model only if it had at least this long.
const FAIR_TIME: Duration = Duration::from_secs(5);

/// The model's words.
pub(super) struct Words {
    pub(super) content: String,
    /// True when they were cut off at the token limit.
    pub(super) truncated: bool,
}

/// The chat endpoint and how to reach it.
pub(super) struct Gateway {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    attempt_timeout: Duration,
    budget: Option<Budget>,
    metrics: Arc<Metrics>,
}

impl Gateway {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let url = endpoint(config.base_url.as_deref().context("the gateway's base URL is not set")?)?;
        let client = http_client::build(&ClientConfig {
            connect_timeout: config.connect_timeout,
            timeout: config.attempt_timeout,
            https_only: url.scheme() == "https",
            roots: Roots::read(config.ca_file.as_deref())?,
        })?;
        let (attempt_timeout, budget) = (config.attempt_timeout, config.budget.map(Budget::new));
        Ok(Self { client, url, headers: headers(config)?, attempt_timeout, budget, metrics })
    }

    /// Where it posts to.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Asks the budget for one more call.
    pub(super) fn afford(&self, spent: &Spent) -> Result<(), LlmError> {
        self.budget.as_ref().map_or(Ok(()), |budget| budget.admit(spent))
    }

    /// One request, at most as long as a try may take and never beyond `until`.
    pub(super) async fn post(
        &self,
        body: Bytes,
        model: &Model,
        until: Instant,
        spent: &mut Spent,
    ) -> Result<Words, Failure> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::OutOfTime { fair: false });
        }
        let time = left.min(self.attempt_timeout);
        let asked = body.len();
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let mut span = spans::child(SpanKind::Client, || {
            let attributes = vec![
                KeyValue::new(names::GEN_AI_OPERATION, names::CHAT),
                KeyValue::new(names::GEN_AI_MODEL, model.name.clone()),
            ];
            (format!("{} {}", names::CHAT, model.name).into(), attributes)
        });
        let result = {
            spent.calls += 1;
            let _running = Stopwatch::start(&mut spent.upstream);
            let limits = Limits { time, body: ANSWER_LIMIT };
            let exchanged = exchange_in(&mut span, request, limits, Upstream::Llm, &self.metrics).await;
            exchanged.map_err(|unanswered| unanswered.error)
        };
        let cut_short = |error| match error {
            UpstreamError::Timeout if time < self.attempt_timeout => Failure::OutOfTime { fair: time >= FAIR_TIME },
            error => error.into(),
        };
        if matches!(result, Err(UpstreamError::Timeout)) {
            // The model may well have worked on it.
            self.charge(estimate(asked), spent);
        }
        let mut answer = result.map_err(cut_short)?;
        if !answer.status.is_success() {
            return Err(diagnose(&answer));
        }
        let headers = std::mem::take(&mut answer.headers);
        let body = answer.success().map_err(cut_short)?;
        let reply = reply::read(&body);
        if let Some(usage) = reply.usage {
            span.set(names::GEN_AI_INPUT, i64::try_from(usage.prompt_tokens).unwrap_or(i64::MAX));
            span.set(names::GEN_AI_OUTPUT, i64::try_from(usage.completion_tokens).unwrap_or(i64::MAX));
        }
        self.pay(&reply, model, estimate(asked + body.len()), spent);
        if let Some(cost) = model.costs.note(&headers, reply.usage) {
            *spent.cost_usd.get_or_insert_default() += cost;
        }
        self.judge(reply)
    }

    /// Takes from the budget what a request of so many bytes may cost whose answer is not waited for.
    pub(super) fn given_up(&self, asked: usize, spent: &mut Spent) {
        self.charge(estimate(asked), spent);
    }

    fn judge(&self, reply: Reply) -> Result<Words, Failure> {
        if let Some(finish) = reply.finish {
            self.metrics.llm_finish.get(finish).inc();
        }
        match reply.content {
            Ok(content) => Ok(Words { content, truncated: reply.finish == Some(Finish::Length) }),
            Err(Unusable::Refused) => Err(Failure::ContentRefused),
            Err(Unusable::Malformed) => Err(UpstreamError::Malformed("not a chat completion").into()),
        }
    }

    fn pay(&self, reply: &Reply, model: &Model, estimate: u64, spent: &mut Spent) {
        let Some(usage) = reply.usage else { return self.charge(estimate, spent) };
        *spent.usage.get_or_insert_default() += usage;
        // No part is larger than its whole, whatever the gateway says.
        let cached = reply.details.cached.min(usage.prompt_tokens);
        let reasoning = reply.details.reasoning.min(usage.completion_tokens);
        model.tokens.get(TokenDirection::Input).inc_by(usage.prompt_tokens - cached);
        model.tokens.get(TokenDirection::CachedInput).inc_by(cached);
        model.tokens.get(TokenDirection::Output).inc_by(usage.completion_tokens - reasoning);
        model.tokens.get(TokenDirection::Reasoning).inc_by(reasoning);
        self.charge(usage.prompt_tokens.saturating_add(usage.completion_tokens), spent);
    }

    fn charge(&self, tokens: u64, spent: &mut Spent) {
        spent.charged = spent.charged.saturating_add(tokens);
        if let Some(budget) = &self.budget {
            budget.charge(tokens);
        }
    }
}

/// Tokens of so many bytes, for a budget when nobody says better.
fn estimate(bytes: usize) -> u64 {
    bytes as u64 / 4
}

/// `<base>/v1/chat/completions`, where the base may already end with a version or with the whole path. A query stays.
pub(super) fn endpoint(base: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse(base).context("the gateway's base URL is no URL")?;
    ensure!(matches!(url.scheme(), "http" | "https"), "the gateway's base URL is neither http nor https");
    let path = url.path().trim_end_matches('/');
    let versioned = path.rsplit('/').next().is_some_and(|last| {
        last.strip_prefix('v').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    });
    let path = if path.ends_with("/chat/completions") {
        path.to_owned()
    } else if versioned {
        format!("{path}/chat/completions")
    } else {
        format!("{path}/v1/chat/completions")
    };
    url.set_path(&path);
    Ok(url)
}

pub(super) fn headers(config: &Config) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = &config.api_key {
        headers.insert(AUTHORIZATION, sensitive(&format!("Bearer {}", key.expose())).context("the gateway's key")?);
    }
    for (name, value) in &config.headers {
        let value = sensitive(value.expose()).with_context(|| format!("header \"{name}\""))?;
        headers.insert(name.parse::<HeaderName>().with_context(|| format!("header \"{name}\""))?, value);
    }
    Ok(headers)
}

fn sensitive(text: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).context("has characters that a header cannot carry")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_may_have_a_version_or_the_whole_path() {
        for (base, expected) in [
            ("https://h", "https://h/v1/chat/completions"),
            ("https://h/", "https://h/v1/chat/completions"),
            ("https://h/v1", "https://h/v1/chat/completions"),
            ("https://h/v1/", "https://h/v1/chat/completions"),
            ("https://h/api/paas/v4", "https://h/api/paas/v4/chat/completions"),
            ("https://h/gateway", "https://h/gateway/v1/chat/completions"),
            ("https://h/v1beta/openai/chat/completions", "https://h/v1beta/openai/chat/completions"),
            ("https://h/v?api-version=1", "https://h/v/v1/chat/completions?api-version=1"),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), expected, "{base}");
        }
        for base in ["", "h", "ftp://h", "localhost:8000"] {
            assert!(endpoint(base).is_err(), "{base}");
        }
    }
}
