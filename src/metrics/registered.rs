//! The names and help texts under which the metrics are exposed, and by whom.

use prometheus::Registry;

use super::{
    Amounts, Circuits, Counters, Counters2, Gauges, Histograms, Metrics, Named, buckets,
    labels::{self, Upstream},
    named::{MOST_TARGETS, Names},
    register::{build_info, counter, decisions_family, gauge, histogram, process},
    runtime::Runtime,
};

/// For pairs of labels that all can happen.
fn always<A, B>(_: A, _: B) -> bool {
    true
}

impl Metrics {
    /// Registers what this `component` exposes, and `cfr_build_info` for it: an `ingress` nothing of a worker, a `worker`
    /// nothing of an ingress, everybody else both.
    ///
    /// # Errors
    /// Never in practice: a name registered twice is a programming error that the first start shows.
    pub fn new(component: &str) -> prometheus::Result<Self> {
        let (registry, hidden) = (Registry::new(), Registry::new());
        let r = &registry;
        let ingress = if component == "worker" { &hidden } else { r };
        let worker = if component == "ingress" { &hidden } else { r };
        build_info(r, component)?;
        process(r)?;
        Ok(Self {
            webhook_requests: Counters::register(
                ingress,
                "cfr_webhook_requests_total",
                "Webhook requests by how they ended",
            )?,
            webhook_duration: Histograms::register(
                ingress,
                "cfr_webhook_request_duration_seconds",
                "Time from the first header byte to the answer of a webhook request",
                |_| buckets::WEBHOOK,
            )?,
            webhook_in_flight: gauge(ingress, "cfr_webhook_in_flight_requests", "Webhook requests being answered")?,
            held: gauge(ingress, "cfr_held_requests", "Requests held open for an outcome")?,
            polls: Counters::register(ingress, "cfr_polls_total", "Polls by what they were answered")?,
            outcomes_dropped: Counters::register(
                ingress,
                "cfr_kept_outcomes_dropped_total",
                "Outcomes that can be asked for no longer, by why",
            )?,
            webhook_secret_used: Gauges::register(
                ingress,
                "cfr_webhook_secret_last_used_timestamp_seconds",
                "When a webhook secret last signed a request, in seconds since the epoch; 0: not since the start",
            )?,
            publish_duration: Histograms::register(
                r,
                "cfr_publish_duration_seconds",
                "Time until the queue confirmed, or did not confirm, a publish",
                buckets::publish,
            )?,
            queue_connected: gauge(r, "cfr_queue_connected", "1 while the queue is connected")?,
            clock_skew: gauge(
                worker,
                "cfr_clock_skew_seconds",
                "Seconds by which this clock is provably ahead (or, below 0, behind) of whoever sends the triggers",
            )?,
            queue_reconnects: Counters::register(
                r,
                "cfr_queue_reconnects_total",
                "Queue sessions that ended, by reason",
            )?,
            notices: Counters::register(r, "cfr_notices_total", "Notices, by what became of them")?,
            queue_wait: histogram(
                worker,
                "cfr_queue_wait_seconds",
                "Time from acceptance until a worker took the trigger",
                buckets::WAIT,
            )?,
            consumed: Counters::register(
                worker,
                "cfr_messages_consumed_total",
                "Deliveries taken, by whether they came back from an earlier one",
            )?,
            settled: Counters::register(worker, "cfr_messages_settled_total", "Deliveries ended, by disposition")?,
            acks_lost: counter(
                worker,
                "cfr_acks_lost_total",
                "Settlements the queue no longer took: the message comes back",
            )?,
            publishes_unknown: counter(
                r,
                "cfr_publishes_unknown_total",
                "Publishes of which it is unknown whether they were stored",
            )?,
            dead_letters: Counters::register(
                worker,
                "cfr_dead_letters_total",
                "Messages dead-lettered by this process, by reason",
            )?,
            slots: Gauges::register(worker, "cfr_worker_slots", "Deliveries a worker may work on at once, by lane")?,
            in_flight: Gauges::register(worker, "cfr_worker_in_flight", "Slots in use, by lane")?,
            draining: gauge(worker, "cfr_worker_draining", "1 while the process finishes its last deliveries")?,
            panics: Counters::register(
                worker,
                "cfr_worker_panics_total",
                "Deliveries whose handling panicked, by lane",
            )?,
            clock_behind: counter(
                worker,
                "cfr_clock_behind_total",
                "Triggers that were accepted in the future of this machine's clock",
            )?,
            outcomes: Counters::register(
                worker,
                "cfr_outcomes_total",
                "Outcomes stored, by status; one whose callback was given up counts again, as dead_lettered",
            )?,
            trigger_duration: Histograms::register(
                worker,
                "cfr_trigger_duration_seconds",
                "Time from acceptance until the callback ended, by outcome",
                buckets::trigger,
            )?,
            stage_duration: Histograms::register(
                worker,
                "cfr_stage_duration_seconds",
                "Time of a stage",
                buckets::stage,
            )?,
            stage_failures: Counters2::register(
                worker,
                "cfr_stage_failures_total",
                "Stages that failed, by reason",
                labels::can_fail,
            )?,
            upstream_requests: Counters2::register(
                worker,
                "cfr_upstream_requests_total",
                "Requests to upstreams, by how they were answered",
                always,
            )?,
            upstream_duration: Histograms::register(
                worker,
                "cfr_upstream_request_duration_seconds",
                "Time of one request to an upstream",
                buckets::upstream,
            )?,
            upstream_retries: Counters2::register(
                worker,
                "cfr_upstream_retries_total",
                "Requests to upstreams that were repeated, by cause",
                |upstream, _| upstream != Upstream::Cognigy,
            )?,
            llm_retries_withheld: counter(
                worker,
                "cfr_llm_retries_withheld_total",
                "Calls of the model gateway that were not repeated because too many were repeats already",
            )?,
            llm_hedges: Counters::register(
                worker,
                "cfr_llm_hedges_total",
                "Second calls of the model gateway beside one that took long, and those that were withheld",
            )?,
            llm_narrowed: counter(
                worker,
                "cfr_llm_narrowed_total",
                "Times that the calls of a model were slowed down because its gateway wanted fewer",
            )?,
            llm_waiting: gauge(worker, "cfr_llm_waiting_calls", "Calls of the model gateway that wait for their turn")?,
            circuits: Circuits::register(worker)?,
            history_cache_hits: counter(
                worker,
                "cfr_history_cache_hits_total",
                "Conversations that were kept, or being fetched for another trigger",
            )?,
            token_expiry: Gauges::register(
                worker,
                "cfr_token_expiry_timestamp_seconds",
                "When the access token in use expires, in seconds since the epoch",
            )?,
            token_refreshes: Counters2::register(
                worker,
                "cfr_token_refreshes_total",
                "Attempts to get an access token",
                always,
            )?,
            llm_tokens: Named::register(
                worker,
                "cfr_llm_tokens_total",
                "Tokens reported by the model gateway; cached_input is not in input, reasoning not in output",
                "model",
            )?,
            llm_cost: Amounts::register(
                worker,
                "cfr_llm_cost_usd_total",
                "Cost of the model's calls in US dollars, as the gateway says or estimated from the price table",
                "model",
            )?,
            llm_attempts: histogram(
                worker,
                "cfr_llm_attempts",
                "Calls of the model gateway for one trigger",
                buckets::CALLS,
            )?,
            llm_finish: Counters::register(worker, "cfr_llm_finish_total", "Completions, by why the model stopped")?,
            validations: Named::register(
                worker,
                "cfr_validations_total",
                "Answers of the model, by template set and how their validation ended",
                "template",
            )?,
            decisions: decisions_family(worker)?,
            targets: Names::at_most(MOST_TARGETS),
            callback_deliveries: Counters::register(
                worker,
                "cfr_callback_deliveries_total",
                "Callbacks, by how they ended",
            )?,
            callback_attempts: histogram(
                worker,
                "cfr_callback_attempts",
                "Tries until a callback ended",
                buckets::TRIES,
            )?,
            overhead: histogram(
                worker,
                "cfr_overhead_seconds",
                "Time of a trigger less queue wait and upstream calls",
                buckets::OVERHEAD,
            )?,
            templates_loaded: gauge(worker, "cfr_templates_loaded", "Template sets in use")?,
            reload_successful: gauge(
                r,
                "cfr_config_last_reload_successful",
                "1 when the last reload of the settings was taken, 0 when it was refused and the former ones stay",
            )?,
            reload_timestamp: gauge(
                r,
                "cfr_config_last_reload_success_timestamp_seconds",
                "When the settings in use were read, in seconds since the epoch",
            )?,
            runtime: Runtime::register(r)?,
            registry,
        })
    }
}
