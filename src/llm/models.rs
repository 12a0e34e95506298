//! What is known of each model: what it does not take, whether it is held off, and how fast it may be asked. Shared by all
//! calls of a client, and by all profiles that ask the same model at the same gateway with the same key.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until, timeout_at},
};

use super::{
    LlmError, ResponseFormat,
    adaptive::{Ending, Later},
    body::Shape,
    breakers::{SharedBreaker, State},
    cost::Costs,
    failure::Failure,
};
use crate::{
    breaker::{Held, Permit, Report},
    metrics::{
        InFlight, NamedCounters,
        labels::{Circuit, RetryCause, TokenDirection},
    },
};

/// Longest wait for a model that is held off; as long as the longest wait between two tries.
const MOST_PATIENCE: Duration = Duration::from_secs(16);

/// A model at a base URL, as one profile asks it.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) costs: Costs,
    pub(super) tokens: NamedCounters<TokenDirection>,
    pub(super) shared: Arc<SharedBreaker>,
    /// Calls wait for their turn where the gateway wants fewer.
    adaptive: bool,
    /// The format of answers that the profile wants.
    format: ResponseFormat,
}

/// Why a model is not asked now.
pub(super) enum NotNow {
    /// It is held off.
    Held(Hold),
    /// Its gateway wants fewer calls, and this one's turn does not come in time.
    Busy,
}

impl Model {
    pub(super) fn new(
        name: &str,
        format: ResponseFormat,
        costs: Costs,
        tokens: NamedCounters<TokenDirection>,
        shared: Arc<SharedBreaker>,
        adaptive: bool,
    ) -> Self {
        Self { name: name.to_owned(), costs, tokens, shared, adaptive, format }
    }

    /// Waits for the turn of a call whose answer is worth nothing after `until`, then asks whether it may be made.
    pub(super) async fn admit(&self, until: Instant) -> Result<Admission<'_>, NotNow> {
        self.turn(until).await?;
        let mut state = self.shared.lock();
        let now = Instant::now();
        let admitted = state.breaker.admit(now);
        state.show();
        match admitted {
            Ok(permit) => {
                state.retries.earn();
                Ok(Admission { model: self, permit: Some(permit), left: Some(now) })
            }
            Err(held) => {
                state.adaptive.end(now, Ending::Nothing, now);
                // Subscribed under the lock, so that no change is missed.
                let hold = Hold { held, why: state.last.clone(), changed: self.shared.changed.subscribe() };
                Err(NotNow::Held(hold))
            }
        }
    }

    /// A second call beside one of a model that is well, if this one is: it waits for nothing.
    pub(super) fn admit_beside(&self) -> Option<Admission<'_>> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        if !is_well(&mut state, now) || !state.retries.withdraw(now.into_std()) {
            return None;
        }
        let permit = state.breaker.admit(now).ok()?;
        state.adaptive.pass();
        Some(Admission { model: self, permit: Some(permit), left: Some(now) })
    }

    /// True while its breaker is closed and its gateway asked as fast as anybody wants.
    pub(super) fn is_well(&self) -> bool {
        is_well(&mut self.shared.lock(), Instant::now())
    }

    /// The time that 95 of 100 answers take at most, once enough are known.
    pub(super) fn p95(&self) -> Option<Duration> {
        self.shared.lock().adaptive.latencies.p95()
    }

    /// Notes that a call had taken so long when it was given up for one that was quicker.
    pub(super) fn overtaken(&self, time: Duration) {
        self.shared.lock().adaptive.latencies.at_least(time);
    }

    async fn turn(&self, until: Instant) -> Result<(), NotNow> {
        let limit = {
            let mut state = self.shared.lock();
            if !self.adaptive || !state.adaptive.narrowed(Instant::now()) {
                state.adaptive.pass();
                return Ok(());
            }
            // A call that leaves later than this is paid for nothing.
            until.checked_sub(state.adaptive.latencies.usual()).unwrap_or(until)
        };
        let metrics = Arc::clone(&self.shared.lock().metrics);
        let _waiting = InFlight::count(&metrics.llm_waiting);
        timeout_at(limit, self.in_line()).await.map_err(|_| NotNow::Busy)
    }

    async fn in_line(&self) {
        let _first = self.shared.line.lock().await;
        loop {
            let admitted = self.shared.lock().adaptive.admit(Instant::now());
            match admitted {
                Ok(()) => return,
                Err(Later::At(moment)) => sleep_until(moment).await,
                // One that ended meanwhile has left a note.
                Err(Later::Slot) => self.shared.freed.notified().await,
            }
        }
    }

    /// Asks whether a call that failed so may be repeated ([`crate::retry::RetryBudget`]). One that was over the gateway's
    /// limit waits for its turn where the pace is known, and is no burden to anybody.
    pub(super) fn may_repeat(&self, cause: RetryCause) -> bool {
        let mut state = self.shared.lock();
        let now = Instant::now();
        let in_turn = self.adaptive && cause == RetryCause::RateLimited && state.adaptive.narrowed(now);
        in_turn || state.retries.withdraw(now.into_std())
    }

    /// How to ask it.
    pub(super) fn shape(&self) -> Shape {
        self.shared.lock().refused.shape(self.format)
    }

    /// Remembers what gave way.
    pub(super) fn reshape(&self, sent: Shape, next: Shape) {
        self.shared.lock().refused.note(sent, next);
    }
}

fn is_well(state: &mut State, now: Instant) -> bool {
    state.breaker.circuit() == Circuit::Closed && !state.adaptive.narrowed(now)
}

/// Permission for one call of a model. Dropped without a report, it tells nothing.
pub(super) struct Admission<'a> {
    pub(super) model: &'a Model,
    permit: Option<Permit>,
    /// When the call left; `None` once it has made room.
    left: Option<Instant>,
}

impl Admission<'_> {
    /// Tells how the call ended.
    pub(super) fn end<T>(mut self, result: &Result<T, Failure>) {
        let failure = result.as_ref().err();
        self.leave(|took| failure.map_or(Ending::Took(took), |failure| failure.ending(took)));
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

impl Admission<'_> {
    /// Makes room for the next call.
    fn leave(&mut self, ending: impl FnOnce(Duration) -> Ending) {
        let Some(left) = self.left.take() else { return };
        let first = {
            let (mut state, now) = (self.model.shared.lock(), Instant::now());
            let before = state.adaptive.narrowed(now);
            let narrower = state.adaptive.end(left, ending(now.saturating_duration_since(left)), now);
            if narrower && self.model.adaptive {
                state.metrics.llm_narrowed.inc();
            }
            narrower && !before
        };
        self.model.shared.freed.notify_one();
        if first && self.model.adaptive {
            tracing::warn!(llm.model = %self.model.name, "model is asked more slowly: its gateway wants fewer calls");
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.leave(|_| Ending::Nothing);
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
