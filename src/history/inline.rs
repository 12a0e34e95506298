//! The history that the trigger itself brings.

use async_trait::async_trait;
use tokio::time::Instant;

use super::{HistoryError, HistoryProvider};
use crate::{conversation::Conversation, trigger::Trigger};

/// Takes the trigger's `history` field and asks nobody.
pub(super) struct Inline;

#[async_trait]
impl HistoryProvider for Inline {
    async fn fetch(&self, trigger: &Trigger, _until: Instant) -> Result<Conversation, HistoryError> {
        Ok(Conversation { turns: trigger.body.history.clone(), ..Conversation::default() })
    }
}
