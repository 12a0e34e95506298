//! The model gateway: an OpenAI-compatible `POST /v1/chat/completions`.
//!
//! [`LlmClient::complete`] asks the models in their order; each several times, as long as that can help and time is left.
//! The siblings: `body` is what is sent, `gateway` sends it, `reply` reads a good answer and `failure` any other, `models`
//! remembers what each model does not take, `breakers` when it is held off, `client` asks model by model; `budget` and `cost`
//! know what that may and does cost; `hedge` asks a second time beside a call that takes long, `adaptive` finds out how fast
//! a gateway may be asked, by how it answers (`latency`).

mod adaptive;
mod asked;
mod body;
mod breakers;
mod budget;
mod client;
mod cost;
mod failure;
#[cfg(fuzzing)]
pub mod fuzz;
mod gateway;
mod hedge;
mod latency;
mod listing;
mod models;
mod reply;
mod stopwatch;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{outcome::Usage, secret::Secret};

pub use breakers::Breakers;
pub use budget::BudgetConfig;
pub use client::LlmClient;
pub use cost::Price;
pub use hedge::{HedgeConfig, HedgeTo};
pub use listing::{Listing, list_models};

/// Settings of a profile's model gateway.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Base URL, with or without `/v1`.
    pub base_url: Option<String>,
    /// Bearer key.
    pub api_key: Option<Secret>,
    /// Models, the preferred one first; the next is asked when one cannot answer.
    pub models: Vec<String>,
    /// Sampling temperature.
    pub temperature: f64,
    /// Most tokens of an answer.
    #[schemars(extend("x-unit" = "tokens"))]
    pub max_tokens: u32,
    /// What to ask for as `response_format`.
    pub response_format: ResponseFormat,
    /// Tries for each model, the first included.
    pub attempts: u32,
    /// Calls for one trigger, over all models, tries and re-asks. A trigger that comes back (its worker died, or a panic)
    /// has half of them each time, and at least one.
    pub calls_per_trigger: u32,
    /// Limit of one try, the body included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub attempt_timeout: Duration,
    /// Limit for making a connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub connect_timeout: Duration,
    /// How often the model is asked again after an invalid answer (0–2).
    pub reasks: u32,
    /// Further request headers.
    pub headers: BTreeMap<String, Secret>,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What each model costs, where the gateway does not say it.
    #[serde(default)]
    pub prices: BTreeMap<String, Price>,
    /// How many tokens may be used; without it any number.
    #[serde(default)]
    pub budget: Option<BudgetConfig>,
    /// Whether calls slow down to what the gateway takes: after a 429 they leave evenly, at the pace it just answered at,
    /// and while its answers take thrice as long as usual fewer are under way at once. Each process finds its own share.
    pub adaptive: bool,
    /// A second call beside one that takes long; without it none.
    #[serde(default)]
    pub hedge: Option<HedgeConfig>,
}

/// The `response_format` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// `{"type":"json_object"}`, as the original service asked.
    JsonObject,
    /// `{"type":"json_schema"}` with the decision schema.
    JsonSchema,
    /// None at all.
    None,
}

/// One message of a chat.
#[derive(Clone, Serialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// The text.
    pub content: String,
}

/// What to ask a model.
#[derive(Clone, Copy)]
pub struct CompletionRequest<'a> {
    /// The chat so far.
    pub messages: &'a [ChatMessage],
    /// Multiplies the configured `max_tokens`: 1, or more after an answer that was cut off at the limit.
    pub max_tokens_factor: u32,
    /// No more than these calls for the trigger, those in [`Spent`] included.
    pub most_calls: u32,
}

impl<'a> CompletionRequest<'a> {
    /// A request with the configured token limit, and no other limit of calls than the tries of each model.
    #[must_use]
    pub fn new(messages: &'a [ChatMessage]) -> Self {
        Self { messages, max_tokens_factor: 1, most_calls: u32::MAX }
    }
}

/// The raw text of a model's answer, and what it cost.
#[derive(Clone)]
pub struct Completion {
    /// The text.
    pub content: String,
    /// True when it was cut off at the token limit.
    pub truncated: bool,
    /// The configured name of the model that answered.
    pub model: String,
    /// True when that was not the first of the list.
    pub fallback: bool,
}

/// What the calls for one completion have cost, whether it came or not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Requests sent.
    pub calls: u32,
    /// Tokens; `None` when no answer reported them.
    pub usage: Option<Usage>,
    /// US dollars; `None` when no answer's cost was known.
    pub cost_usd: Option<f64>,
    /// Tokens taken from the budget: those reported, or a quarter of the bytes where none were.
    pub charged: u64,
    /// Time spent in requests, without the waits between them.
    pub upstream: Duration,
    /// Time spent in those waits.
    pub waited: Duration,
}

/// Why there is no completion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// No time was left to ask (again).
    #[error("no time left")]
    OutOfTime,
    /// Every model is over its limits.
    #[error("rate limited")]
    RateLimited,
    /// The account has no money left.
    #[error("quota exhausted")]
    QuotaExhausted,
    /// The profile's own budget is used up.
    #[error("budget exhausted")]
    BudgetExhausted,
    /// The trigger has had all its calls.
    #[error("no call left")]
    CallsExhausted,
    /// The key was refused.
    #[error("not authorised")]
    Unauthorized,
    /// The gateway refused the request for good.
    #[error("request rejected with {0}")]
    Rejected(u16),
    /// The gateway or its model failed or could not be reached.
    #[error("not available")]
    Unavailable,
    /// The model refused to answer, or a content filter cut it off.
    #[error("content refused")]
    ContentRefused,
}

impl LlmError {
    /// The short code for the outcome's `error`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfTime => "llm_out_of_time",
            Self::RateLimited => "llm_rate_limited",
            Self::QuotaExhausted => "llm_quota_exhausted",
            Self::BudgetExhausted => "llm_budget_exhausted",
            Self::CallsExhausted => "llm_calls_exhausted",
            Self::Unauthorized => "llm_unauthorized",
            Self::Rejected(_) => "llm_rejected",
            Self::Unavailable => "llm_unavailable",
            Self::ContentRefused => "content_refused",
        }
    }
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completion").field("model", &self.model).finish_non_exhaustive()
    }
}
