//! The outside world of a fault row: a model gateway that can be broken, and a sink that writes before it answers.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{sender::read_deadline, support::app::decision};

/// A trigger with these words kills the worker that asks the model about it (see [`Outside::killers`]).
pub(crate) const KILLER: &str = "this sentence ends its worker";

/// What the gateway does with a call.
#[derive(Clone, Copy)]
pub(crate) enum Model {
    /// Answers with this status after so many milliseconds.
    Answers(u16, u64),
    /// Answers 429 and asks to wait so many seconds.
    Limits(u64),
    /// Answers nothing.
    Hangs,
    /// Breaks off in the middle of its JSON.
    BreaksOff,
}

/// What the sink does with a callback that it has written down.
#[derive(Clone, Copy)]
pub(crate) struct Sink {
    pub(crate) status: u16,
    pub(crate) delay_ms: u64,
    /// Bytes of the answer.
    pub(crate) size: usize,
}

/// One arrival at the sink.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) body_hash: u64,
    pub(crate) status: String,
    /// `meta.late` of the outcome.
    pub(crate) late: bool,
    pub(crate) acknowledged: bool,
}

/// What the outside has seen, and how it behaves.
#[derive(Clone)]
pub(crate) struct Outside {
    seen: Arc<Seen>,
    pub(crate) llm_url: String,
    pub(crate) sink_url: String,
}

struct Seen {
    arrivals: Mutex<HashMap<String, Vec<Arrival>>>,
    calls: AtomicUsize,
    late_calls: AtomicUsize,
    /// The worker that asked last.
    asker: AtomicUsize,
    model: Mutex<Model>,
    sink: Mutex<Sink>,
    broken: Mutex<Option<Instant>>,
    healed: Mutex<Option<Instant>>,
    killers: Mutex<Option<mpsc::UnboundedSender<usize>>>,
    arrived: Mutex<Option<mpsc::UnboundedSender<()>>>,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Seen {
            arrivals: Mutex::default(),
            calls: AtomicUsize::new(0),
            late_calls: AtomicUsize::new(0),
            asker: AtomicUsize::new(0),
            model: Mutex::new(Model::Answers(200, 20)),
            sink: Mutex::new(Sink { status: 200, delay_ms: 0, size: 0 }),
            broken: Mutex::default(),
            healed: Mutex::default(),
            killers: Mutex::default(),
            arrived: Mutex::default(),
        });
        let router = Router::new()
            .route("/{worker}/v1/chat/completions", post(complete))
            .route("/callback", post(take))
            .with_state(Arc::clone(&seen));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { seen, llm_url: format!("http://{address}"), sink_url: format!("http://{address}/callback") }
    }

    pub(crate) fn model(&self, model: Model) {
        *self.seen.model.lock().unwrap() = model;
    }

    /// The sink answers with this status after this time; it has written before.
    pub(crate) fn sink(&self, status: u16, delay_ms: u64) {
        self.sink_answers(Sink { status, delay_ms, size: 0 });
    }

    pub(crate) fn sink_answers(&self, sink: Sink) {
        *self.seen.sink.lock().unwrap() = sink;
    }

    /// Notes the beginning of a fault over which the rest goes on; the first call counts.
    pub(crate) fn broken(&self) {
        self.seen.broken.lock().unwrap().get_or_insert_with(Instant::now);
    }

    pub(crate) fn broken_at(&self) -> Option<Instant> {
        *self.seen.broken.lock().unwrap()
    }

    /// Notes the end of the fault; the last call counts.
    pub(crate) fn healed(&self) {
        *self.seen.healed.lock().unwrap() = Some(Instant::now());
    }

    pub(crate) fn healed_at(&self) -> Option<Instant> {
        *self.seen.healed.lock().unwrap()
    }

    /// Numbers of the workers that ask about a [`KILLER`], whose calls are never answered.
    pub(crate) fn killers(&self) -> mpsc::UnboundedReceiver<usize> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.seen.killers.lock().unwrap() = Some(sender);
        receiver
    }

    /// Tells each arrival at the sink, after it was written and before it is answered.
    pub(crate) fn arrived(&self) -> mpsc::UnboundedReceiver<()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.seen.arrived.lock().unwrap() = Some(sender);
        receiver
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::Relaxed)
    }

    /// The number of the worker that asked the model last: it has something in hand.
    pub(crate) fn asker(&self) -> usize {
        self.seen.asker.load(Ordering::Relaxed)
    }

    /// Calls about a trigger whose deadline had passed.
    pub(crate) fn late_calls(&self) -> usize {
        self.seen.late_calls.load(Ordering::Relaxed)
    }

    pub(crate) fn arrivals(&self) -> HashMap<String, Vec<Arrival>> {
        self.seen.arrivals.lock().unwrap().clone()
    }

    /// Ids with an acknowledged arrival.
    pub(crate) fn acknowledged(&self) -> BTreeSet<String> {
        let arrivals = self.seen.arrivals.lock().unwrap();
        arrivals.iter().filter(|(_, all)| all.iter().any(|one| one.acknowledged)).map(|(id, _)| id.clone()).collect()
    }

    /// Outcomes with this status, repeats included.
    pub(crate) fn outcomes(&self, status: &str) -> usize {
        self.seen.arrivals.lock().unwrap().values().flatten().filter(|arrival| arrival.status == status).count()
    }

    /// Outcomes that say of themselves that they left after the deadline.
    pub(crate) fn late_outcomes(&self) -> usize {
        self.seen.arrivals.lock().unwrap().values().flatten().filter(|arrival| arrival.late).count()
    }
}

async fn complete(State(seen): State<Arc<Seen>>, Path(worker): Path<usize>, body: String) -> Response {
    seen.calls.fetch_add(1, Ordering::Relaxed);
    seen.asker.store(worker, Ordering::Relaxed);
    if read_deadline(&body).is_some_and(|deadline| deadline < std::time::SystemTime::now()) {
        seen.late_calls.fetch_add(1, Ordering::Relaxed);
    }
    let killers = seen.killers.lock().unwrap().clone();
    if let Some(killers) = killers.filter(|_| body.contains(KILLER)) {
        let _ = killers.send(worker);
        return std::future::pending().await;
    }
    let model = *seen.model.lock().unwrap();
    let answer = json!({"choices": [{"message": {"content": decision().to_string()}, "finish_reason": "stop"}]});
    match model {
        Model::Answers(status, delay_ms) => {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            (StatusCode::from_u16(status).unwrap(), axum::Json(answer)).into_response()
        }
        Model::Limits(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response()
        }
        Model::Hangs => std::future::pending().await,
        Model::BreaksOff => {
            let text = answer.to_string();
            ([("content-type", "application/json")], text[..text.len() / 2].to_owned()).into_response()
        }
    }
}

async fn take(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let sink = *seen.sink.lock().unwrap();
    let status = StatusCode::from_u16(sink.status).unwrap();
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let outcome: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(outcome["triggerId"], id.as_str(), "the id in the header is that of the body");
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let arrival = Arrival {
        at: Instant::now(),
        body_hash: hasher.finish(),
        status: outcome["status"].as_str().unwrap().to_owned(),
        late: outcome["meta"]["late"] == true,
        acknowledged: status.is_success(),
    };
    seen.arrivals.lock().unwrap().entry(id).or_default().push(arrival);
    if let Some(arrived) = &*seen.arrived.lock().unwrap() {
        let _ = arrived.send(());
    }
    tokio::time::sleep(Duration::from_millis(sink.delay_ms)).await;
    (status, [("location", "/elsewhere")], vec![b'.'; sink.size]).into_response()
}
