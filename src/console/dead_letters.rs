//! *Dead letters*: what waits for an operator; some or all that match are counted first, then replayed at a given rate.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::{Query, State},
    response::{Html, IntoResponse, Redirect, Response},
};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Console,
    access::Visitor,
    guard::Fields,
    page::{self, Part, csrf},
    replay::{self, Replays},
};
use crate::{
    dead_letters::{self, Filter, Operator, shown},
    message::{DeadLetter, Reason},
    queue::QueueError,
};

/// How many are listed; all can be replayed.
const LISTED: usize = 200;

/// Replays a second, unless somebody says otherwise, and at most.
const RATE: (u32, u32) = (10, 1_000);

/// What the page shows.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    profile: String,
}

impl Which {
    fn filter(&self) -> Filter {
        let profile = Some(self.profile.clone()).filter(|profile| !profile.is_empty());
        Filter { reason: Reason::from_name(&self.reason), profile, ..Filter::default() }
    }
}

pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Query(which): Query<Which>,
) -> Html<String> {
    let listed = listed(&console, &which.filter()).await;
    let all = console.pulse.depths(&*console.parts.queue).await.map(|depths| depths.dead);
    let content = html! {
        div class="head" {
            h1 { "Dead letters" }
            p class="hint" { "Outcomes that nobody took and triggers that nobody could decide. None is lost by looking. "
                @if let Ok(all) = all { "There are " b { (page::count(all)) } "." } }
        }
        (replay::banner(&console))
        @if replay::is_running(&console) && console.config.write {
            form method="post" action="/console/dead-letters/stop" { (csrf(&visitor)) button { "Stop the replay" } }
        }
        (filter(&console, &which))
        @match listed {
            Err(error) => p class="notice bad" role="alert" { "The queue cannot be asked: " (error) },
            Ok(letters) if letters.is_empty() => p class="empty" { "None" @if all.is_ok_and(|all| all > 0) { " of the oldest " (LISTED) " fits" } ". Good." },
            Ok(letters) => (table(&console, &visitor, &which, &letters)),
        }
    };
    page::page(&console, &visitor, Part::DeadLetters, "Dead letters", &content)
}

async fn listed(console: &Console, filter: &Filter) -> Result<Vec<DeadLetter>, QueueError> {
    let mut letters = console.parts.queue.dead_letters(LISTED).await?;
    letters.retain(|letter| filter.fits(letter.reason, &letter.message.envelope));
    Ok(letters)
}

fn filter(console: &Console, which: &Which) -> Markup {
    html! {
        form class="filter" method="get" action="/console/dead-letters" data-submit="change" {
            label { "Reason " select name="reason" {
                option value="" { "any" }
                @for reason in Reason::ALL { option selected[which.reason == reason.as_str()] { (reason.as_str()) } }
            } }
            label { "Profile " select name="profile" {
                option value="" { "any" }
                @for profile in console.parts.deadlines.keys() { option selected[which.profile == *profile] { (profile) } }
            } }
            button { "Filter" }
        }
    }
}

fn table(console: &Console, visitor: &Visitor, which: &Which, letters: &[DeadLetter]) -> Markup {
    let now = SystemTime::now().into();
    html! {
        form method="post" action="/console/dead-letters/check" {
            (csrf(visitor))
            input type="hidden" name="reason" value=(which.reason);
            input type="hidden" name="profile" value=(which.profile);
            table class="rows" {
                thead { tr { th { span class="sr" { "Select" } input type="checkbox" data-check="id" hidden aria-label="Select all that are listed"; }
                    th { "Trigger" } th { "Reason" } th { "Age" } th { "Replay goes to" } th class="num" { "Attempts" } th class="num" { "Replays" } th { "Profile" } th { "Conversation" } } }
                tbody { @for letter in letters { (row(console, &shown::line(letter, now, false))) } }
            }
            @if console.config.write {
                div class="actions" {
                    label { "Replays a second " input type="number" name="rate" min="1" max=(RATE.1) value=(RATE.0); }
                    button name="all" value="" { "Count the selected" }
                    button name="all" value="yes" { "Count all that match" }
                    small { "Nothing is replayed before you have seen how many they are." }
                }
            } @else { p class="hint" { "Replaying needs console.write = true; " code { "cfr dead-letters replay" } " does it, too." } }
        }
    }
}

fn row(console: &Console, line: &Value) -> Markup {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let age = Duration::from_secs(line["age_s"].as_u64().unwrap_or_default());
    let id = text("id");
    html! {
        tr {
            td data-label="Select" { input type="checkbox" name="id" value=(id) aria-label={ "Select " (id) } disabled[!console.config.write]; }
            td data-label="Trigger" { a href={ "/console/dead-letters/" (id) } { (page::short(id)) } }
            td data-label="Reason" { span class="chip bad" { (text("reason")) } }
            td data-label="Age" { (shown::span(age)) }
            td data-label="Replay goes to" { (text("lane")) }
            td data-label="Attempts" class="num" { (line["attempts"]) }
            td data-label="Replays" class="num" { (line["replays"]) }
            td data-label="Profile" { (text("profile")) }
            td data-label="Conversation" { code { (text("conversation")) } }
        }
    }
}

/// Which dead letters a form means: the ticked ones, or all that match.
fn meant(fields: &Fields) -> Option<Filter> {
    let which = Which { reason: fields.get("reason").to_owned(), profile: fields.get("profile").to_owned() };
    let ids: Vec<_> = fields.all("id").filter_map(|id| id.parse().ok()).collect();
    match fields.get("all") {
        "yes" => Some(which.filter()),
        _ if ids.is_empty() => None,
        _ => Some(Filter { ids, ..which.filter() }),
    }
}

fn rate(fields: &Fields) -> u32 {
    fields.get("rate").parse().unwrap_or(RATE.0).clamp(1, RATE.1)
}

/// Says how many would be replayed; nothing changes.
pub(super) async fn check(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let Some(filter) = meant(&fields) else {
        return page::problem(
            StatusCode::BAD_REQUEST,
            "None selected",
            "Select some dead letters first, or count all that match.",
        );
    };
    let letters = match dead_letters::list(&*console.parts.queue, &filter).await {
        Ok(letters) => letters,
        Err(error) => return page::problem(StatusCode::BAD_GATEWAY, "The queue cannot be asked", &error.to_string()),
    };
    let content = html! {
        div class="head" { p { a href="/console/dead-letters" { "← Dead letters" } } h1 { "Replay " (letters.len()) "?" } }
        (summary(&letters, rate(&fields)))
        @if !letters.is_empty() { (confirmation(&visitor, &fields, letters.len())) }
    };
    page::page(&console, &visitor, Part::DeadLetters, "Replay?", &content).into_response()
}

fn summary(letters: &[DeadLetter], rate: u32) -> Markup {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for letter in letters {
        *counts.entry((letter.reason.as_str(), letter.message.lane_of_replay().as_str())).or_default() += 1;
    }
    let takes = Duration::from_secs(letters.len() as u64 / u64::from(rate));
    html! {
        table class="rows" {
            thead { tr { th { "Reason" } th { "Goes to" } th class="num" { "How many" } th { "Before a replay" } } }
            tbody { @for ((reason, lane), count) in counts {
                tr {
                    td data-label="Reason" { span class="chip bad" { (reason) } }
                    td data-label="Goes to" { (lane) }
                    td data-label="How many" class="num" { (count) }
                    td data-label="Before a replay" { (Reason::from_name(reason).map(shown::meaning).unwrap_or_default()) }
                }
            } }
        }
        p { "Outcomes are posted again, byte for byte; triggers are decided anew, which asks a model. All keep their ids. At "
            (rate) " a second this takes " (shown::span(takes)) "." }
    }
}

fn confirmation(visitor: &Visitor, fields: &Fields, expected: usize) -> Markup {
    html! {
        form class="actions" method="post" action="/console/dead-letters/replay" {
            (csrf(visitor))
            @for name in ["reason", "profile", "all"] { input type="hidden" name=(name) value=(fields.get(name)); }
            @for id in fields.all("id") { input type="hidden" name="id" value=(id); }
            input type="hidden" name="rate" value=(rate(fields));
            input type="hidden" name="expected" value=(expected);
            button class="primary" autofocus { "Replay " (expected) }
            a href="/console/dead-letters" { "Leave them" }
        }
    }
}

pub(super) async fn replay(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    // No more than were counted: what has died since then was not seen by whoever confirms.
    let expected = fields.get("expected").parse().ok().filter(|count| (1..=dead_letters::MOST).contains(count));
    let (Some(filter), Some(expected)) = (meant(&fields), expected) else {
        return page::problem(StatusCode::BAD_REQUEST, "None selected", "Count them first.");
    };
    if !Replays::begin(&console, filter, expected, rate(&fields), Operator(visitor.name.clone())) {
        return page::problem(StatusCode::CONFLICT, "Busy", "Another replay runs; wait for its end or stop it.");
    }
    Redirect::to("/console/dead-letters").into_response()
}

pub(super) async fn stop(State(console): State<Arc<Console>>) -> Redirect {
    console.replays.stop();
    Redirect::to("/console/dead-letters")
}
