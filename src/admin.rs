//! The admin listener: metrics and health, apart from the public one.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{http_server::Limits, metrics::Metrics, queue::Queue};

/// Settings of the admin listener.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Its address.
    pub listen: SocketAddr,
}

/// What a process is for, as far as its readiness goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Answers webhooks: ready even without a broker, because a quick 503 serves Cognigy better than no connection.
    Ingress,
    /// Consumes: ready while its session is up and every lane is consumed.
    Worker,
}

/// What the probes look at.
pub struct Health {
    duty: Duty,
    queue: Arc<dyn Queue>,
    started: AtomicBool,
    draining: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Health {
    /// Health of a process that has not started yet.
    #[must_use]
    pub fn new(duty: Duty, queue: Arc<dyn Queue>, draining: CancellationToken, metrics: Arc<Metrics>) -> Self {
        Self { duty, queue, started: AtomicBool::new(false), draining, metrics }
    }

    /// Tells that the settings are good, the first connection stands and the topology is declared.
    pub fn started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }
}

/// Limits of the admin listener's connections: few, and it need not wait for anyone to stop.
pub const LIMITS: Limits = Limits {
    connections: 64,
    header_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(30),
    drain_delay: Duration::ZERO,
    drain_timeout: Duration::from_secs(1),
};

/// The routes of the admin listener; with the description of an interface where the process has one.
pub fn router(health: Arc<Health>, interface: Option<String>) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        // That it answers is the proof: the process lives and its event loop turns.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/startupz", get(startup))
        .with_state(health);
    let Some(document) = interface else { return router };
    let document = Bytes::from(document);
    router.route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], document)))
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    health.metrics.queue_connected.set(i64::from(health.queue.is_connected()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics.text())
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
}

/// What `/readyz` is asked with.
#[derive(Deserialize)]
struct Asked {
    /// Not ready if any check fails, also one that only people care about.
    #[serde(default)]
    strict: Option<String>,
}

async fn ready(State(health): State<Arc<Health>>, Query(asked): Query<Asked>) -> Response {
    let strict = asked.strict.is_some_and(|strict| strict != "0");
    let serving = Check { check: "not draining", ok: !health.draining.is_cancelled() };
    let queue = Check { check: "queue connected", ok: health.queue.is_connected() };
    let ok = serving.ok && (queue.ok || (health.duty == Duty::Ingress && !strict));
    answer(ok, vec![serving, queue])
}

async fn startup(State(health): State<Arc<Health>>) -> Response {
    let ok = health.started.load(Ordering::Relaxed);
    answer(ok, vec![Check { check: "first connection and topology", ok }])
}

fn answer(ok: bool, checks: Vec<Check>) -> Response {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(checks)).into_response()
}
