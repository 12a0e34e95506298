//! Triggers that were accepted lately: a repeat is answered again, not queued again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use hashlink::LruCache;
use tokio::sync::watch;

use crate::{queue::QueueError, time::EpochMs, trigger::TriggerId};

/// How the first request with an id ended, for those that came while it was still under way.
pub(super) type Ending = Result<(), QueueError>;

/// Ids for which there is room from the start: 33 a second, over ten minutes. Ids are random, so they soon touch all of it.
const MOST_ROOM: usize = 20_000;

/// Triggers that could not be queued whose first moment is remembered, the oldest forgotten first.
const MOST_FAILED: usize = 10_000;

/// Ids of accepted triggers, bounded in time and number.
#[derive(Clone)]
pub(super) struct KnownTriggers {
    known_for: Duration,
    most: usize,
    ids: Arc<Mutex<Ids>>,
}

struct Ids {
    known: HashMap<TriggerId, State>,
    /// Accepted ids in the order of acceptance, for forgetting them.
    accepted: VecDeque<(TriggerId, EpochMs)>,
    /// When those came first that could not be queued: a repeat is no newer for that.
    failed: LruCache<TriggerId, EpochMs>,
}

enum State {
    UnderWay(watch::Receiver<Option<Ending>>),
    Accepted,
}

/// What is known of an id.
pub(super) enum Known {
    /// Nothing: the caller queues it and reports on the ticket.
    New(Ticket),
    /// Another request is queueing it just now.
    UnderWay(watch::Receiver<Option<Ending>>),
    /// It was accepted.
    Accepted,
}

/// The right to queue an id. Dropped without [`Ticket::end`], the id may be tried again.
pub(super) struct Ticket {
    id: TriggerId,
    /// When it came first.
    pub(super) first_seen: EpochMs,
    triggers: KnownTriggers,
    ending: watch::Sender<Option<Ending>>,
}

impl KnownTriggers {
    pub(super) fn new(known_for: Duration, most: usize, accepted: Vec<(TriggerId, EpochMs)>) -> Self {
        // All at once, so that memory does not grow in steps. A table that is never more than half full keeps its size though
        // ids come and go.
        let room = most.min(MOST_ROOM);
        let mut ids = Ids {
            known: HashMap::with_capacity(2 * room),
            accepted: VecDeque::with_capacity(room),
            failed: LruCache::new(MOST_FAILED),
        };
        for (id, at) in accepted {
            ids.known.insert(id, State::Accepted);
            ids.accepted.push_back((id, at));
        }
        Self { known_for, most, ids: Arc::new(Mutex::new(ids)) }
    }

    /// Looks an id up and, if it is new, marks it as under way.
    pub(super) fn look_up(&self, id: TriggerId) -> Known {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let now = EpochMs::from(SystemTime::now());
        ids.forget(now.minus(self.known_for), self.most);
        match ids.known.get(&id) {
            Some(State::Accepted) => Known::Accepted,
            Some(State::UnderWay(ending)) => Known::UnderWay(ending.clone()),
            None => {
                let (ending, receiver) = watch::channel(None);
                ids.known.insert(id, State::UnderWay(receiver));
                let first_seen = ids.failed.peek(&id).map_or(now, |first_seen| now.min(*first_seen));
                Known::New(Ticket { id, first_seen, triggers: self.clone(), ending })
            }
        }
    }
}

impl Ids {
    fn forget(&mut self, before: EpochMs, most: usize) {
        while let Some((id, at)) = self.accepted.front().copied() {
            if at >= before && self.accepted.len() <= most {
                return;
            }
            self.accepted.pop_front();
            self.known.remove(&id);
        }
    }
}

impl Ticket {
    /// Tells how queueing ended: after success the id is known, after a failure it may be tried again.
    pub(super) fn end(self, ending: Ending) {
        if ending.is_ok() {
            let mut ids = self.triggers.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.known.insert(self.id, State::Accepted);
            ids.accepted.push_back((self.id, EpochMs::from(SystemTime::now())));
        }
        let _ = self.ending.send(Some(ending));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut ids = self.triggers.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(ids.known.get(&self.id), Some(State::UnderWay(_))) {
            ids.known.remove(&self.id);
            ids.failed.insert(self.id, self.first_seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(number: u128) -> TriggerId {
        TriggerId(Uuid::from_u128(number))
    }

    fn known(triggers: &KnownTriggers, number: u128) -> &'static str {
        match triggers.look_up(id(number)) {
            Known::New(_) => "new",
            Known::UnderWay(_) => "under way",
            Known::Accepted => "accepted",
        }
    }

    fn accept(triggers: &KnownTriggers, number: u128) {
        let Known::New(ticket) = triggers.look_up(id(number)) else { panic!("{number} is known") };
        ticket.end(Ok(()));
    }

    #[test]
    fn an_id_is_known_once_it_was_accepted_and_only_then() {
        let triggers = KnownTriggers::new(Duration::from_secs(600), 10, Vec::new());
        let Known::New(ticket) = triggers.look_up(id(1)) else { panic!("known") };
        assert_eq!(known(&triggers, 1), "under way");
        ticket.end(Err(QueueError::Unreachable(String::new())));
        assert_eq!(known(&triggers, 1), "new", "a failure is forgotten");
        accept(&triggers, 1);
        assert_eq!(known(&triggers, 1), "accepted");
    }

    #[test]
    fn a_trigger_that_could_not_be_queued_came_when_it_came_first() {
        let triggers = KnownTriggers::new(Duration::from_secs(600), 10, Vec::new());
        let fail = |number| {
            let Known::New(ticket) = triggers.look_up(id(number)) else { panic!("{number} is known") };
            let first_seen = ticket.first_seen;
            ticket.end(Err(QueueError::Unreachable(String::new())));
            first_seen
        };
        let first_seen = fail(0);
        // So long ago that no clock is needed to tell them apart.
        triggers.ids.lock().unwrap().failed.insert(id(0), first_seen.minus(Duration::from_secs(60)));
        assert_eq!(fail(0), first_seen.minus(Duration::from_secs(60)));
        for number in 1..=MOST_FAILED as u128 {
            fail(number);
        }
        let ids = triggers.ids.lock().unwrap();
        assert_eq!(ids.failed.len(), MOST_FAILED);
        assert!(!ids.failed.contains_key(&id(0)), "the oldest is forgotten");
    }

    #[test]
    fn the_oldest_ids_are_forgotten_past_the_number_and_past_the_time() {
        let triggers = KnownTriggers::new(Duration::from_secs(600), 2, vec![(id(9), EpochMs(0))]);
        assert_eq!(known(&triggers, 9), "new", "accepted too long ago");
        for number in 1..=3 {
            accept(&triggers, number);
        }
        assert_eq!([1, 2, 3].map(|number| known(&triggers, number)), ["new", "accepted", "accepted"]);
    }
}
