//! A provider behind a circuit breaker: a source that keeps failing is not waited for by every trigger; they go on without a
//! history at once, and now and then one of them finds out whether it is back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{HistoryError, HistoryProvider};
use crate::{
    breaker::{Breaker, Permit, Report},
    conversation::Conversation,
    http_client::UpstreamError,
    metrics::{
        Metrics,
        labels::{Circuit, Upstream},
    },
    trigger::Trigger,
};

/// Running out of less time than this says more about the trigger than about the source.
const FAIR: Duration = Duration::from_secs(1);

/// A provider behind a breaker of its own.
pub(super) struct Guarded {
    provider: Arc<dyn HistoryProvider>,
    state: Mutex<State>,
}

struct State {
    breaker: Breaker,
    /// What the metrics say of it.
    shown: Circuit,
    metrics: Arc<Metrics>,
}

impl Guarded {
    pub(super) fn new(provider: Arc<dyn HistoryProvider>, metrics: Arc<Metrics>) -> Self {
        metrics.circuits.added(Upstream::Cxone);
        let breaker = Breaker::default();
        Self { provider, state: Mutex::new(State { shown: breaker.circuit(), breaker, metrics }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self) -> Result<Admission<'_>, HistoryError> {
        let mut state = self.lock();
        let admitted = state.breaker.admit(Instant::now());
        state.show();
        let permit = admitted.map_err(|_| HistoryError::HeldOff)?;
        Ok(Admission { guarded: self, permit: Some(permit) })
    }
}

#[async_trait]
impl HistoryProvider for Guarded {
    async fn fetch(&self, trigger: &Trigger, until: Instant) -> Result<Conversation, HistoryError> {
        let admission = self.admit()?;
        let fair = until.saturating_duration_since(Instant::now()) >= FAIR;
        let fetched = self.provider.fetch(trigger, until).await;
        admission.end(report(&fetched, fair));
        fetched
    }
}

/// What a fetch tells about the source's health, if anything.
fn report(fetched: &Result<Conversation, HistoryError>, fair: bool) -> Option<Report> {
    match fetched {
        Ok(_) => Some(Report::Success),
        Err(HistoryError::Incomplete(_) | HistoryError::HeldOff) => None,
        Err(HistoryError::Upstream(error)) => match error {
            UpstreamError::Timeout => fair.then_some(Report::Failure),
            // Being over a limit is health; the pause that it asks for is kept by the requests.
            UpstreamError::Status { status: 429, .. } => None,
            UpstreamError::Status { status: 401 | 402, .. } | UpstreamError::Forbidden => Some(Report::Refusal),
            // It may be meant for this conversation alone.
            UpstreamError::Status { status: 403, .. } => Some(Report::Failure),
            error if error.retry_cause().is_some() => Some(Report::Failure),
            UpstreamError::Tls | UpstreamError::Status { status: 500.., .. } => Some(Report::Failure),
            // It answered: of this conversation it knows nothing.
            _ => Some(Report::Success),
        },
    }
}

/// Permission for one fetch. Dropped without a report, it tells nothing.
struct Admission<'a> {
    guarded: &'a Guarded,
    permit: Option<Permit>,
}

impl Admission<'_> {
    fn end(mut self, report: Option<Report>) {
        // Without a report, dropping it gives the permit back.
        let Some(report) = report else { return };
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.guarded.lock();
        let changed = state.breaker.report(permit, report, Instant::now());
        state.show();
        drop(state);
        match (changed, report) {
            (false, _) => {}
            (true, Report::Success) => tracing::info!("the source of conversations works again"),
            (true, _) => tracing::warn!(event = "history_held_off", "the source of conversations is held off"),
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.guarded.lock();
        state.breaker.release(permit, Instant::now());
        state.show();
    }
}

impl State {
    /// Lets the metrics say what the breaker is now.
    fn show(&mut self) {
        let (before, now) = (self.shown, self.breaker.circuit());
        if before != now {
            self.metrics.circuits.changed(Upstream::Cxone, before, now);
            self.shown = now;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.metrics.circuits.removed(Upstream::Cxone, self.shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_source_is_to_blame_for_counts_against_it() {
        let status = |status| UpstreamError::Status { status, retry_after: None };
        for (error, fair, expected) in [
            (status(500), true, Some(Report::Failure)),
            (status(503), true, Some(Report::Failure)),
            (status(429), true, None),
            (status(401), true, Some(Report::Refusal)),
            (status(403), true, Some(Report::Failure)),
            (status(404), true, Some(Report::Success)),
            (UpstreamError::Connect, true, Some(Report::Failure)),
            (UpstreamError::Malformed("x"), true, Some(Report::Failure)),
            (UpstreamError::Timeout, true, Some(Report::Failure)),
            (UpstreamError::Timeout, false, None),
        ] {
            assert_eq!(report(&Err(error.clone().into()), fair), expected, "{error}");
        }
        assert_eq!(report(&Ok(Conversation::default()), true), Some(Report::Success));
        assert_eq!(report(&Err(HistoryError::Incomplete("caseId")), true), None);
    }
}
