//! A trigger: one accepted request for help with a message that the bot did not understand.

mod fields;
mod id;
mod parse;
mod values;
mod wire;

pub use id::{IdempotencyKey, TriggerId};
pub use parse::Problem;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use self::wire::{Identifier, LanguageTag, Name, Score};
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
#[derive(Clone, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TriggerBody {
    /// `conversationId`: the conversation in CXone.
    #[schema(value_type = Identifier)]
    pub conversation_id: String,
    /// `userId`: the customer, as the channel names them.
    #[schema(value_type = Identifier)]
    pub user_id: String,
    /// `lastMessage`: what the bot did not understand; may be empty.
    #[schema(max_length = 10_000)]
    pub last_message: String,
    /// `confidenceScore`: 0..=1; `None` when Cognigy had no candidate at all.
    #[schema(value_type = Option<Score>)]
    pub confidence_score: Option<f64>,
    /// `detectedIntent`: what the bot suspected.
    #[schema(max_length = 256)]
    pub detected_intent: Option<String>,
    /// `metadata`: handed to the template and echoed in the outcome.
    #[schema(value_type = Option<Object>)]
    pub metadata: Map<String, Value>,
    /// `sessionId` of the Cognigy session.
    #[schema(value_type = Option<Name>)]
    pub session_id: Option<String>,
    /// `urlToken` of the endpoint: whoever knows it can write into the conversation, so it is never logged.
    #[schema(value_type = Option<Name>)]
    pub url_token: Option<String>,
    /// `channel`, as Cognigy names it.
    #[schema(value_type = Option<Name>)]
    pub channel: Option<String>,
    /// `endpointType`, as Cognigy names it.
    #[schema(value_type = Option<Name>)]
    pub endpoint_type: Option<String>,
    /// `inputId`: Cognigy's id of this one message; with `conversationId` it makes an idempotency key.
    #[schema(value_type = Option<Name>)]
    pub input_id: Option<String>,
    /// `language`: BCP 47; picks the language of the safe answer.
    #[schema(value_type = Option<LanguageTag>)]
    pub language: Option<String>,
    /// `candidates`: what the bot's own recogniser had considered.
    #[schema(value_type = Option<Vec<Candidate>>, max_items = 50)]
    pub candidates: Vec<Candidate>,
    /// `history`: turns sent along, oldest first.
    #[schema(value_type = Option<Vec<Turn>>, max_items = 50)]
    pub history: Vec<Turn>,
    /// `contact`: CXone ids for digital history.
    #[schema(value_type = Option<Contact>)]
    pub contact: Contact,
    /// `callbackUrl`: where to post the outcome, if the profile allows its host.
    #[schema(max_length = 2048, pattern = "^[Hh][Tt][Tt][Pp][Ss]?://")]
    pub callback_url: Option<String>,
    /// `deadlineMs`: milliseconds from acceptance until the answer is worthless.
    #[schema(minimum = 1_000, maximum = 300_000)]
    pub deadline_ms: Option<u64>,
}

/// An intent that the bot's recogniser had considered.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
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
#[derive(Clone, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Contact {
    /// `contactId`: the ACD contact.
    #[schema(value_type = Option<Name>)]
    pub contact_id: Option<String>,
    /// `caseId`: the digital case.
    #[schema(value_type = Option<Name>)]
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
