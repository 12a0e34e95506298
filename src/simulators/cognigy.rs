//! A simulated receiver of callbacks, as a customer would write one: it checks both signatures and remembers what came.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Server;
use crate::{
    secret::Secret,
    signature::{KeyError, Scheme, Verifier},
    time::EpochMs,
};

/// Callbacks that are kept; the newest.
const MOST_KEPT: usize = 10_000;

/// How a callback is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackAnswer {
    /// With this status.
    Status(u16),
    /// Not at all.
    Hang,
}

/// One callback as it came.
#[derive(Clone)]
pub struct ReceivedCallback {
    /// `webhook-id`: the trigger's id.
    pub id: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The outcome's bytes.
    pub body: Bytes,
    /// When it came.
    pub received_at: EpochMs,
    /// The same by the clock that only goes on.
    pub arrived: Instant,
    /// True when both signatures are right.
    pub genuine: bool,
    /// The status it is answered with; 0 for none.
    pub answered: u16,
}

impl ReceivedCallback {
    /// The outcome; `null` if it is no JSON.
    #[must_use]
    pub fn outcome(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn acknowledged(&self) -> bool {
        (200..300).contains(&self.answered)
    }
}

// It holds the model's words.
impl std::fmt::Debug for ReceivedCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedCallback")
            .field("id", &self.id)
            .field("genuine", &self.genuine)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

/// The simulator.
pub struct Cognigy {
    server: Server,
    state: Arc<Simulated>,
    callback_url: String,
}

struct Simulated {
    hex: Verifier,
    standard: Verifier,
    data: Mutex<Data>,
    arrived: Notify,
    stop: CancellationToken,
}

#[derive(Default)]
struct Data {
    received: VecDeque<ReceivedCallback>,
    received_in_all: u64,
    answers: VecDeque<CallbackAnswer>,
}

impl Cognigy {
    /// Starts a receiver at `address` of callbacks that are signed with one of `secrets`.
    ///
    /// # Errors
    /// When a secret cannot be a key, or no port can be had.
    pub async fn start(address: SocketAddr, secrets: &[Secret]) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let state = Arc::new(Simulated {
            hex: Verifier::new(Scheme::HexBody, secrets).context("a callback secret")?,
            standard: standard_verifier(secrets).context("a callback secret")?,
            data: Mutex::default(),
            arrived: Notify::new(),
            stop: stop.clone(),
        });
        let router = Router::new().route("/callback", post(receive)).with_state(Arc::clone(&state));
        let server = Server::start(address, router, stop).await?;
        let callback_url = format!("{}/callback", server.url);
        Ok(Self { server, state, callback_url })
    }

    /// Where to post callbacks.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.callback_url
    }

    /// Answers the next `times` genuine callbacks so; those after them with 200.
    pub fn answer_next(&self, times: usize, answer: CallbackAnswer) {
        self.state.lock().answers.extend(std::iter::repeat_n(answer, times.min(MOST_KEPT)));
    }

    /// Every callback so far, the oldest first.
    #[must_use]
    pub fn callbacks(&self) -> Vec<ReceivedCallback> {
        self.state.lock().received.iter().cloned().collect()
    }

    /// How many callbacks have come, those included that are kept no longer.
    #[must_use]
    pub fn received_in_all(&self) -> u64 {
        self.state.lock().received_in_all
    }

    /// The newest `count` callbacks, the oldest first.
    #[must_use]
    pub fn latest(&self, count: u64) -> Vec<ReceivedCallback> {
        let data = self.state.lock();
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(data.received.len());
        data.received.range(data.received.len() - count..).cloned().collect()
    }

    /// Waits for a callback of this trigger that is acknowledged. It waits for ever: set a limit around it.
    pub async fn received(&self, trigger_id: &str) -> ReceivedCallback {
        self.wait(|received| received.id == trigger_id && received.acknowledged()).await
    }

    /// Waits for any callback of this trigger, however it is answered. It waits for ever: set a limit around it.
    pub async fn tried(&self, trigger_id: &str) -> ReceivedCallback {
        self.wait(|received| received.id == trigger_id).await
    }

    async fn wait(&self, wanted: impl Fn(&ReceivedCallback) -> bool) -> ReceivedCallback {
        loop {
            // Made before looking, so that nothing that comes between is missed.
            let arrived = self.state.arrived.notified();
            let found = self.state.lock().received.iter().find(|received| wanted(received)).cloned();
            match found {
                Some(received) => return received,
                None => arrived.await,
            }
        }
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_genuine(&self, headers: &HeaderMap, body: &[u8], now: EpochMs) -> bool {
        self.hex.verify(headers, body, now).is_ok() && self.standard.verify(headers, body, now).is_ok()
    }
}

impl Data {
    fn answer(&mut self, genuine: bool) -> CallbackAnswer {
        if !genuine {
            return CallbackAnswer::Status(401);
        }
        self.answers.pop_front().unwrap_or(CallbackAnswer::Status(200))
    }

    fn keep(&mut self, received: ReceivedCallback) {
        if self.received.len() == MOST_KEPT {
            self.received.pop_front();
        }
        self.received.push_back(received);
        self.received_in_all += 1;
    }
}

async fn receive(State(state): State<Arc<Simulated>>, headers: HeaderMap, body: Bytes) -> Response {
    let (now, arrived) = (EpochMs::from(SystemTime::now()), Instant::now());
    let genuine = state.is_genuine(&headers, &body, now);
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("").to_owned();
    let answer = {
        let mut data = state.lock();
        let answer = data.answer(genuine);
        let answered = match answer {
            CallbackAnswer::Status(status) => status,
            CallbackAnswer::Hang => 0,
        };
        data.keep(ReceivedCallback { id, headers, body, received_at: now, arrived, genuine, answered });
        answer
    };
    state.arrived.notify_waiters();
    match answer {
        CallbackAnswer::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::OK).into_response(),
        CallbackAnswer::Hang => {
            state.stop.cancelled().await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// A secret that is not base64 signs with its text; a library of Standard Webhooks is given the base64 of that.
fn standard_verifier(secrets: &[Secret]) -> Result<Verifier, KeyError> {
    let decodable = secrets.iter().map(|secret| match Verifier::new(Scheme::Standard, std::slice::from_ref(secret)) {
        Err(KeyError::Undecodable) => Secret::new(format!("whsec_{}", STANDARD.encode(secret.expose()))),
        _ => secret.clone(),
    });
    Verifier::new(Scheme::Standard, &decodable.collect::<Vec<_>>())
}
