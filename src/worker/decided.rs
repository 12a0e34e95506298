//! Outcomes that were decided here but perhaps not stored: they must not be decided, and paid for, again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use super::record::Frozen;
use crate::{message::Envelope, trigger::TriggerId};

/// How many are kept. More than the work slots of a worker many times over; about 2 KiB each.
const MOST: usize = 4096;

/// A trigger in one of its lives: a replay is decided anew.
type Key = (TriggerId, u32);

/// Decided outcomes by trigger, the oldest forgotten first.
#[derive(Default)]
pub(super) struct DecidedOutcomes(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    outcomes: HashMap<Key, Decided>,
    order: VecDeque<Key>,
}

/// What is known of a trigger that was decided here.
#[derive(Clone)]
pub(super) enum Decided {
    /// Its outcome may be stored or not: these bytes are to be stored again.
    Unconfirmed(Box<Frozen>),
    /// Its outcome is stored: whatever comes back is a leftover.
    Stored,
}

impl DecidedOutcomes {
    pub(super) fn get(&self, trigger: &Envelope) -> Option<Decided> {
        self.lock().outcomes.get(&key(trigger)).cloned()
    }

    pub(super) fn keep(&self, trigger: &Envelope, decided: Decided) {
        let mut kept = self.lock();
        let key = key(trigger);
        if kept.outcomes.insert(key, decided).is_none() {
            kept.order.push_back(key);
        }
        if kept.order.len() > MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.outcomes.remove(&oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(trigger: &Envelope) -> Key {
    (trigger.trigger_id, trigger.replay)
}
