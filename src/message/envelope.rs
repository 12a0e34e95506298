//! The headers of a message. They are all that the late lane needs, so they hold no text, only ids and times.

use serde::{Deserialize, Serialize};

use super::Tries;
use crate::{time::EpochMs, trigger::TriggerId};

/// The version this program writes. Another one goes to the late lane: a safe answer, never a crash.
pub const ENVELOPE_VERSION: u32 = 1;

/// Headers of a message; on the wire each is named `fr-…` (see `docs` of the RabbitMQ backend).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// `fr-version`.
    pub version: u32,
    /// `fr-trigger-id`, also AMQP's `message_id`.
    pub trigger_id: TriggerId,
    /// `fr-profile`.
    pub profile: String,
    /// `fr-conversation-id`.
    pub conversation_id: String,
    /// `fr-user-id`.
    pub user_id: String,
    /// `fr-session-id`.
    pub session_id: Option<String>,
    /// `fr-language`: BCP 47.
    pub language: Option<String>,
    /// `fr-accepted-ms`: when the ingress accepted it.
    pub accepted_at: EpochMs,
    /// `fr-deadline-ms`: when the answer shall have left.
    pub deadline: EpochMs,
    /// `fr-stored-ms`: when the outcome was stored; the callback's age counts from here.
    pub stored_at: Option<EpochMs>,
    /// `fr-attempt`: 1 for the first try of this stage.
    pub attempt: u32,
    /// `fr-not-before-ms`: a delivery before this goes back to a delay level.
    pub not_before: Option<EpochMs>,
    /// `fr-callback`: the callback URL that the trigger named, if its profile allowed it.
    pub callback: Option<String>,
    /// `fr-reason`: why it is in the late lane or among the dead letters.
    pub reason: Option<Reason>,
    /// `fr-replay`: how often an operator replayed it.
    pub replay: u32,
    /// `fr-tries`: what became of earlier tries.
    pub tries: Tries,
    /// `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
}

impl Envelope {
    /// The headers of a trigger that comes for the first time, with nothing optional.
    #[must_use]
    pub fn first(
        trigger_id: TriggerId,
        profile: impl Into<String>,
        conversation_id: impl Into<String>,
        user_id: impl Into<String>,
        accepted_at: EpochMs,
        deadline: EpochMs,
    ) -> Self {
        Self {
            version: ENVELOPE_VERSION,
            trigger_id,
            profile: profile.into(),
            conversation_id: conversation_id.into(),
            user_id: user_id.into(),
            session_id: None,
            language: None,
            accepted_at,
            deadline,
            stored_at: None,
            attempt: 1,
            not_before: None,
            callback: None,
            reason: None,
            replay: 0,
            tries: Tries::default(),
            traceparent: None,
        }
    }
}

/// Why a message left its lane. A closed set: it is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its time ran out before a worker took it.
    Expired,
    /// It came back too often without being settled: it kills or hangs its workers.
    Poison,
    /// Our own failures used up its attempts.
    Exhausted,
    /// It is not a message that this program can read.
    Unreadable,
    /// The receiver refused the callback for good.
    CallbackRejected,
    /// The callback's age limit passed.
    CallbackExpired,
    /// Whether the receiver took the callback is unknown, and asking again could show the answer twice.
    CallbackUnknown,
    /// No queue was bound for it.
    Unrouted,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Expired,
        Self::Poison,
        Self::Exhausted,
        Self::Unreadable,
        Self::CallbackRejected,
        Self::CallbackExpired,
        Self::CallbackUnknown,
        Self::Unrouted,
    ];

    /// The name in headers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Poison => "poison",
            Self::Exhausted => "exhausted",
            Self::Unreadable => "unreadable",
            Self::CallbackRejected => "callback_rejected",
            Self::CallbackExpired => "callback_expired",
            Self::CallbackUnknown => "callback_unknown",
            Self::Unrouted => "unrouted",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}
