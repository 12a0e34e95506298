//! Signing in, where a token is asked for, and out.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use http::StatusCode;
use maud::html;

use super::{
    Console,
    access::Visitor,
    guard::{self, Fields},
    page,
};

pub(super) async fn page(Extension(visitor): Extension<Visitor>) -> Response {
    if visitor.admitted {
        return Redirect::to("/console").into_response();
    }
    form(&visitor, None).into_response()
}

fn form(visitor: &Visitor, problem: Option<&str>) -> Html<String> {
    page::plain(
        "Sign in",
        &html! {
            form class="card narrow stack" method="post" action="/console/sign-in" {
                h1 { "Sign in" }
                @if let Some(problem) = problem { p class="notice bad" role="alert" { (problem) } }
                input type="hidden" name="csrf" value=(visitor.csrf);
                label { "Your name" small { "for the audit log" }
                    input name="name" autocomplete="username" maxlength="64" required autofocus; }
                label { "Token" small { "console.token of the settings" }
                    input name="token" type="password" autocomplete="current-password" required; }
                button class="primary" { "Sign in" }
            }
        },
    )
}

pub(super) async fn sign_in(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    // It goes into a log line: no room for anything but a name.
    let plain = |c: &char| c.is_alphanumeric() || "-_.@".contains(*c);
    let name: String = fields.get("name").chars().filter(plain).take(64).collect();
    match console.access.sign_in(fields.get("token"), &name) {
        Some(session) => {
            tracing::info!(target: "audit", event = "console_signed_in", operator = %format!("console:{name}"), "an operator's deed");
            let mut response = Redirect::to("/console").into_response();
            guard::set_cookie(&console, response.headers_mut(), &session);
            response
        }
        None => {
            tracing::warn!(target: "audit", event = "console_sign_in_refused", "a wrong token, or too many of them");
            let problem = "This is not the token, or there were too many wrong ones within a minute.";
            (StatusCode::FORBIDDEN, form(&visitor, Some(problem))).into_response()
        }
    }
}

pub(super) async fn sign_out(State(console): State<Arc<Console>>, Extension(visitor): Extension<Visitor>) -> Redirect {
    console.access.sign_out(&visitor.session);
    Redirect::to("/console/sign-in")
}
