//! Any other answer of the gateway, and what to do about it.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::{LlmError, body::Parameter};
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
/// or Portkey's `{"status": "failure", "message": "…"}`. They are looked at and never repeated.
struct Said {
    message: String,
    kind: String,
    code: String,
    parameter: String,
}

impl Said {
    fn read(body: &Value) -> Self {
        let error = if body["error"].is_object() { &body["error"] } else { body };
        let word = |value: &Value| value.as_str().unwrap_or("").to_ascii_lowercase();
        let message = if error["message"].is_string() { &error["message"] } else { &body["error"] };
        Self {
            message: word(message),
            kind: word(&error["type"]),
            code: word(&error["code"]),
            parameter: word(&error["param"]),
        }
    }

    /// A 429 that no wait heals. A balancing gateway may keep only the message.
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
        status == 402 || (status == 429 && (named || self.message.contains("exceeded your current quota")))
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
            || says(&["not support", "n't support", "unsupported", "unavailable", "unrecognized", "not permitted"]);
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
