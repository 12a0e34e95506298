//! How posts ended that were made here. Where a delivery could not be settled by that it comes back, and is settled then:
//! the receiver may have shown the answer already, so it is not posted again.

use std::{
    cmp::Ordering,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hashlink::LruCache;

use crate::{
    message::{Disposition, Envelope},
    trigger::TriggerId,
};

/// How many are kept, the oldest forgotten first: many times the slots of a worker. About 100 bytes each.
const MOST: usize = 8192;

/// A trigger in one of its lives: a replayed outcome is posted anew.
type Key = (TriggerId, u32);

/// The last post of each outcome.
pub(super) struct PostedOutcomes(Mutex<LruCache<Key, Post>>);

struct Post {
    attempt: u32,
    disposition: Disposition,
    settled: bool,
}

/// What a delivery is whose outcome was posted here before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The post ended so, and that is perhaps not stored.
    Unsettled(Disposition),
    /// What became of it is stored, or was posted since: nothing is left to do for this copy.
    Leftover,
}

impl PostedOutcomes {
    /// What is known of this delivery; nothing if it has to be posted.
    pub(super) fn get(&self, outcome: &Envelope) -> Option<Known> {
        let posts = self.lock();
        let post = posts.peek(&key(outcome))?;
        match outcome.attempt.cmp(&post.attempt) {
            Ordering::Equal if !post.settled => Some(Known::Unsettled(post.disposition.clone())),
            Ordering::Greater if !post.is_over() => None,
            Ordering::Less | Ordering::Equal | Ordering::Greater => Some(Known::Leftover),
        }
    }

    /// Notes how a post ended, before its delivery is settled by it.
    pub(super) fn keep(&self, outcome: &Envelope, disposition: &Disposition) {
        let post = Post { attempt: outcome.attempt, disposition: disposition.clone(), settled: false };
        self.lock().insert(key(outcome), post);
    }

    /// Notes that the delivery was settled by it.
    pub(super) fn settled(&self, outcome: &Envelope) {
        if let Some(post) = self.lock().peek_mut(&key(outcome)).filter(|post| post.attempt == outcome.attempt) {
            post.settled = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Key, Post>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for PostedOutcomes {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Post {
    /// Whether a later copy has nothing more to do: the receiver has it, or an operator.
    fn is_over(&self) -> bool {
        match self.disposition {
            Disposition::Ack => true,
            Disposition::DeadLetter { .. } => self.settled,
            Disposition::Retry { .. } => false,
        }
    }
}

fn key(outcome: &Envelope) -> Key {
    (outcome.trigger_id, outcome.replay)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::{message::Reason, time::EpochMs};

    const RETRY: Disposition = Disposition::Retry { after: Duration::from_secs(1) };
    const DEAD: Disposition = Disposition::DeadLetter { reason: Reason::CallbackUnknown };

    fn outcome(number: u128, attempt: u32, replay: u32) -> Envelope {
        let id = TriggerId(Uuid::from_u128(number));
        Envelope { attempt, replay, ..Envelope::first(id, "default", "c", "u", EpochMs(0), EpochMs(1)) }
    }

    #[test]
    fn what_was_posted_is_settled_by_its_end_and_not_posted_again() {
        let unsettled = |disposition| Some(Known::Unsettled(disposition));
        for (ended, settled, again, expected) in [
            (Disposition::Ack, false, (2, 0), unsettled(Disposition::Ack)),
            (Disposition::Ack, true, (2, 0), Some(Known::Leftover)),
            (Disposition::Ack, false, (3, 0), Some(Known::Leftover)),
            (Disposition::Ack, true, (1, 0), Some(Known::Leftover)),
            (Disposition::Ack, true, (1, 1), None),
            (DEAD, false, (2, 0), unsettled(DEAD)),
            (DEAD, true, (2, 0), Some(Known::Leftover)),
            (DEAD, true, (3, 0), Some(Known::Leftover)),
            (DEAD, false, (3, 0), None),
            (RETRY, false, (2, 0), unsettled(RETRY)),
            (RETRY, true, (2, 0), Some(Known::Leftover)),
            (RETRY, true, (1, 0), Some(Known::Leftover)),
            (RETRY, true, (3, 0), None),
            (RETRY, false, (3, 0), None),
        ] {
            let posted = PostedOutcomes::default();
            posted.keep(&outcome(1, 2, 0), &ended);
            if settled {
                posted.settled(&outcome(1, 2, 0));
            }
            let (attempt, replay) = again;
            assert_eq!(posted.get(&outcome(1, attempt, replay)), expected, "{ended:?} {settled} {again:?}");
            assert_eq!(posted.get(&outcome(2, attempt, replay)), None, "another one");
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let posted = PostedOutcomes::default();
        for number in 0..=MOST as u128 {
            posted.keep(&outcome(number, 1, 0), &Disposition::Ack);
        }
        assert_eq!(posted.get(&outcome(0, 1, 0)), None);
        assert_eq!(posted.lock().len(), MOST);
    }
}
