//! What every request passes before a page sees it, and what every answer says to the browser.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, Method, StatusCode, header};

use super::{
    Console,
    access::{self, Access, COOKIE, CSRF_HEADER, Visitor},
    page,
};

/// Largest body: two templates and a trigger, written in percent.
const MAX_BODY: usize = 512 * 1024;

/// For receiving it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages fetch from here only and run no script but ours; nobody may frame them.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The fields of a posted form, in their order; a name may stand there several times.
#[derive(Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first field of a name; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// Every field of a name.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Lets through who may come in and, where something is posted, who was on a page of ours to do so.
pub(super) async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let visitor = console.access.visitor(request.headers());
    let known = request
        .headers()
        .get_all(header::COOKIE)
        .iter()
        .any(|line| line.to_str().is_ok_and(|line| line.contains(&visitor.session)));
    let mut response = match admit(&console, &visitor, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
    };
    let headers = response.headers_mut();
    if !known && !headers.contains_key(header::SET_COOKIE) {
        set_cookie(&console, headers, &visitor.session);
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with that, browsers say `Origin: null` when a form is posted.
        (header::REFERRER_POLICY, "same-origin"),
        (http::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Tells the browser its session: no script can read it, and no other site's page can send it.
pub(super) fn set_cookie(console: &Console, headers: &mut http::HeaderMap, session: &str) {
    let secure = if console.config.tls.is_some() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
}

async fn admit(console: &Console, visitor: &Visitor, request: Request) -> Result<Request, Response> {
    if !console.access.guarded() && !access::is_for_loopback(request.headers()) {
        return Err(refused("This console answers to the names of this machine only; set console.token for others."));
    }
    let path = request.uri().path();
    let open = path == "/healthz" || path == "/console/sign-in" || path.starts_with("/console/assets/");
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !visitor.admitted && !open {
        return Err(match reads && path != "/console/live" {
            true => Redirect::to("/console/sign-in").into_response(),
            false => page::problem(StatusCode::UNAUTHORIZED, "Not signed in", "Sign in first."),
        });
    }
    let (mut request, fields) = if reads { (request, Fields::default()) } else { posted(visitor, request).await? };
    request.extensions_mut().insert(fields);
    request.extensions_mut().insert(visitor.clone());
    Ok(request)
}

/// The fields of what was posted, if it came from a page that we made for this visitor.
async fn posted(visitor: &Visitor, request: Request) -> Result<(Request, Fields), Response> {
    if !access::is_same_origin(request.headers()) {
        return Err(refused("The request does not come from a page of this console."));
    }
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await;
    let Ok(Ok(body)) = body else {
        return Err(page::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Too large",
            "The form is too large or came too slowly.",
        ));
    };
    let fields = Fields(url::form_urlencoded::parse(&body).into_owned().collect());
    let header = head.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    if !Access::genuine(visitor, header.unwrap_or_else(|| fields.get("csrf"))) {
        return Err(refused("The form has expired; load the page again."));
    }
    Ok((Request::from_parts(head, Body::empty()), fields))
}

fn refused(sentence: &str) -> Response {
    page::problem(StatusCode::FORBIDDEN, "Refused", sentence)
}

/// Lets through what changes something only where the settings allow it.
pub(super) async fn writable(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    if console.config.write {
        return next.run(request).await;
    }
    refused("This console is read-only; set console.write = true to act.")
}

pub(super) async fn no_such_page() -> Response {
    page::problem(StatusCode::NOT_FOUND, "Not found", "There is no such page.")
}
