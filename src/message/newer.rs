//! The news that a customer wrote again: the body of a notice.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{time::EpochMs, trigger::TriggerId};

/// A conversation of a profile, without its name: the same for the same one, and nothing else can be told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConversationKey(u128);

impl ConversationKey {
    /// The key of a conversation.
    #[must_use]
    pub fn of(profile: &str, conversation_id: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [profile, conversation_id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(u128::from_be_bytes(bytes))
    }
}

/// A trigger was accepted; older ones of its conversation are no longer worth an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewerTrigger {
    /// Whose conversation it is.
    pub conversation: ConversationKey,
    /// Which trigger.
    pub trigger_id: TriggerId,
    /// When it was accepted, by the clock of its ingress.
    pub accepted_at: EpochMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_one_conversation_of_one_profile() {
        let key = ConversationKey::of("default", "c-1");
        assert_eq!(key, ConversationKey::of("default", "c-1"));
        for (profile, conversation) in [("sales", "c-1"), ("default", "c-2"), ("defaultc", "-1")] {
            assert_ne!(key, ConversationKey::of(profile, conversation));
        }
    }
}
