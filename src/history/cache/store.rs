//! What the cache holds: conversations in the order in which they end, and the fetches under way.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::CacheConfig;
use crate::{conversation::Conversation, trigger::TriggerBody};

/// Every id of a trigger by which any provider asks: two triggers with the same ones get the same conversation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key([Option<String>; 5]);

impl Key {
    pub(super) fn of(body: &TriggerBody) -> Self {
        let (conversation, user) = (body.conversation_id.clone(), body.user_id.clone());
        let contact = body.contact.clone();
        Self([Some(conversation), Some(user), body.session_id.clone(), contact.contact_id, contact.case_id])
    }
}

/// The store; `F` is a fetch under way.
pub(super) struct Store<F> {
    config: CacheConfig,
    kept: HashMap<Key, Kept>,
    /// Keys in the order in which their conversations end.
    order: VecDeque<(Instant, Key)>,
    bytes: usize,
    flights: HashMap<Key, F>,
    /// True while somebody waits for the next end.
    swept: bool,
}

struct Kept {
    conversation: Conversation,
    bytes: usize,
    ends: Instant,
}

impl<F: Clone> Store<F> {
    pub(super) fn new(config: CacheConfig) -> Self {
        let (kept, order, flights) = (HashMap::new(), VecDeque::new(), HashMap::new());
        Self { config, kept, order, bytes: 0, flights, swept: false }
    }

    /// The conversation, if it is kept.
    pub(super) fn kept(&mut self, key: &Key, now: Instant) -> Option<Conversation> {
        self.forget_old(now);
        self.kept.get(key).map(|kept| kept.conversation.clone())
    }

    /// The fetch of it that is under way.
    pub(super) fn flight(&self, key: &Key) -> Option<F> {
        self.flights.get(key).cloned()
    }

    /// Tells that a fetch is under way. There are never more of them than triggers being worked on, and as many again
    /// for each time limit of a fetch that nobody waits for any more.
    pub(super) fn depart(&mut self, key: Key, flight: F) {
        self.flights.insert(key, flight);
    }

    /// Tells that it has ended.
    pub(super) fn land(&mut self, key: &Key) {
        self.flights.remove(key);
    }

    /// Keeps a conversation, in the place of older ones where there is no room; true when somebody has to begin to wait
    /// for the next end. One that is too large for all of the room is not kept.
    pub(super) fn keep(&mut self, key: Key, conversation: Conversation, now: Instant) -> bool {
        let bytes = size(&conversation);
        if bytes > self.config.max_bytes {
            return false;
        }
        self.forget_old(now);
        self.forget(&key);
        while self.kept.len() >= self.config.max_conversations || self.bytes + bytes > self.config.max_bytes {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.forget(&oldest);
        }
        let ends = now + self.config.ttl;
        self.bytes += bytes;
        self.kept.insert(key.clone(), Kept { conversation, bytes, ends });
        self.order.push_back((ends, key));
        !std::mem::replace(&mut self.swept, true)
    }

    /// When the next conversation ends; `None`, and nobody waits any more, when none is kept.
    pub(super) fn next_end(&mut self, now: Instant) -> Option<Instant> {
        self.forget_old(now);
        let next = self.order.front().map(|(ends, _)| *ends);
        self.swept = next.is_some();
        next
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((_, key)) = self.order.pop_front_if(|(ends, _)| *ends <= now) {
            // A conversation that was kept anew ends later than this.
            if self.kept.get(&key).is_some_and(|kept| kept.ends <= now) {
                self.forget(&key);
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= kept.bytes;
        }
    }
}

/// What a conversation takes, near enough: its text, and its turns themselves.
fn size(conversation: &Conversation) -> usize {
    let turn = |turn: &crate::conversation::Turn| {
        size_of_val(turn) + turn.text.len() + turn.timestamp.as_ref().map_or(0, String::len)
    };
    conversation.turns.iter().map(turn).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conversation::{Role, Turn};

    const TTL: Duration = Duration::from_secs(2);
    const EMPTY_TURN: usize = size_of::<Turn>();

    fn store(max_conversations: usize, max_bytes: usize) -> Store<()> {
        Store::new(CacheConfig { ttl: TTL, max_conversations, max_bytes })
    }

    fn key(id: &str) -> Key {
        Key::of(&TriggerBody { conversation_id: id.to_owned(), ..TriggerBody::default() })
    }

    fn conversation(bytes: usize) -> Conversation {
        let text = "x".repeat(bytes - EMPTY_TURN);
        Conversation { turns: vec![Turn { role: Role::User, text, timestamp: None }], ..Conversation::default() }
    }

    /// Which of `a` to `e` are kept.
    fn kept(store: &mut Store<()>, now: Instant) -> String {
        "abcde".chars().filter(|id| store.kept(&key(&id.to_string()), now).is_some()).collect()
    }

    #[tokio::test]
    async fn the_oldest_goes_where_there_is_no_room_by_count_or_bytes() {
        let now = Instant::now();
        let mut by_count = store(2, 10_000);
        for id in ["a", "b", "c"] {
            by_count.keep(key(id), conversation(100), now);
        }
        assert_eq!(kept(&mut by_count, now), "bc");
        let mut by_bytes = store(10, 1000);
        for (id, bytes) in [("a", 400), ("b", 400), ("c", 300), ("d", 1001)] {
            by_bytes.keep(key(id), conversation(bytes), now);
        }
        assert_eq!((kept(&mut by_bytes, now).as_str(), by_bytes.bytes), ("bc", 700));
        by_bytes.keep(key("e"), conversation(1000), now);
        assert_eq!((kept(&mut by_bytes, now).as_str(), by_bytes.bytes), ("e", 1000));
    }

    #[tokio::test]
    async fn a_conversation_ends_with_its_time_and_one_kept_anew_later() {
        let now = Instant::now();
        let mut store = store(10, 10_000);
        assert!(store.keep(key("a"), conversation(100), now), "the first one has to be waited for");
        assert!(!store.keep(key("b"), conversation(100), now + TTL / 2), "somebody waits already");
        store.keep(key("a"), conversation(200), now + TTL / 2);
        assert_eq!(kept(&mut store, now + TTL), "ab");
        assert_eq!(store.next_end(now + TTL), Some(now + TTL * 3 / 2));
        assert_eq!(store.next_end(now + TTL * 3 / 2), None);
        assert_eq!((store.bytes, store.kept.len(), store.order.len()), (0, 0, 0));
        assert!(store.keep(key("c"), conversation(100), now + TTL * 2), "nobody waits any more");
    }

    #[test]
    fn triggers_are_told_apart_by_every_id_that_a_provider_may_ask_by() {
        let body = |change: fn(&mut TriggerBody)| {
            let mut body = TriggerBody { conversation_id: "c".to_owned(), ..TriggerBody::default() };
            change(&mut body);
            Key::of(&body)
        };
        let keys = [
            body(|_| {}),
            body(|body| body.conversation_id = "d".to_owned()),
            body(|body| body.user_id = "u".to_owned()),
            body(|body| body.session_id = Some("s".to_owned())),
            body(|body| body.contact.contact_id = Some("1".to_owned())),
            body(|body| body.contact.case_id = Some("1".to_owned())),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != key), "{at}");
        }
        assert!(body(|_| {}) == body(|body| body.last_message = "another".to_owned()));
    }
}
