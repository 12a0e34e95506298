//! Every metric of the product. A metric belongs here when an operator would alert on it or size by it.
//!
//! Labels are closed enums ([`labels`]); all series exist, at zero, from the start.

mod decisions;
mod family;
mod in_flight;
mod label;
pub mod labels;
mod register;

pub use decisions::DecisionCounters;
pub use family::{Amounts, Counters, Counters2, Gauges, Gauges2, Histograms};
pub use in_flight::InFlight;

use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use self::labels::{
    CallbackEnd, Circuit, CircuitChange, Finish, Lane, Published, Reason, Reconnect, Redelivered, RetryCause,
    SettledAs, Stage, StageFailure, Status, TokenDirection, TokenProvider, TokenRefresh, Upstream, UpstreamStatus,
    Validation, Webhook, WebhookClass, WebhookSecret,
};
use self::register::{build_info, counter, decisions_family, gauge, histogram, process};

/// Seconds; what the router itself needs.
const FAST: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// Seconds; waiting in the queue.
const WAIT: &[f64] = &[0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Seconds; a whole trigger. 8 and 10 are exact edges of the objectives.
const TRIGGER: &[f64] = &[0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0];
/// Seconds; one stage.
const STAGE: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0];
/// Seconds; one request to an upstream.
const UPSTREAM: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0];
/// Calls of a model.
const COUNT: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0];
/// Tries of a callback.
const TRIES: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0];

/// Every metric, and the registry that exposes them. One per process (or per application in a test).
pub struct Metrics {
    registry: Registry,
    /// Webhook requests by how they ended.
    pub webhook_requests: Counters<Webhook>,
    /// Time from the first header byte to the answer of a webhook request.
    pub webhook_duration: Histograms<WebhookClass>,
    /// Webhook requests being answered.
    pub webhook_in_flight: IntGauge,
    /// When a webhook secret last signed a request, in seconds since the epoch; 0: not since the start.
    pub webhook_secret_used: Gauges<WebhookSecret>,
    /// Time until the queue confirmed, or did not confirm, a publish.
    pub publish_duration: Histograms<Published>,
    /// 1 while the queue is connected.
    pub queue_connected: IntGauge,
    /// Queue sessions that ended, by reason.
    pub queue_reconnects: Counters<Reconnect>,
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
    /// Deliveries being worked on, by lane.
    pub in_flight: Gauges<Lane>,
    /// 1 while the process finishes its last deliveries.
    pub draining: IntGauge,
    /// Deliveries whose handling panicked, by lane.
    pub panics: Counters<Lane>,
    /// Outcomes stored, by status.
    pub outcomes: Counters<Status>,
    /// Time from acceptance until the callback was acknowledged, by status.
    pub trigger_duration: Histograms<Status>,
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
    /// Models of an upstream by the state of their circuit breakers.
    pub circuits: Gauges2<Upstream, Circuit>,
    /// Circuit breakers that changed their state, by what to.
    pub circuit_changes: Counters2<Upstream, CircuitChange>,
    /// Attempts to get an access token.
    pub token_refreshes: Counters<TokenRefresh>,
    /// When the access token in use expires, in seconds since the epoch.
    pub token_expiry: Gauges<TokenProvider>,
    /// Tokens reported by the model gateway.
    pub llm_tokens: Counters<TokenDirection>,
    /// Cost of the model's calls in US dollars, as the gateway says or estimated from the price table, by model.
    pub llm_cost: Amounts,
    /// Calls of the model gateway for one trigger.
    pub llm_attempts: Histogram,
    /// Completions, by why the model stopped.
    pub llm_finish: Counters<Finish>,
    /// Answers of the model, by how their validation ended.
    pub validations: Counters<Validation>,
    /// Decisions by target and source.
    decisions: IntCounterVec,
    /// Callbacks, by how they ended.
    pub callback_deliveries: Counters<CallbackEnd>,
    /// Tries until a callback ended.
    pub callback_attempts: Histogram,
    /// Time of a trigger less queue wait and upstream calls.
    pub overhead: Histogram,
    /// Template sets in use.
    pub templates_loaded: IntGauge,
}

impl Metrics {
    /// Registers everything, and `cfr_build_info` for this `component` (`ingress`, `worker`, `serve`).
    ///
    /// # Errors
    /// Never in practice: a name registered twice is a programming error that the first start shows.
    pub fn new(component: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        build_info(r, component)?;
        process(r)?;
        Ok(Self {
            webhook_requests: Counters::register(
                r,
                "cfr_webhook_requests_total",
                "Webhook requests by how they ended",
            )?,
            webhook_duration: Histograms::register(
                r,
                "cfr_webhook_request_duration_seconds",
                "Time from the first header byte to the answer of a webhook request",
                FAST,
            )?,
            webhook_in_flight: gauge(r, "cfr_webhook_in_flight_requests", "Webhook requests being answered")?,
            webhook_secret_used: Gauges::register(
                r,
                "cfr_webhook_secret_last_used_timestamp_seconds",
                "When a webhook secret last signed a request, in seconds since the epoch; 0: not since the start",
            )?,
            publish_duration: Histograms::register(
                r,
                "cfr_publish_duration_seconds",
                "Time until the queue confirmed, or did not confirm, a publish",
                FAST,
            )?,
            queue_connected: gauge(r, "cfr_queue_connected", "1 while the queue is connected")?,
            queue_reconnects: Counters::register(
                r,
                "cfr_queue_reconnects_total",
                "Queue sessions that ended, by reason",
            )?,
            queue_wait: histogram(
                r,
                "cfr_queue_wait_seconds",
                "Time from acceptance until a worker took the trigger",
                WAIT,
            )?,
            consumed: Counters::register(
                r,
                "cfr_messages_consumed_total",
                "Deliveries taken, by whether they came back from an earlier one",
            )?,
            settled: Counters::register(r, "cfr_messages_settled_total", "Deliveries ended, by disposition")?,
            acks_lost: counter(
                r,
                "cfr_acks_lost_total",
                "Settlements the queue no longer took: the message comes back",
            )?,
            publishes_unknown: counter(
                r,
                "cfr_publishes_unknown_total",
                "Publishes of which it is unknown whether they were stored",
            )?,
            dead_letters: Counters::register(
                r,
                "cfr_dead_letters_total",
                "Messages dead-lettered by this process, by reason",
            )?,
            slots: Gauges::register(r, "cfr_worker_slots", "Deliveries a worker may work on at once, by lane")?,
            in_flight: Gauges::register(r, "cfr_worker_in_flight", "Deliveries being worked on, by lane")?,
            draining: gauge(r, "cfr_worker_draining", "1 while the process finishes its last deliveries")?,
            panics: Counters::register(r, "cfr_worker_panics_total", "Deliveries whose handling panicked, by lane")?,
            outcomes: Counters::register(r, "cfr_outcomes_total", "Outcomes stored, by status")?,
            trigger_duration: Histograms::register(
                r,
                "cfr_trigger_duration_seconds",
                "Time from acceptance until the callback was acknowledged, by status",
                TRIGGER,
            )?,
            stage_duration: Histograms::register(r, "cfr_stage_duration_seconds", "Time of a stage", STAGE)?,
            stage_failures: Counters2::register(r, "cfr_stage_failures_total", "Stages that failed, by reason")?,
            upstream_requests: Counters2::register(
                r,
                "cfr_upstream_requests_total",
                "Requests to upstreams, by how they were answered",
            )?,
            upstream_duration: Histograms::register(
                r,
                "cfr_upstream_request_duration_seconds",
                "Time of one request to an upstream",
                UPSTREAM,
            )?,
            upstream_retries: Counters2::register(
                r,
                "cfr_upstream_retries_total",
                "Requests to upstreams that were repeated, by cause",
            )?,
            circuits: Gauges2::register(
                r,
                "cfr_circuit_breaker_state",
                "Models of an upstream by the state of their circuit breakers",
            )?,
            circuit_changes: Counters2::register(
                r,
                "cfr_circuit_breaker_transitions_total",
                "Circuit breakers that changed their state, by what to",
            )?,
            token_expiry: Gauges::register(
                r,
                "cfr_token_expiry_timestamp_seconds",
                "When the access token in use expires, in seconds since the epoch",
            )?,
            token_refreshes: Counters::register(r, "cfr_token_refreshes_total", "Attempts to get an access token")?,
            llm_tokens: Counters::register(r, "cfr_llm_tokens_total", "Tokens reported by the model gateway")?,
            llm_cost: Amounts::register(
                r,
                "cfr_llm_cost_usd_total",
                "Cost of the model's calls in US dollars, as the gateway says or estimated from the price table",
                "model",
            )?,
            llm_attempts: histogram(r, "cfr_llm_attempts", "Calls of the model gateway for one trigger", COUNT)?,
            llm_finish: Counters::register(r, "cfr_llm_finish_total", "Completions, by why the model stopped")?,
            validations: Counters::register(
                r,
                "cfr_validations_total",
                "Answers of the model, by how their validation ended",
            )?,
            decisions: decisions_family(r)?,
            callback_deliveries: Counters::register(
                r,
                "cfr_callback_deliveries_total",
                "Callbacks, by how they ended",
            )?,
            callback_attempts: histogram(r, "cfr_callback_attempts", "Tries until a callback ended", TRIES)?,
            overhead: histogram(
                r,
                "cfr_overhead_seconds",
                "Time of a trigger less queue wait and upstream calls",
                FAST,
            )?,
            templates_loaded: gauge(r, "cfr_templates_loaded", "Template sets in use")?,
            registry,
        })
    }

    /// The decision counters of a profile with these intents.
    #[must_use]
    pub fn decisions(&self, intents: &[String]) -> DecisionCounters {
        DecisionCounters::new(&self.decisions, intents)
    }

    /// The exposition in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Encoding into memory fails only for a family without series, which none is.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
