//! Conversations of the last seconds, so that a burst of triggers of one conversation asks its source once.
//!
//! In memory only, and for less time than a source needs to know of a new message itself. Only whole conversations are
//! kept: a partial one, or a failure, is told to those who wait for it and then forgotten.

mod store;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::store::{Key, Store};
use super::{HistoryError, HistoryProvider};
use crate::{
    conversation::Conversation, http_client::UpstreamError, metrics::Metrics, telemetry::spans, trigger::Trigger,
};

/// Settings of the cache.
#[derive(Clone, Copy, Debug, Default, Deserialize, schemars::JsonSchema)]
pub struct CacheConfig {
    /// How long a conversation is kept; 0: there is no cache.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub ttl: Duration,
    /// Conversations that are kept at most; 0: there is no cache.
    pub max_conversations: usize,
    /// Bytes of text that are kept at most.
    pub max_bytes: usize,
}

impl CacheConfig {
    /// True when nothing would ever be kept.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.ttl.is_zero() || self.max_conversations == 0 || self.max_bytes == 0
    }
}

/// A provider behind a cache.
pub(super) struct Cached {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Arc<dyn HistoryProvider>,
    /// The time of a fetch that nobody but the cache waits for any more.
    limit: Duration,
    store: Mutex<Store<Flight>>,
    metrics: Arc<Metrics>,
}

type Flight = Shared<BoxFuture<'static, Result<Conversation, HistoryError>>>;

impl Cached {
    pub(super) fn new(
        provider: Arc<dyn HistoryProvider>,
        config: &CacheConfig,
        limit: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let store = Mutex::new(Store::new(*config));
        Self { inner: Arc::new(Inner { provider, limit, store, metrics }) }
    }

    /// The conversation if it is kept, else the fetch that will bring it.
    fn look_up(&self, trigger: &Trigger) -> Result<Conversation, Flight> {
        let key = Key::of(&trigger.body);
        let mut store = self.inner.lock();
        let found = match store.kept(&key, Instant::now()) {
            Some(kept) => Ok(kept),
            None => match store.flight(&key) {
                Some(flight) => Err(flight),
                None => {
                    let flight = spawn_flight(Arc::clone(&self.inner), key.clone(), trigger.clone());
                    store.depart(key, flight.clone());
                    return Err(flight);
                }
            },
        };
        self.inner.metrics.history_cache_hits.inc();
        found
    }
}

#[async_trait]
impl HistoryProvider for Cached {
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, HistoryError> {
        match self.look_up(trigger) {
            Ok(kept) => Ok(kept),
            Err(flight) => timeout_at(until, flight).await.unwrap_or(Err(UpstreamError::Timeout.into())),
        }
    }
}

/// Starts a fetch that does not end with the trigger that wanted it first.
fn spawn_flight(inner: Arc<Inner>, key: Key, trigger: Trigger) -> Flight {
    let running = tokio::spawn(spans::carried(async move {
        let landing = Landing { inner: &inner, key: &key };
        let result = inner.provider.fetch(&trigger, Instant::now() + inner.limit).await;
        if let Ok(conversation) = &result {
            inner.keep(landing.key, conversation);
        }
        result
    }));
    // It fails to join after a panic, or when the runtime stops.
    running.map(|joined| joined.unwrap_or(Err(UpstreamError::Connect.into()))).boxed().shared()
}

/// Makes room for the next fetch, also after a panic.
struct Landing<'a> {
    inner: &'a Inner,
    key: &'a Key,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.inner.lock().land(self.key);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Store<Flight>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(self: &Arc<Self>, key: &Key, conversation: &Conversation) {
        if conversation.partial {
            return;
        }
        let first = self.lock().keep(key.clone(), conversation.clone(), Instant::now());
        if first {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Forgets what is too old also when nobody asks; ends when nothing is left.
async fn sweep(inner: Weak<Inner>) {
    loop {
        let next = inner.upgrade().and_then(|inner| inner.lock().next_end(Instant::now()));
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}

// It holds what customers said.
impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversation::{Role, Turn},
        time::EpochMs,
        trigger::{IdempotencyKey, TriggerBody, TriggerId},
    };

    struct Talkative;

    #[async_trait]
    impl HistoryProvider for Talkative {
        async fn fetch(&self, _: &Trigger, _: Instant) -> Result<Conversation, HistoryError> {
            let turn = Turn { role: Role::User, text: "a secret of the customer's".to_owned(), timestamp: None };
            Ok(Conversation { turns: vec![turn], ..Conversation::default() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_is_forgotten_though_nobody_asks() {
        let ttl = Duration::from_secs(2);
        let config = CacheConfig { ttl, max_conversations: 10, max_bytes: 10_000 };
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let cached = Cached::new(Arc::new(Talkative), &config, ttl, metrics);
        let trigger = Trigger {
            id: TriggerId::derived("p", IdempotencyKey::Header("k")),
            profile: "p".to_owned(),
            accepted_at: EpochMs(0),
            deadline: EpochMs(1),
            body: TriggerBody::default(),
        };
        assert_eq!(cached.fetch(&trigger, Instant::now() + ttl).await.unwrap().turns.len(), 1);
        assert_eq!(cached.inner.lock().len(), 1);
        assert!(!format!("{cached:?}").contains("secret"));
        tokio::time::sleep(ttl + Duration::from_millis(1)).await;
        assert_eq!(cached.inner.lock().len(), 0);
    }
}
