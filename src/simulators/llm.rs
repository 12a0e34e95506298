//! A simulated model gateway, OpenAI-compatible.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    response::{Html, IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    LLM_API_KEY, Server,
    rate_limit::RateLimit,
    scripts::{self, Answer, Script},
};

/// Requests that are kept to look at; the newest.
const MOST_REQUESTS: usize = 256;

/// Chats whose calls are counted; beyond that, all begin anew.
const MOST_CHATS: usize = 100_000;

/// The simulator.
pub struct Llm {
    server: Server,
    state: Arc<Simulated>,
}

struct Simulated {
    data: Mutex<Data>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Data {
    script: Option<Script>,
    /// Calls about one message, so that a script can behave from the second one on.
    calls: HashMap<u64, u32>,
    calls_in_all: u64,
    requests: VecDeque<Value>,
    latency: Duration,
    /// One in so many calls takes so long instead.
    slow: Option<(u64, Duration)>,
    limit: Option<RateLimit>,
    refused: u64,
}

impl Llm {
    pub(super) async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let state = Arc::new(Simulated { data: Mutex::default(), stop: stop.clone() });
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&state));
        Ok(Self { server: Server::start(address, router, stop).await?, state })
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// The script of all messages without a mark of their own.
    pub fn set_script(&self, script: Option<Script>) {
        self.state.lock().script = script;
    }

    /// Every answer takes so long; one that refuses for the [rate](Llm::set_rate) none.
    pub fn set_latency(&self, latency: Duration) {
        self.state.lock().latency = latency;
    }

    /// One in so many calls takes so long instead.
    pub fn set_slow(&self, one_in: u32, latency: Duration) {
        self.state.lock().slow = Some((u64::from(one_in.max(1)), latency));
    }

    /// Takes so many calls a second from now on, and answers the others with 429; `None` takes all. It has room for those of
    /// a quarter of a second.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.state.lock().limit = rate.map(RateLimit::new);
    }

    /// Calls refused for the rate.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.state.lock().refused
    }

    /// Authorised calls so far, those refused for the rate excepted.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls_in_all
    }

    /// The bodies of the newest requests, the oldest first: what really left the house.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        self.state.lock().requests.iter().cloned().collect()
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
}

impl Data {
    /// How long the call that was just taken takes.
    fn latency_now(&self) -> Duration {
        match self.slow {
            Some((one_in, slow)) if self.calls_in_all.is_multiple_of(one_in) => slow,
            _ => self.latency,
        }
    }

    /// Keeps the request, and decides what to answer.
    fn take(&mut self, request: Value) -> Answer {
        let user = user_message(&request);
        let message = last_message(user);
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        if self.calls.len() >= MOST_CHATS {
            self.calls.clear();
        }
        let calls = self.calls.entry(hasher.finish()).or_default();
        let call = *calls;
        *calls += 1;
        self.calls_in_all += 1;
        let answer = match Script::marked(&message).or(self.script) {
            Some(script) => script.answer(&message, call),
            None => scripts::decision(&message),
        };
        if self.requests.len() == MOST_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
        answer
    }
}

async fn complete(State(state): State<Arc<Simulated>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if key != Some(LLM_API_KEY) {
        return error(StatusCode::UNAUTHORIZED, "invalid_api_key").into_response();
    }
    let Some(request) = serde_json::from_slice(&body).ok().filter(is_chat) else {
        return error(StatusCode::BAD_REQUEST, "invalid_request").into_response();
    };
    let model = request["model"].clone();
    let (answer, latency) = {
        let mut data = state.lock();
        if data.limit.as_mut().is_some_and(|limit| !limit.takes(Instant::now())) {
            data.refused += 1;
            return error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded").into_response();
        }
        (data.take(request), data.latency_now())
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match answer {
        Answer::Words { content, finish_reason } => {
            let message = json!({"role": "assistant", "content": content});
            Json(completion(&model, &message, finish_reason, body.len(), content.len())).into_response()
        }
        Answer::Refusal => {
            let message = json!({"role": "assistant", "content": null, "refusal": "I cannot help with that."});
            Json(completion(&model, &message, "stop", body.len(), 24)).into_response()
        }
        Answer::Status { status, retry_after, code } => {
            let answer = error(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code);
            match retry_after {
                Some(seconds) => ([(RETRY_AFTER, seconds.to_string())], answer).into_response(),
                None => answer.into_response(),
            }
        }
        Answer::Html => Html("<html><body>bad gateway</body></html>").into_response(),
        Answer::Hang => {
            state.stop.cancelled().await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn is_chat(request: &Value) -> bool {
    request["model"].as_str().is_some_and(|model| !model.is_empty())
        && request["messages"].as_array().is_some_and(|messages| !messages.is_empty())
}

/// The first user message: the same in retries and when asked again.
fn user_message(request: &Value) -> &str {
    let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
    messages
        .iter()
        .find(|message| message["role"] == "user")
        .and_then(|message| message["content"].as_str())
        .unwrap_or("")
}

/// The customer's last message inside the prompt's data block, or all of the text where there is no such block.
fn last_message(user: &str) -> String {
    let document = user.find('{').zip(user.rfind('}')).and_then(|(begin, end)| user.get(begin..=end));
    let parsed: Option<Value> = document.and_then(|document| serde_json::from_str(document).ok());
    parsed.and_then(|data| Some(data["last_message"].as_str()?.to_owned())).unwrap_or_else(|| user.to_owned())
}

fn error(status: StatusCode, code: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"error": {"message": "simulated", "type": code, "param": null, "code": code}})))
}

/// Four bytes make a token here.
fn completion(model: &Value, message: &Value, finish_reason: &str, asked: usize, answered: usize) -> Value {
    let (prompt, completion) = (asked / 4, answered / 4);
    json!({
        "id": "chatcmpl-simulated", "object": "chat.completion", "created": 1_705_312_825, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    })
}
