//! An outcome: what is finally posted back. A decision, or the safe answer that sends the conversation to a human.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    decision::Decision,
    trigger::{Trigger, TriggerId},
};

/// How a trigger ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The model decided.
    Success,
    /// The model answered, but never with a valid decision.
    SchemaValidationFailed,
    /// No model could be asked or none answered in time.
    LlmUnavailable,
    /// A model refused, or a content filter cut it off.
    ContentRefused,
    /// The deadline passed before a decision.
    Expired,
    /// The customer wrote again before it was decided.
    Superseded,
    /// Our own failure.
    InternalError,
}

impl Status {
    /// Every status, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::SchemaValidationFailed,
        Self::LlmUnavailable,
        Self::ContentRefused,
        Self::Expired,
        Self::Superseded,
        Self::InternalError,
    ];

    /// The name on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::SchemaValidationFailed => "schema_validation_failed",
            Self::LlmUnavailable => "llm_unavailable",
            Self::ContentRefused => "content_refused",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::InternalError => "internal_error",
        }
    }
}

/// What was done without, or otherwise than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// The history could not be had.
    NoHistory,
    /// Only a part of the history could be had.
    PartialHistory,
    /// Another model than the first of the list answered.
    FallbackModel,
    /// The model was asked again after an invalid answer.
    Reasked,
    /// Something was masked before the model saw it.
    Redacted,
    /// Older turns were left out to keep within the budget.
    TruncatedHistory,
}

/// Tokens paid for, over all calls of the trigger. `None` in the outcome when no call reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// How often something was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attempts {
    /// Calls of the model gateway.
    pub llm: u32,
    /// Deliveries of the trigger to a worker that ran it.
    pub work: u32,
}

/// How the outcome came about. Holds no customer text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    /// Name of the profile.
    pub profile: String,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Template set and the first 12 hex digits of its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What was done without.
    pub degraded: Vec<Degraded>,
    /// How often something was tried.
    pub attempts: Attempts,
    /// Tokens, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it cost in US dollars, where known: for the log, not for the receiver.
    #[serde(skip)]
    pub cost_usd: Option<f64>,
    /// From acceptance until the outcome was decided, in milliseconds.
    pub duration_ms: u64,
    /// True when it was decided after the deadline.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// The outcome of one trigger. Serialised once, when it is stored; every callback try repeats those bytes.
#[derive(Clone, Serialize, ToSchema)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Whose outcome it is.
    #[serde(rename = "triggerId")]
    pub trigger_id: TriggerId,
    /// The conversation, as the trigger named it.
    #[serde(rename = "conversationId")]
    pub conversation_id: String,
    /// The decision; present exactly when the status is `success`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_decision: Option<Decision>,
    /// A short code; never model output or customer text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub error: Option<&'static str>,
    /// What the flow shall do without a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub fallback_action: Option<&'static str>,
    /// The safe answer in the language of the trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_response: Option<String>,
    /// Echo of the trigger's metadata.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// How it came about.
    pub meta: Meta,
}

impl Outcome {
    /// The outcome of a trigger that the model decided; `metadata` is the trigger's, masked.
    #[must_use]
    pub fn decided(trigger: &Trigger, metadata: Map<String, Value>, decision: Decision, meta: Meta) -> Self {
        Self {
            status: Status::Success,
            trigger_id: trigger.id,
            conversation_id: trigger.body.conversation_id.clone(),
            routing_decision: Some(decision),
            error: None,
            fallback_action: None,
            suggested_response: None,
            metadata,
            meta,
        }
    }

    /// The safe outcome: a human takes over. `error` is a short code, `answer` what the customer may be told.
    #[must_use]
    pub fn safe(
        trigger_id: TriggerId,
        conversation_id: String,
        metadata: Map<String, Value>,
        status: Status,
        error: &'static str,
        answer: String,
        meta: Meta,
    ) -> Self {
        Self {
            status,
            trigger_id,
            conversation_id,
            routing_decision: None,
            error: Some(error),
            fallback_action: Some("route_to_human"),
            suggested_response: Some(answer),
            metadata,
            meta,
        }
    }
}

// It holds the model's words and the customer's metadata.
impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome")
            .field("status", &self.status)
            .field("trigger_id", &self.trigger_id)
            .finish_non_exhaustive()
    }
}
