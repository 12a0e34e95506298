//! The breakers of a process, one for each model that is asked at a gateway with a key, whichever profiles ask it. A key
//! is part of it: one that is refused, or out of money, says nothing about others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use url::Url;

use super::{Config, LlmError, adaptive::Adaptive, body::Refused};
use crate::{
    breaker::Breaker,
    metrics::{
        Metrics,
        labels::{Circuit, Upstream},
    },
    retry::RetryBudget,
};

/// What the profiles of a process share.
pub struct Breakers {
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<Key, Arc<SharedBreaker>>>,
}

/// Where and as whom a model is asked. The secrets are in it as a hash.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    url: String,
    caller: [u8; 32],
    model: String,
}

impl Breakers {
    /// None is known yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, known: Mutex::default() }
    }

    /// The breaker of a model, the same for everybody who asks it there so.
    pub(super) fn of(&self, config: &Config, url: &Url, model: &str) -> Arc<SharedBreaker> {
        let key = Key { url: url.as_str().to_owned(), caller: caller(config), model: model.to_owned() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody asks these any more since a reload; what they were must not be counted for ever.
        known.retain(|_, breaker| Arc::strong_count(breaker) > 1);
        Arc::clone(known.entry(key).or_insert_with(|| Arc::new(SharedBreaker::new(Arc::clone(&self.metrics)))))
    }
}

fn caller(config: &Config) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |name: &str, value: &str| {
        for text in [name, value] {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
    };
    part("", config.api_key.as_ref().map_or("", |key| key.expose()));
    for (name, value) in &config.headers {
        part(name, value.expose());
    }
    hash.finalize().into()
}

/// One breaker, and who waits for it.
pub(super) struct SharedBreaker {
    state: Mutex<State>,
    /// Wakes those who wait for the breaker.
    pub(super) changed: watch::Sender<()>,
    /// Whoever waits for their turn, in order: the first one has it.
    pub(super) line: tokio::sync::Mutex<()>,
    /// Wakes the first one when a call has ended.
    pub(super) freed: Notify,
}

pub(super) struct State {
    pub(super) breaker: Breaker,
    /// How many calls may be repeats.
    pub(super) retries: RetryBudget,
    /// How fast and how many at once.
    pub(super) adaptive: Adaptive,
    /// What it does not take.
    pub(super) refused: Refused,
    /// Why the last call failed: the reason for holding it off.
    pub(super) last: LlmError,
    pub(super) metrics: Arc<Metrics>,
    /// What the metrics say of the breaker.
    shown: Circuit,
}

impl SharedBreaker {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.circuits.added(Upstream::Llm);
        let breaker = Breaker::default();
        let state = State {
            shown: breaker.circuit(),
            breaker,
            retries: RetryBudget::default(),
            adaptive: Adaptive::default(),
            refused: Refused::default(),
            metrics,
            last: LlmError::Unavailable,
        };
        Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            line: tokio::sync::Mutex::default(),
            freed: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets the metrics say what the breaker is now.
    pub(super) fn show(&mut self) {
        let (before, now) = (self.shown, self.breaker.circuit());
        if before == now {
            return;
        }
        self.metrics.circuits.changed(Upstream::Llm, before, now);
        self.shown = now;
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.metrics.circuits.removed(Upstream::Llm, self.shown);
    }
}
