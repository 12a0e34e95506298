//! One dead letter: its headers and its body, masked until it is revealed.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use maud::{Markup, html};

use super::{
    Console,
    access::Visitor,
    page::{self, Part, csrf},
    story,
};
use crate::{
    dead_letters::{self, Filter, Operator, shown},
    message::{DeadLetter, Lane},
    pipeline,
    trigger::TriggerId,
};

pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    show(&console, &visitor, &id, false).await
}

/// The same with its contents; noted in the audit log.
pub(super) async fn reveal(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    show(&console, &visitor, &id, true).await
}

/// The dead letters of a trigger.
pub(super) async fn find(console: &Console, id: TriggerId) -> Result<Vec<DeadLetter>, Response> {
    let filter = Filter { ids: vec![id], ..Filter::default() };
    let found = dead_letters::list(&*console.parts.queue, &filter).await;
    let found = found
        .map_err(|error| page::problem(StatusCode::BAD_GATEWAY, "The queue cannot be asked", &error.to_string()))?;
    match found.is_empty() {
        true => Err(page::problem(
            StatusCode::NOT_FOUND,
            "Not among them",
            "No dead letter has this id; perhaps it was replayed.",
        )),
        false => Ok(found),
    }
}

async fn show(console: &Console, visitor: &Visitor, id: &str, revealed: bool) -> Response {
    let Ok(id) = id.parse::<TriggerId>() else {
        return page::problem(StatusCode::NOT_FOUND, "Not among them", "This is not the id of a trigger.");
    };
    let letters = match find(console, id).await {
        Ok(letters) => letters,
        Err(response) => return response,
    };
    if revealed {
        shown::note_reveal(&Operator(visitor.name.clone()), "one", &[id]);
    }
    let in_memory = console.recent().get(&id.to_string()).is_some();
    let content = html! {
        div class="head" {
            p { a href="/console/dead-letters" { "← Dead letters" } }
            h1 { code { (id) } }
            @if in_memory { p { "How it was decided is " a href=(super::outcomes::path(&id.to_string())) { "still in memory" } "." } }
        }
        @for letter in &letters { (one(console, letter, revealed)) }
        (actions(console, visitor, id, &letters, revealed))
    };
    page::page(console, visitor, Part::DeadLetters, "Dead letter", &content).into_response()
}

fn one(console: &Console, letter: &DeadLetter, revealed: bool) -> Markup {
    let mut whole = shown::whole(letter, SystemTime::now().into(), revealed);
    // Also to those who may read them, customers' words are shown as a model would see them.
    pipeline::redact(&mut whole, console.parts.redaction(&letter.message.envelope.profile));
    html! {
        section {
            p class="notice bad" { b { (letter.reason.as_str()) } ": " (shown::meaning(letter.reason)) "." }
            (story::pretty(&whole))
        }
    }
}

fn actions(console: &Console, visitor: &Visitor, id: TriggerId, letters: &[DeadLetter], revealed: bool) -> Markup {
    let undecided = letters.iter().any(|letter| letter.message.lane_of_replay() == Lane::Work);
    html! {
        section class="actions" {
            @if !revealed {
                form method="post" action={ "/console/dead-letters/" (id) } { (csrf(visitor)) button { "Reveal contents" } small { "noted in the audit log" } }
            }
            @if undecided {
                form method="post" action="/console/playground/open" {
                    (csrf(visitor)) input type="hidden" name="letter" value=(id);
                    button { "Open in the playground" } small { "reveals it, too" }
                }
            }
            @if console.config.write {
                form method="post" action="/console/dead-letters/check" {
                    (csrf(visitor)) input type="hidden" name="id" value=(id);
                    button class="primary" { "Replay…" }
                }
            }
        }
    }
}
