//! The identity of a trigger.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Identity of a trigger: derived from an idempotency key (UUIDv8) or fresh (UUIDv7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(value_type = String, format = "uuid")]
pub struct TriggerId(pub Uuid);

/// What makes two requests the same trigger, strongest first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyKey<'a> {
    /// The signed `webhook-id` header (scheme `standard`).
    WebhookId(&'a str),
    /// The `Idempotency-Key` header.
    Header(&'a str),
    /// `conversationId` and `inputId` of the body.
    Input {
        /// `conversationId`.
        conversation_id: &'a str,
        /// `inputId`.
        input_id: &'a str,
    },
}

impl TriggerId {
    /// The id that every replica derives from the same key of the same profile:
    /// UUIDv8 (RFC 9562) of SHA-256(profile, kind, key), each part preceded by its length.
    #[must_use]
    pub fn derived(profile: &str, key: IdempotencyKey<'_>) -> Self {
        let parts: &[&str] = match key {
            IdempotencyKey::WebhookId(id) => &[profile, "webhook-id", id],
            IdempotencyKey::Header(id) => &[profile, "idempotency-key", id],
            IdempotencyKey::Input { conversation_id, input_id } => &[profile, "input", conversation_id, input_id],
        };
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(Uuid::new_v8(bytes))
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for TriggerId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_id_and_another_profile_kind_or_split_another() {
        let id = |profile, key| TriggerId::derived(profile, key).to_string();
        let base = id("default", IdempotencyKey::Header("k"));
        assert_eq!(base, id("default", IdempotencyKey::Header("k")));
        assert_ne!(base, id("other", IdempotencyKey::Header("k")));
        assert_ne!(base, id("default", IdempotencyKey::WebhookId("k")));
        let split = |conversation_id, input_id| id("p", IdempotencyKey::Input { conversation_id, input_id });
        assert_ne!(split("ab", "c"), split("a", "bc"));
        assert_eq!(base.as_bytes()[14], b'8', "version 8: {base}");
    }
}
