//! What is known of each model: what it does not take, and whether it is held off. Shared by all calls of a client; the
//! breaker also by all profiles that ask the same model at the same gateway with the same key.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::watch,
    time::{Duration, Instant, timeout_at},
};

use super::{LlmError, body::Shape, breakers::SharedBreaker, cost::Costs, failure::Failure};
use crate::{
    breaker::{Held, Permit, Report},
    metrics::{NamedCounters, labels::TokenDirection},
};

/// Longest wait for a model that is held off; as long as the longest wait between two tries.
const MOST_PATIENCE: Duration = Duration::from_secs(16);

/// A model at a base URL, as one profile asks it.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) costs: Costs,
    pub(super) tokens: NamedCounters<TokenDirection>,
    shared: Arc<SharedBreaker>,
    shape: Mutex<Shape>,
}

impl Model {
    pub(super) fn new(
        name: &str,
        shape: Shape,
        costs: Costs,
        tokens: NamedCounters<TokenDirection>,
        shared: Arc<SharedBreaker>,
    ) -> Self {
        Self { name: name.to_owned(), costs, tokens, shared, shape: Mutex::new(shape) }
    }

    /// Asks whether it may be called now.
    pub(super) fn admit(&self) -> Result<Admission<'_>, Hold> {
        let mut state = self.shared.lock();
        let admitted = state.breaker.admit(Instant::now());
        state.show();
        match admitted {
            Ok(permit) => {
                state.retries.earn();
                Ok(Admission { model: self, permit: Some(permit) })
            }
            // Subscribed under the lock, so that no change is missed.
            Err(held) => Err(Hold { held, why: state.last.clone(), changed: self.shared.changed.subscribe() }),
        }
    }

    /// Asks whether a failed call may be repeated ([`crate::retry::RetryBudget`]).
    pub(super) fn may_repeat(&self) -> bool {
        self.shared.lock().retries.withdraw(Instant::now().into_std())
    }

    /// How to ask it.
    pub(super) fn shape(&self) -> Shape {
        *self.lock_shape()
    }

    /// Remembers how to ask it from now on, unless another call found something out meanwhile.
    pub(super) fn reshape(&self, sent: Shape, next: Shape) {
        let mut shape = self.lock_shape();
        if *shape == sent {
            *shape = next;
        }
    }

    fn lock_shape(&self) -> MutexGuard<'_, Shape> {
        self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission for one call of a model. Dropped without a report, it tells nothing.
pub(super) struct Admission<'a> {
    model: &'a Model,
    permit: Option<Permit>,
}

impl Admission<'_> {
    /// Tells how the call ended.
    pub(super) fn end<T>(mut self, result: &Result<T, Failure>) {
        let failure = result.as_ref().err();
        // Without a report, dropping it gives the permit back.
        let Some(report) = failure.map_or(Some(Report::Success), Failure::report) else { return };
        let Some(permit) = self.permit.take() else { return };
        let why = failure.and_then(Failure::error).filter(|_| report != Report::Success);
        let changed = {
            let mut state = self.model.shared.lock();
            if let Some(why) = &why {
                state.last = why.clone();
            }
            let changed = state.breaker.report(permit, report, Instant::now());
            state.show();
            changed
        };
        if changed {
            self.model.shared.changed.send_replace(());
            match why {
                Some(why) => tracing::warn!(llm.model = %self.model.name, reason = why.code(), "model is held off"),
                None => tracing::info!(llm.model = %self.model.name, "model works again"),
            }
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.model.shared.lock();
        let changed = state.breaker.release(permit, Instant::now());
        state.show();
        drop(state);
        if changed {
            self.model.shared.changed.send_replace(());
        }
    }
}

/// A model is held off.
pub(super) struct Hold {
    held: Held,
    /// Why it is.
    pub(super) why: LlmError,
    changed: watch::Receiver<()>,
}

impl Hold {
    /// The one of two that ends sooner, as far as that is known.
    pub(super) fn or_sooner(self, other: Option<Self>) -> Self {
        match other {
            None => self,
            Some(other) => match (self.held, other.held) {
                (Held::Until(mine), Held::Until(others)) if mine <= others => self,
                (Held::Probing, Held::Until(_)) => self,
                _ => other,
            },
        }
    }

    /// Waits until asking again is worth it: a short outage need not send anybody to a human. False when that is not
    /// before `until`, or too far away.
    pub(super) async fn wait(mut self, until: Instant) -> bool {
        let limit = until.min(Instant::now() + MOST_PATIENCE);
        match self.held {
            Held::Until(reopens) if reopens >= limit => false,
            Held::Until(reopens) => {
                // Earlier if something changes.
                let _ = timeout_at(reopens, self.changed.changed()).await;
                true
            }
            Held::Probing => timeout_at(limit, self.changed.changed()).await.is_ok(),
        }
    }
}
