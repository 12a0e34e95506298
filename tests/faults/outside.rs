//! The outside world of a fault row: a model gateway that can be broken, and a sink that writes before it answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{ledger::Arrival, support::app::decision};

/// What the outside has seen, and how it behaves.
#[derive(Clone)]
pub(crate) struct Outside {
    seen: Arc<Seen>,
    pub(crate) llm_url: String,
    pub(crate) sink_url: String,
}

#[derive(Default)]
struct Seen {
    arrivals: Mutex<HashMap<String, Vec<Arrival>>>,
    calls: AtomicUsize,
    llm_status: AtomicU16,
    llm_delay_ms: AtomicU64,
    sink_status: AtomicU16,
    sink_delay_ms: AtomicU64,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Seen::default());
        seen.llm_status.store(200, Ordering::Relaxed);
        seen.sink_status.store(200, Ordering::Relaxed);
        seen.llm_delay_ms.store(20, Ordering::Relaxed);
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/callback", post(take))
            .with_state(Arc::clone(&seen));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { seen, llm_url: format!("http://{address}"), sink_url: format!("http://{address}/callback") }
    }

    /// The gateway answers with this status after this time.
    pub(crate) fn set_llm(&self, status: u16, delay_ms: u64) {
        self.seen.llm_status.store(status, Ordering::Relaxed);
        self.seen.llm_delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// The sink answers with this status after this time; it has written before.
    pub(crate) fn set_sink(&self, status: u16, delay_ms: u64) {
        self.seen.sink_status.store(status, Ordering::Relaxed);
        self.seen.sink_delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn arrivals(&self) -> BTreeMap<String, Vec<Arrival>> {
        self.seen.arrivals.lock().unwrap().clone().into_iter().collect()
    }

    /// Ids with an acknowledged arrival.
    pub(crate) fn acknowledged(&self) -> BTreeSet<String> {
        let arrivals = self.seen.arrivals.lock().unwrap();
        arrivals.iter().filter(|(_, all)| all.iter().any(|one| one.acknowledged)).map(|(id, _)| id.clone()).collect()
    }
}

async fn complete(State(seen): State<Arc<Seen>>) -> Response {
    seen.calls.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(seen.llm_delay_ms.load(Ordering::Relaxed))).await;
    let status = StatusCode::from_u16(seen.llm_status.load(Ordering::Relaxed)).unwrap();
    let body = json!({"choices": [{"message": {"content": decision().to_string()}, "finish_reason": "stop"}]});
    (status, axum::Json(body)).into_response()
}

async fn take(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = StatusCode::from_u16(seen.sink_status.load(Ordering::Relaxed)).unwrap();
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let outcome: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(outcome["triggerId"], id.as_str(), "the id in the header is that of the body");
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let arrival = Arrival {
        body_hash: hasher.finish(),
        status: outcome["status"].as_str().unwrap().to_owned(),
        acknowledged: status.is_success(),
    };
    seen.arrivals.lock().unwrap().entry(id).or_default().push(arrival);
    tokio::time::sleep(Duration::from_millis(seen.sink_delay_ms.load(Ordering::Relaxed))).await;
    status
}
