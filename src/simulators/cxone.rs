//! A simulated CXone: OAuth tokens and paged conversation summaries; its digital side stands in `cxone_digital.rs`, an
//! archive of the same conversations in `archive.rs`.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    CXONE_CLIENT_ID, CXONE_CLIENT_SECRET, Server, archive,
    cxone_digital::{CaseAuthor, Digital},
};

/// Most items of a page, whatever is asked for: small enough that the default history takes several.
const PAGE_CAP: usize = 5;

/// Most items of a page of a conversation whose length was set, as the real one has it.
const LARGEST_PAGE: usize = 50;

/// Conversations and tokens that are kept; the oldest are of no use to a test.
const MOST_KEPT: usize = 10_000;

/// What was said in every conversation that nobody set: participant and text, oldest first.
const TURNS: [(&str, &str); 8] = [
    ("user-external-9876", "Hello, is somebody there?"),
    ("bot-1", "Hello! I am the assistant. How can I help?"),
    ("user-external-9876", "I need help resetting my password but the link expired"),
    ("bot-1", "I am sorry, I did not understand that."),
    ("user-external-9876", "The e-mail you sent me. The link in it is too old."),
    ("agent-3", "A colleague will look into it."),
    ("user-external-9876", "It has been an hour."),
    ("bot-1", "I am sorry, I did not understand that."),
];

/// The simulator. Its switches act at once.
pub struct Cxone {
    server: Server,
    state: Arc<Mutex<Data>>,
    digital: Digital,
}

#[derive(Default)]
pub(super) struct Data {
    tokens: HashSet<String>,
    tokens_given: u64,
    conversations: HashMap<String, Vec<Value>>,
    /// Turns of a conversation that nobody set, where that was set.
    turns: Option<usize>,
    pub(super) pages_given: u64,
    pub(super) outage: Option<StatusCode>,
}

impl Data {
    /// The items of a conversation, the oldest first.
    pub(super) fn said(&self, conversation_id: &str) -> Vec<Value> {
        if let Some(said) = self.conversations.get(conversation_id) {
            return said.clone();
        }
        let turns: Vec<_> = TURNS.iter().copied().cycle().take(self.turns.unwrap_or(TURNS.len())).collect();
        items(conversation_id, &turns)
    }

    /// Most items of a page.
    fn page_cap(&self) -> usize {
        if self.turns.is_some() { LARGEST_PAGE } else { PAGE_CAP }
    }
}

impl Cxone {
    pub(super) async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(Data::default()));
        let router = Router::new()
            .route("/oauth/token", post(token))
            .route("/api/v2/conversations/summaries", get(summaries))
            .with_state(Arc::clone(&state));
        let digital = Digital::default();
        let router = router.merge(digital.router()).merge(archive::router(Arc::clone(&state)));
        Ok(Self { server: Server::start(address, router, CancellationToken::new()).await?, state, digital })
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Sets what was said in a conversation: participant id and text, oldest first.
    pub fn set_conversation(&self, conversation_id: &str, turns: &[(&str, &str)]) {
        let mut data = lock(&self.state);
        if data.conversations.len() < MOST_KEPT {
            data.conversations.insert(conversation_id.to_owned(), items(conversation_id, turns));
        }
    }

    /// Gives every conversation that nobody set so many turns, on pages as large as they are asked for.
    pub fn set_turns(&self, turns: usize) {
        lock(&self.state).turns = Some(turns);
    }

    /// Adds a message to a digital case, which begins with it if there was none.
    pub fn say_in_case(&self, case: &str, author: CaseAuthor, text: &str) {
        self.digital.say(case, author, text);
    }

    /// Refuses every token given out so far, as after an expiry that nobody foresaw.
    pub fn expire_tokens(&self) {
        lock(&self.state).tokens.clear();
        self.digital.expire_tokens();
    }

    /// Answers everything with this status, until `None`.
    pub fn set_outage(&self, status: Option<StatusCode>) {
        lock(&self.state).outage = status;
        self.digital.set_outage(status);
    }

    /// Tokens for access keys given out so far.
    #[must_use]
    pub fn digital_tokens_given(&self) -> u64 {
        self.digital.tokens_given()
    }

    /// Lists of messages, and details of cases, given out so far.
    #[must_use]
    pub fn case_lists_given(&self) -> u64 {
        self.digital.lists_given()
    }

    /// Tokens given out so far.
    #[must_use]
    pub fn tokens_given(&self) -> u64 {
        lock(&self.state).tokens_given
    }

    /// Pages given out so far, those of the archive included.
    #[must_use]
    pub fn pages_given(&self) -> u64 {
        lock(&self.state).pages_given
    }

    /// Where the digital cases are kept.
    pub(super) fn digital(&self) -> Digital {
        self.digital.clone()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

pub(super) fn lock(state: &Mutex<Data>) -> MutexGuard<'_, Data> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) type Answer = (StatusCode, Json<Value>);

async fn token(State(state): State<Arc<Mutex<Data>>>, headers: HeaderMap, form: String) -> Answer {
    let mut data = lock(&state);
    if let Some(status) = data.outage {
        return (status, Json(json!({})));
    }
    let basic = STANDARD.encode(format!("{CXONE_CLIENT_ID}:{CXONE_CLIENT_SECRET}"));
    let known = headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes() == format!("Basic {basic}").as_bytes());
    let fields: HashMap<_, _> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if !known || field("client_id") != CXONE_CLIENT_ID || field("client_secret") != CXONE_CLIENT_SECRET {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
    }
    if field("grant_type") != "client_credentials" {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "unsupported_grant_type"})));
    }
    if data.tokens.len() >= MOST_KEPT {
        data.tokens.clear();
    }
    data.tokens_given += 1;
    let token = format!("demo-token-{}", data.tokens_given);
    data.tokens.insert(token.clone());
    let scope = field("scope");
    let answer = json!({"access_token": token, "token_type": "bearer", "expires_in": 3600, "scope": scope});
    (StatusCode::OK, Json(answer))
}

async fn summaries(State(state): State<Arc<Mutex<Data>>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    let mut data = lock(&state);
    if let Some(status) = data.outage {
        return (status, Json(json!({})));
    }
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !bearer.is_some_and(|token| data.tokens.contains(token)) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_token"})));
    }
    let fields: HashMap<_, _> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let Some(conversation_id) = fields.get("conversationId").filter(|id| !id.is_empty()) else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "conversationId is missing"})));
    };
    data.pages_given += 1;
    let said = data.said(conversation_id);
    let cap = data.page_cap();
    let size = fields.get("pageSize").and_then(|size| size.parse().ok()).unwrap_or(cap).clamp(1, cap);
    let begin: usize =
        fields.get("nextPageToken").and_then(|token| token.strip_prefix("after-")?.parse().ok()).unwrap_or(0);
    (StatusCode::OK, Json(page(&said, begin, size)))
}

/// One page, the newest item first.
fn page(said: &[Value], begin: usize, size: usize) -> Value {
    let items: Vec<&Value> = said.iter().rev().skip(begin).take(size).collect();
    let end = begin + items.len();
    let next = (end < said.len()).then(|| format!("after-{end}"));
    json!({"items": items, "nextPageToken": next})
}

fn items(conversation_id: &str, turns: &[(&str, &str)]) -> Vec<Value> {
    let item = |(minute, (participant, text)): (usize, &(&str, &str))| {
        let timestamp = format!("2026-01-15T{:02}:{:02}:00.000Z", 10 + minute / 60 % 10, minute % 60);
        json!({"conversationId": conversation_id, "participantId": participant, "text": text, "timestamp": timestamp})
    };
    turns.iter().enumerate().map(item).collect()
}
