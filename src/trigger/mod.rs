//! A trigger: one accepted request for help with a message that the bot did not understand.

mod fields;
mod id;
mod parse;
mod values;

pub use id::{IdempotencyKey, TriggerId};
pub use parse::Problem;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{conversation::Turn, time::EpochMs};

/// An accepted trigger: the body, and what the ingress added when it accepted it.
#[derive(Clone)]
pub struct Trigger {
    /// Its identity, the same in every retry: the `webhook-id` of the callback.
    pub id: TriggerId,
    /// Name of the profile (the bot) it belongs to.
    pub profile: String,
    /// When it was accepted.
    pub accepted_at: EpochMs,
    /// When its answer shall have left. Work ends a reserve earlier.
    pub deadline: EpochMs,
    /// What Cognigy sent.
    pub body: TriggerBody,
}

/// The validated body of a trigger. Absent and `null` optional fields are `None` or empty.
/// Limits are those of the contract; [`TriggerBody::parse`] holds them.
#[derive(Clone, Default)]
pub struct TriggerBody {
    /// `conversationId`: the conversation in CXone.
    pub conversation_id: String,
    /// `userId`: the customer, as the channel names them.
    pub user_id: String,
    /// `lastMessage`: what the bot did not understand; may be empty.
    pub last_message: String,
    /// `confidenceScore`: 0..=1; `None` when Cognigy had no candidate at all.
    pub confidence_score: Option<f64>,
    /// `detectedIntent`: what the bot suspected.
    pub detected_intent: Option<String>,
    /// `metadata`: handed to the template and echoed in the outcome.
    pub metadata: Map<String, Value>,
    /// `sessionId` of the Cognigy session.
    pub session_id: Option<String>,
    /// `urlToken` of the endpoint: whoever knows it can write into the conversation, so it is never logged.
    pub url_token: Option<String>,
    /// `channel`, as Cognigy names it.
    pub channel: Option<String>,
    /// `endpointType`, as Cognigy names it.
    pub endpoint_type: Option<String>,
    /// `inputId`: Cognigy's id of this one message; with `conversationId` it makes an idempotency key.
    pub input_id: Option<String>,
    /// `language`: BCP 47; picks the language of the safe answer.
    pub language: Option<String>,
    /// `candidates`: what the bot's own recogniser had considered.
    pub candidates: Vec<Candidate>,
    /// `history`: turns sent along, oldest first.
    pub history: Vec<Turn>,
    /// `contact`: CXone ids for digital history.
    pub contact: Contact,
    /// `callbackUrl`: where to post the outcome, if the profile allows its host.
    pub callback_url: Option<String>,
    /// `deadlineMs`: milliseconds from acceptance until the answer is worthless.
    pub deadline_ms: Option<u64>,
}

/// An intent that the bot's recogniser had considered.
#[derive(Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Name of the intent.
    pub name: String,
    /// The recogniser's score.
    pub score: f64,
    /// What the intent is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// CXone ids of the contact, where the flow knows them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// `contactId`: the ACD contact.
    pub contact_id: Option<String>,
    /// `caseId`: the digital case.
    pub case_id: Option<String>,
}

// Customer text must not reach a log through `{:?}`.
impl std::fmt::Debug for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trigger").field("id", &self.id).field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TriggerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TriggerBody").finish_non_exhaustive()
    }
}
