//! A simulated archive of conversations, for the history provider `http`: a JSON API of the shape that many have, with a
//! key in a header, nested answers, and the next page named both by a cursor and by a URL.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::get,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{
    ARCHIVE_KEY,
    cxone::{Answer, Data, lock},
};

/// Entries of a page: small enough that the default history takes several.
const PAGE: usize = 3;

/// The archive of the conversations that the simulated CXone has.
pub(super) fn router(state: Arc<Mutex<Data>>) -> Router {
    Router::new().route("/archive/conversations/{id}/entries", get(entries)).with_state(state)
}

async fn entries(
    State(state): State<Arc<Mutex<Data>>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    let mut data = lock(&state);
    if let Some(status) = data.outage {
        return (status, Json(json!({})));
    }
    if headers.get("x-api-key").is_none_or(|key| key.as_bytes() != ARCHIVE_KEY.as_bytes()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"message": "who are you?"})));
    }
    data.pages_given += 1;
    let said = data.said(&id);
    let begin = query.get("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let entries: Vec<_> = said.iter().rev().skip(begin).take(PAGE).map(entry).collect();
    let end = begin + entries.len();
    let more = end < said.len();
    let paging = json!({
        "cursor": more.then(|| end.to_string()),
        "next": more.then(|| format!("entries?cursor={end}")),
    });
    (StatusCode::OK, Json(json!({"result": {"entries": entries}, "paging": paging})))
}

/// An item of a conversation, as the archive tells it.
fn entry(item: &Value) -> Value {
    let kind = match item["participantId"].as_str().and_then(|id| id.split('-').next()) {
        Some("bot") => "virtual",
        Some("agent") => "employee",
        _ => "visitor",
    };
    json!({"author": {"kind": kind}, "content": {"plain": item["text"]}, "at": item["timestamp"]})
}
