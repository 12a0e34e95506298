//! Outcomes that were decided here but perhaps not stored: they must not be decided, and paid for, again.

use std::sync::{Mutex, PoisonError};

use hashlink::LruCache;

use super::record::Frozen;
use crate::{message::Envelope, trigger::TriggerId};

/// How many of each kind are kept, the oldest forgotten first. More than the work slots of a worker many times over; about
/// 2 KiB each where the outcome is kept.
const MOST: usize = 4096;

/// A trigger in one of its lives: a replay is decided anew.
type Key = (TriggerId, u32);

/// Decided outcomes by trigger.
pub(super) struct DecidedOutcomes(Mutex<Kept>);

/// Apart, so that however many are stored none is forgotten that is not.
struct Kept {
    unconfirmed: LruCache<Key, Box<Frozen>>,
    stored: LruCache<Key, Option<Box<Frozen>>>,
}

/// What is known of a trigger that was decided here.
#[derive(Clone)]
pub(super) enum Decided {
    /// Its outcome may be stored or not: these bytes are to be stored again.
    Unconfirmed(Box<Frozen>),
    /// Its outcome is stored: whatever comes back is a leftover. With the outcome, where nobody else will tell it.
    Stored(Option<Box<Frozen>>),
}

impl DecidedOutcomes {
    pub(super) fn get(&self, trigger: &Envelope) -> Option<Decided> {
        let (kept, key) = (self.lock(), key(trigger));
        let unconfirmed = kept.unconfirmed.peek(&key).cloned().map(Decided::Unconfirmed);
        unconfirmed.or_else(|| kept.stored.peek(&key).cloned().map(Decided::Stored))
    }

    pub(super) fn keep(&self, trigger: &Envelope, decided: Decided) {
        let (mut kept, key) = (self.lock(), key(trigger));
        match decided {
            Decided::Unconfirmed(outcome) => {
                kept.stored.remove(&key);
                kept.unconfirmed.insert(key, outcome);
            }
            Decided::Stored(outcome) => {
                kept.unconfirmed.remove(&key);
                kept.stored.insert(key, outcome);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for DecidedOutcomes {
    fn default() -> Self {
        Self(Mutex::new(Kept { unconfirmed: LruCache::new(MOST), stored: LruCache::new(MOST) }))
    }
}

fn key(trigger: &Envelope) -> Key {
    (trigger.trigger_id, trigger.replay)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::{message::Message, outcome::Status, time::EpochMs};

    fn trigger(number: u128) -> Envelope {
        Envelope::first(TriggerId(Uuid::from_u128(number)), "default", "c", "u", EpochMs(0), EpochMs(1))
    }

    fn unconfirmed(number: u128) -> Decided {
        let message = Message { envelope: trigger(number), body: Bytes::new() };
        Decided::Unconfirmed(Box::new(Frozen { status: Status::Success, message, outcome: Bytes::new(), told: None }))
    }

    #[test]
    fn what_is_perhaps_not_stored_is_not_forgotten_for_what_is() {
        let decided = DecidedOutcomes::default();
        decided.keep(&trigger(0), unconfirmed(0));
        for number in 1..=MOST as u128 + 1 {
            decided.keep(&trigger(number), Decided::Stored(None));
        }
        assert!(matches!(decided.get(&trigger(0)), Some(Decided::Unconfirmed(_))));
        assert!(decided.get(&trigger(1)).is_none(), "the oldest of those that are stored");
        assert!(matches!(decided.get(&trigger(2)), Some(Decided::Stored(None))));
        decided.keep(&trigger(0), Decided::Stored(None));
        assert!(matches!(decided.get(&trigger(0)), Some(Decided::Stored(None))));
        let kept = decided.lock();
        assert_eq!((kept.stored.len(), kept.unconfirmed.len()), (MOST, 0));
    }
}
