//! The digital side of the simulated CXone: OpenID discovery, tokens for an access key, the tenant's configuration, and
//! the messages of cases in pages.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use serde_json::{Value, json};

use super::{CXONE_ACCESS_KEY_ID, CXONE_ACCESS_KEY_SECRET, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET};

/// Messages of a page: small enough that the default history takes several.
const PAGE: usize = 4;

/// Cases, and tokens, that are kept.
const MOST_KEPT: usize = 10_000;

/// The tenant that every token belongs to.
const TENANT: &str = "11ecd0c5-0000-4000-8000-0242ac110002";

/// Who said a message of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseAuthor {
    /// The customer.
    Customer,
    /// The bot: outbound, without a user of CXone.
    Bot,
    /// A human agent: outbound, with one.
    Agent,
}

/// The state; clones share it.
#[derive(Clone, Default)]
pub(super) struct Digital(Arc<Mutex<Data>>);

#[derive(Default)]
struct Data {
    tokens: HashSet<String>,
    tokens_given: u64,
    cases: HashMap<String, Vec<Value>>,
    lists_given: u64,
    outage: Option<StatusCode>,
}

impl Digital {
    pub(super) fn router(&self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(openid))
            .route("/.well-known/cxone-configuration", get(tenant))
            .route("/auth/token", post(token))
            .route("/dfo/3.0/contacts/{case}/messages", get(messages))
            .route("/dfo/3.0/contacts/{case}/detail", get(detail))
            .with_state(self.clone())
    }

    /// Adds a message to a case, which begins with it if there was none.
    pub(super) fn say(&self, case: &str, author: CaseAuthor, text: &str) {
        let mut data = self.lock();
        if data.cases.len() >= MOST_KEPT && !data.cases.contains_key(case) {
            return;
        }
        let said = data.cases.entry(case.to_owned()).or_default();
        said.push(message(said.len(), author, text));
    }

    pub(super) fn expire_tokens(&self) {
        self.lock().tokens.clear();
    }

    pub(super) fn set_outage(&self, status: Option<StatusCode>) {
        self.lock().outage = status;
    }

    pub(super) fn tokens_given(&self) -> u64 {
        self.lock().tokens_given
    }

    pub(super) fn lists_given(&self) -> u64 {
        self.lock().lists_given
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Answer = (StatusCode, Json<Value>);

fn refused(status: StatusCode) -> Answer {
    (status, Json(json!({})))
}

/// The URL by which this server was asked.
fn own_url(headers: &HeaderMap) -> String {
    format!("http://{}", headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1"))
}

async fn openid(headers: HeaderMap) -> Json<Value> {
    let own = own_url(&headers);
    Json(json!({"issuer": own, "token_endpoint": format!("{own}/auth/token")}))
}

async fn token(State(digital): State<Digital>, headers: HeaderMap, form: String) -> Answer {
    let mut data = digital.lock();
    if let Some(status) = data.outage {
        return refused(status);
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("{CXONE_CLIENT_ID}:{CXONE_CLIENT_SECRET}")));
    let form: HashMap<_, _> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    if headers.get(AUTHORIZATION).is_none_or(|value| value.as_bytes() != basic.as_bytes()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
    }
    if field("grant_type") != "password" {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "unsupported_grant_type"})));
    }
    if field("username") != CXONE_ACCESS_KEY_ID || field("password") != CXONE_ACCESS_KEY_SECRET {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
    }
    if data.tokens.len() >= MOST_KEPT {
        data.tokens.clear();
    }
    data.tokens_given += 1;
    let token = format!("demo-digital-token-{}", data.tokens_given);
    data.tokens.insert(token.clone());
    let claims = json!({"iss": own_url(&headers), "tenantId": TENANT, "area": "na1"}).to_string();
    let id_token = format!("{}.{}.unsigned", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims));
    let answer = json!({"access_token": token, "token_type": "bearer", "expires_in": 3600, "id_token": id_token});
    (StatusCode::OK, Json(answer))
}

async fn tenant(headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answer {
    if query.get("tenantId").map(String::as_str) != Some(TENANT) {
        return refused(StatusCode::NOT_FOUND);
    }
    let answer = json!({"api_endpoint": own_url(&headers), "area": "na1", "domain": "niceincontact.com"});
    (StatusCode::OK, Json(answer))
}

async fn messages(
    State(digital): State<Digital>,
    Path(case): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    let said = match digital.list(&case, &headers) {
        Ok(said) => said,
        Err(status) => return refused(status),
    };
    let begin = query.get("scrollToken").and_then(|token| token.strip_prefix("scroll-")?.parse().ok()).unwrap_or(0);
    let page: Vec<&Value> = said.iter().rev().skip(begin).take(PAGE).collect();
    let token = format!("scroll-{}", begin + page.len());
    (StatusCode::OK, Json(json!({"hits": said.len(), "scrollToken": token, "data": page})))
}

async fn detail(State(digital): State<Digital>, Path(case): Path<String>, headers: HeaderMap) -> Answer {
    match digital.list(&case, &headers) {
        Ok(said) => {
            let answer = json!({"customerContact": {"id": case}, "channel": {}, "messages": said, "messageNotes": []});
            (StatusCode::OK, Json(answer))
        }
        Err(status) => refused(status),
    }
}

impl Digital {
    /// What was said in a case, the oldest first, for those who may know it.
    fn list(&self, case: &str, headers: &HeaderMap) -> Result<Vec<Value>, StatusCode> {
        let mut data = self.lock();
        if let Some(status) = data.outage {
            return Err(status);
        }
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if !bearer.is_some_and(|token| data.tokens.contains(token)) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        data.lists_given += 1;
        data.cases.get(case).cloned().ok_or(StatusCode::NOT_FOUND)
    }
}

fn message(number: usize, author: CaseAuthor, text: &str) -> Value {
    let (hour, minute) = (10 + number / 60 % 10, number % 60);
    let direction = if author == CaseAuthor::Customer { "inbound" } else { "outbound" };
    let user = (author == CaseAuthor::Agent).then(|| json!({"id": 3, "fullName": "Simulated Agent"}));
    json!({
        "id": format!("message-{number}"), "threadId": "thread-1", "postId": "post-1", "direction": direction,
        "createdAt": format!("2026-01-15T{hour:02}:{minute:02}:00+00:00"),
        "messageContent": {"type": "TEXT", "text": text, "payload": null, "fallbackText": null},
        "authorEndUserIdentity": null, "authorUser": user, "hasAdditionalMessageContent": false,
        "contentRemoved": null, "authorNameRemoved": null, "attachments": []
    })
}
