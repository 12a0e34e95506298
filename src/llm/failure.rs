//! Any other answer of the gateway, and what to do about it.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::{LlmError, adaptive::Ending, body::Parameter};
use crate::{
    breaker::Report,
    http_client::{Answer, UpstreamError},
    metrics::labels::RetryCause,
};

/// Why a try gave no completion, by what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Waiting.
    Transient { cause: RetryCause, asked: Option<Duration>, error: LlmError },
    /// Leaving this out of the request.
    Parameter { refused: Parameter, status: u16 },
    /// Another model, and somebody to look after this one: key, money or name.
    Denied(LlmError),
    /// Another model.
    Rejected(LlmError),
    /// A human.
    ContentRefused,
    /// Nothing: the time is over. `fair` when the model had enough of it to be judged by.
    OutOfTime { fair: bool },
}

impl Failure {
    /// What it tells about the model's health, if anything.
    pub(super) fn report(&self) -> Option<Report> {
        match self {
            // Being over a limit is health; the wait it asks for is obeyed by each caller.
            Self::Transient { cause: RetryCause::RateLimited, .. } | Self::Rejected(LlmError::RateLimited) => None,
            Self::Transient { .. } | Self::Rejected(LlmError::Unavailable) | Self::OutOfTime { fair: true } => {
                Some(Report::Failure)
            }
            Self::Denied(_) => Some(Report::Refusal),
            Self::Parameter { .. } | Self::Rejected(_) | Self::ContentRefused => Some(Report::Success),
            Self::OutOfTime { fair: false } => None,
        }
    }

    /// What it tells of how busy the gateway is, after a call that `took` so long.
    pub(super) fn ending(&self, took: Duration) -> Ending {
        match self {
            Self::Transient { cause: RetryCause::RateLimited, .. } | Self::Rejected(LlmError::RateLimited) => {
                Ending::Limited
            }
            Self::Transient { cause: RetryCause::Timeout, .. } | Self::OutOfTime { fair: true } => Ending::Took(took),
            _ => Ending::Nothing,
        }
    }

    /// The word for it, where it is one of this model's own.
    pub(super) fn error(&self) -> Option<LlmError> {
        match self {
            Self::Transient { error, .. } | Self::Denied(error) | Self::Rejected(error) => Some(error.clone()),
            Self::OutOfTime { .. } => Some(LlmError::Unavailable),
            Self::Parameter { .. } | Self::ContentRefused => None,
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        match error.retry_cause() {
            None => Self::Rejected(LlmError::Unavailable),
            Some(cause) => {
                let limited = cause == RetryCause::RateLimited;
                let said = if limited { LlmError::RateLimited } else { LlmError::Unavailable };
                Self::Transient { cause, asked: error.retry_after(), error: said }
            }
        }
    }
}

/// What an answer that is no 2xx means.
pub(super) fn diagnose(answer: &Answer) -> Failure {
    let status = answer.status.as_u16();
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    let said = Said::read(&body);
    if said.is_quota(status) {
        return Failure::Denied(LlmError::QuotaExhausted);
    }
    if matches!(status, 400 | 422) {
        if said.is_content_refusal() {
            return Failure::ContentRefused;
        }
        if let Some(refused) = said.refused_parameter() {
            return Failure::Parameter { refused, status };
        }
    }
    match status {
        401 | 403 => Failure::Denied(LlmError::Unauthorized),
        // LiteLLM without a database tells a wrong key so.
        400 if said.kind == "no_db_connection" => Failure::Denied(LlmError::Unauthorized),
        404 => Failure::Denied(LlmError::Rejected(404)),
        _ => repeatable(answer, status),
    }
}

/// The status decides whether to try again, unless the gateway says so itself (`x-should-retry`, as OpenAI's clients obey).
fn repeatable(answer: &Answer, status: u16) -> Failure {
    let failure = answer.failure();
    match (should_retry(&answer.headers), failure.retry_cause()) {
        (None | Some(true), Some(_)) => failure.into(),
        (Some(true), None) => Failure::Transient {
            cause: RetryCause::ServerError,
            asked: failure.retry_after(),
            error: LlmError::Rejected(status),
        },
        (Some(false), Some(RetryCause::RateLimited)) => Failure::Rejected(LlmError::RateLimited),
        (Some(false), Some(_)) => Failure::Rejected(LlmError::Unavailable),
        (None | Some(false), None) => Failure::Rejected(LlmError::Rejected(status)),
    }
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.to_str().ok()?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The words of an error answer, in lower case: `{"error": {"message", "type", "code", "param"}}`, `{"error": "…"}`,
/// Portkey's `{"status": "failure", "message": "…"}`, FastAPI's `{"detail": "…"}` or `{"detail": [{"loc", "msg"}]}`; any of
/// them alone in a list, as Gemini's are. They are looked at and never repeated.
struct Said {
    message: String,
    kind: String,
    code: String,
    parameter: String,
}

impl Said {
    fn read(body: &Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let error = if body["error"].is_object() { &body["error"] } else { body };
        let word = |value: &Value| value.as_str().unwrap_or("").to_ascii_lowercase();
        let message = [&error["message"], &body["error"], &body["detail"]].into_iter().find(|value| value.is_string());
        Self {
            message: message.map_or_else(|| details(&body["detail"]), word),
            kind: word(&error["type"]),
            code: word(&error["code"]),
            parameter: word(&error["param"]),
        }
    }

    /// A 429 that no wait heals. A balancing gateway may keep only the message, and Anthropic says it with 400.
    fn is_quota(&self, status: u16) -> bool {
        const WORDS: [&str; 6] = [
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "billing_hard_limit_reached",
        ];
        let named = WORDS.contains(&self.kind.as_str()) || WORDS.contains(&self.code.as_str());
        let said = |words: &str| self.message.contains(words);
        status == 402
            || (status == 429 && (named || said("exceeded your current quota")))
            || (matches!(status, 400 | 429) && said("credit balance is too low"))
    }

    fn is_content_refusal(&self) -> bool {
        const CODES: [&str; 2] = ["content_filter", "content_policy_violation"];
        CODES.contains(&self.code.as_str())
            || CODES.contains(&self.kind.as_str())
            || self.message.contains("contentpolicyviolation")
    }

    /// The parameter that this model does not take. The name alone is not enough ("max_tokens is too large"): the answer
    /// must also say that it is the parameter, and not its value, that is wrong.
    fn refused_parameter(&self) -> Option<Parameter> {
        let names = |name: &str| self.parameter.starts_with(name) || self.message.contains(name);
        let says = |words: &[&str]| words.iter().any(|word| self.message.contains(word));
        let unsupported = self.code.starts_with("unsupported")
            || says(&["not support", "n't support", "unsupported", "unavailable", "unrecognized", "not recognized"])
            || says(&["not permitted", "not allowed", "unknown name", "unknown field", "unknown parameter"]);
        if names("max_tokens") && (unsupported || self.message.contains("max_completion_tokens")) {
            Some(Parameter::MaxTokens)
        } else if names("response_format") && (unsupported || says(&["must be", "must contain", "invalid"])) {
            Some(Parameter::ResponseFormat)
        } else if names("temperature") && (unsupported || says(&["must be", "only", "deprecated"])) {
            Some(Parameter::Temperature)
        } else {
            None
        }
    }
}

/// What a validating server found: the places, and what is wrong there.
fn details(detail: &Value) -> String {
    let mut words = Vec::new();
    for found in detail.as_array().into_iter().flatten().take(8) {
        words.extend(found["loc"].as_array().into_iter().flatten().filter_map(Value::as_str));
        words.extend(found["msg"].as_str());
    }
    words.join(" ").to_ascii_lowercase()
}
