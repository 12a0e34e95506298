//! Which conversations went on since: a pending trigger that is older than one of these is not worth a model call.
//!
//! Heard by notices, so it is a saving and not a promise: a worker that just started, or missed the news, decides the
//! older trigger as well, and one that is being decided already goes on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    message::{ConversationKey, Envelope, NewerTrigger},
    queue::notice::NoticeReader,
    time::EpochMs,
    trigger::TriggerId,
};

/// The longest deadline: no trigger waits longer.
const KEPT: Duration = Duration::from_secs(300);
/// How many triggers are remembered; about 150 bytes each.
const MOST: usize = 100_000;

/// The newest trigger of each conversation that went on lately.
#[derive(Default)]
pub(super) struct NewerTriggers(Mutex<Known>);

#[derive(Default)]
struct Known {
    newest: HashMap<ConversationKey, (EpochMs, TriggerId)>,
    /// A trigger that is accepted again, by another ingress or after a restart, is not newer for that.
    seen: HashSet<TriggerId>,
    order: VecDeque<NewerTrigger>,
}

impl NewerTriggers {
    /// Listens to what is accepted, until the queue is closed.
    pub(super) async fn listen(&self, mut notices: NoticeReader) {
        while let Some(notice) = notices.next().await {
            if let Ok(newer) = serde_json::from_slice(&notice.body) {
                self.note(newer);
            }
        }
    }

    fn note(&self, newer: NewerTrigger) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.seen.insert(newer.trigger_id) {
            return;
        }
        let newest = (newer.accepted_at, newer.trigger_id);
        let kept = known.newest.entry(newer.conversation).or_insert(newest);
        *kept = (*kept).max(newest);
        known.order.push_back(newer);
        known.forget(newer.accepted_at.minus(KEPT));
    }

    /// True when a later trigger of the same conversation was accepted.
    pub(super) fn supersede(&self, trigger: &Envelope) -> bool {
        let conversation = ConversationKey::of(&trigger.profile, &trigger.conversation_id);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .newest
            .get(&conversation)
            .is_some_and(|(accepted_at, id)| *accepted_at > trigger.accepted_at && *id != trigger.trigger_id)
    }
}

impl Known {
    fn forget(&mut self, before: EpochMs) {
        while let Some(oldest) = self.order.front().copied() {
            if oldest.accepted_at >= before && self.order.len() <= MOST {
                return;
            }
            self.order.pop_front();
            self.seen.remove(&oldest.trigger_id);
            if self.newest.get(&oldest.conversation) == Some(&(oldest.accepted_at, oldest.trigger_id)) {
                self.newest.remove(&oldest.conversation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn trigger(number: u128, accepted_at: u64) -> Envelope {
        Envelope::first(
            TriggerId(Uuid::from_u128(number)),
            "default",
            "c",
            "u",
            EpochMs(accepted_at),
            EpochMs(accepted_at + 30_000),
        )
    }

    fn newer(number: u128, conversation: &str, accepted_at: u64) -> NewerTrigger {
        let conversation = ConversationKey::of("default", conversation);
        NewerTrigger { conversation, trigger_id: TriggerId(Uuid::from_u128(number)), accepted_at: EpochMs(accepted_at) }
    }

    #[test]
    fn only_a_later_trigger_of_the_same_conversation_supersedes() {
        let known = NewerTriggers::default();
        known.note(newer(1, "c", 1_000));
        known.note(newer(2, "other", 9_000));
        assert!(!known.supersede(&trigger(1, 1_000)), "itself");
        assert!(!known.supersede(&trigger(3, 1_000)), "at the same time");
        assert!(!known.supersede(&trigger(3, 2_000)), "a later one");
        assert!(known.supersede(&trigger(3, 999)));
        known.note(newer(4, "c", 500));
        assert!(known.supersede(&trigger(3, 999)), "news may come out of order");
    }

    #[test]
    fn a_trigger_that_is_accepted_again_is_no_newer_than_it_was() {
        let known = NewerTriggers::default();
        known.note(newer(1, "c", 1_000));
        known.note(newer(2, "c", 2_000));
        known.note(newer(1, "c", 3_000));
        assert!(!known.supersede(&trigger(2, 2_000)));
        assert!(known.supersede(&trigger(1, 1_000)));
    }

    #[test]
    fn what_is_older_than_every_deadline_is_forgotten() {
        let known = NewerTriggers::default();
        known.note(newer(1, "c", 1_000));
        known.note(newer(2, "other", 302_000));
        assert!(!known.supersede(&trigger(3, 0)));
        let known = known.0.lock().unwrap();
        assert_eq!((known.newest.len(), known.order.len(), known.seen.len()), (1, 1, 1));
    }
}
