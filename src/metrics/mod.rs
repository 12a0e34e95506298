//! Every metric of the product. A metric belongs here when an operator would alert on it or size by it.
//!
//! Labels are closed enums ([`labels`]) or names from the settings, of which so many are shown and no more (`named`); all
//! series exist, at zero, from the start. An ingress exposes what an ingress does, a worker what a worker does: at most 120
//! and 300 series, which `tests/it/series.rs` counts after a run with hostile input.

mod buckets;
mod circuits;
mod decisions;
mod family;
mod in_flight;
mod label;
pub mod labels;
mod named;
mod register;
mod registered;
mod runtime;

pub use circuits::Circuits;
pub use decisions::DecisionCounters;
pub use family::{Counters, Counters2, Gauges, Histograms};
pub use in_flight::InFlight;
pub use named::{Amounts, Named, NamedCounters};

use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use self::{
    labels::{
        CallbackEnd, Dropped, Ended, Finish, Hedge, Lane, NoticeEnd, OutcomeStatus, Polled, Published, Reason,
        Reconnect, Redelivered, RetryCause, SettledAs, Stage, StageFailure, TokenDirection, TokenProvider,
        TokenRefresh, Upstream, UpstreamStatus, Validation, Webhook, WebhookClass, WebhookSecret,
    },
    named::Names,
    runtime::Runtime,
};

/// Every metric, and the registry that exposes them. One per process (or per application in a test).
pub struct Metrics {
    registry: Registry,
    /// Webhook requests by how they ended.
    pub webhook_requests: Counters<Webhook>,
    /// Time from the first header byte to the answer of a webhook request.
    pub webhook_duration: Histograms<WebhookClass>,
    /// Webhook requests being answered.
    pub webhook_in_flight: IntGauge,
    /// Requests held open for an outcome.
    pub held: IntGauge,
    /// Polls by what they were answered.
    pub polls: Counters<Polled>,
    /// Outcomes that can be asked for no longer, by why. Where they are not posted either, that was the last of them.
    pub outcomes_dropped: Counters<Dropped>,
    /// When a webhook secret last signed a request, in seconds since the epoch; 0: not since the start.
    pub webhook_secret_used: Gauges<WebhookSecret>,
    /// Time until the queue confirmed, or did not confirm, a publish.
    pub publish_duration: Histograms<Published>,
    /// 1 while the queue is connected.
    pub queue_connected: IntGauge,
    /// Seconds by which this clock is provably ahead (or, below 0, behind) of whoever sends the triggers.
    pub clock_skew: IntGauge,
    /// Queue sessions that ended, by reason.
    pub queue_reconnects: Counters<Reconnect>,
    /// Notices, by what became of them.
    pub notices: Counters<NoticeEnd>,
    /// Time from acceptance until a worker took the trigger.
    pub queue_wait: Histogram,
    /// Deliveries taken, by whether they came back from an earlier one.
    pub consumed: Counters<Redelivered>,
    /// Deliveries ended, by disposition.
    pub settled: Counters<SettledAs>,
    /// Settlements the queue no longer took: the message comes back.
    pub acks_lost: IntCounter,
    /// Publishes of which it is unknown whether they were stored.
    pub publishes_unknown: IntCounter,
    /// Messages dead-lettered by this process, by reason.
    pub dead_letters: Counters<Reason>,
    /// Deliveries a worker may work on at once, by lane.
    pub slots: Gauges<Lane>,
    /// Slots in use, by lane.
    pub in_flight: Gauges<Lane>,
    /// 1 while the process finishes its last deliveries.
    pub draining: IntGauge,
    /// Deliveries whose handling panicked, by lane.
    pub panics: Counters<Lane>,
    /// Triggers that were accepted in the future of this machine's clock.
    pub clock_behind: IntCounter,
    /// Outcomes stored, by status; one whose callback was given up counts again, as `dead_lettered`.
    pub outcomes: Counters<OutcomeStatus>,
    /// Time from acceptance until the callback ended, by outcome.
    pub trigger_duration: Histograms<Ended>,
    /// Time of a stage.
    pub stage_duration: Histograms<Stage>,
    /// Stages that failed, by reason.
    pub stage_failures: Counters2<Stage, StageFailure>,
    /// Requests to upstreams, by how they were answered.
    pub upstream_requests: Counters2<Upstream, UpstreamStatus>,
    /// Time of one request to an upstream.
    pub upstream_duration: Histograms<Upstream>,
    /// Requests to upstreams that were repeated, by cause.
    pub upstream_retries: Counters2<Upstream, RetryCause>,
    /// Calls of the model gateway that were not repeated because too many were repeats already.
    pub llm_retries_withheld: IntCounter,
    /// Second calls of the model gateway beside one that took long, and why there was none.
    pub llm_hedges: Counters<Hedge>,
    /// Times that the calls of a model were slowed down, because its gateway wanted fewer.
    pub llm_narrowed: IntCounter,
    /// Calls of the model gateway that wait for their turn.
    pub llm_waiting: IntGauge,
    /// Circuit breakers: their states, and how often they changed.
    pub circuits: Circuits,
    /// Attempts to get an access token.
    pub token_refreshes: Counters2<TokenProvider, TokenRefresh>,
    /// Conversations that were not fetched, because they were kept or another trigger was fetching them.
    pub history_cache_hits: IntCounter,
    /// When the access token in use expires, in seconds since the epoch.
    pub token_expiry: Gauges<TokenProvider>,
    /// Tokens reported by the model gateway, by model and direction.
    pub llm_tokens: Named<TokenDirection>,
    /// Cost of the model's calls in US dollars, as the gateway says or estimated from the price table, by model.
    pub llm_cost: Amounts,
    /// Calls of the model gateway for one trigger.
    pub llm_attempts: Histogram,
    /// Completions, by why the model stopped.
    pub llm_finish: Counters<Finish>,
    /// Answers of the model, by template set and how their validation ended.
    pub validations: Named<Validation>,
    /// Decisions by target and source.
    decisions: IntCounterVec,
    targets: Names,
    /// Callbacks, by how they ended.
    pub callback_deliveries: Counters<CallbackEnd>,
    /// Tries until a callback ended.
    pub callback_attempts: Histogram,
    /// Time of a trigger less queue wait and upstream calls.
    pub overhead: Histogram,
    /// Template sets in use.
    pub templates_loaded: IntGauge,
    /// 1 when the last reload of the settings was taken, 0 when it was refused and the former ones stay.
    pub reload_successful: IntGauge,
    /// When the settings in use were read, in seconds since the epoch.
    pub reload_timestamp: IntGauge,
    runtime: Runtime,
}

impl Metrics {
    /// The decision counters of a profile with these intents.
    #[must_use]
    pub fn decisions(&self, intents: &[String]) -> DecisionCounters {
        DecisionCounters::new(&self.decisions, &self.targets, intents)
    }

    /// The exposition in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        self.runtime.observe();
        let mut text = Vec::new();
        // Encoding into memory fails only for a family without series, which none is.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
