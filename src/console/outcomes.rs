//! *Outcomes*: the last ones, filtered by why they ended so.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::{Query, State},
    response::Html,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    Console,
    access::Visitor,
    page::{self, Part},
    recent::{Entry, MOST},
    stages,
};
use crate::{outcome::Status, time::EpochMs};

/// Outcomes on the first page.
const LATEST: usize = 6;

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    reason: String,
}

pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Query(which): Query<Which>,
) -> Html<String> {
    let wanted = Some(which.reason.as_str()).filter(|reason| !reason.is_empty());
    let recent = console.recent();
    let entries: Vec<_> = recent.with(wanted).collect();
    let content = html! {
        div class="head" {
            h1 { "Outcomes" }
            p class="hint" { "The last " (MOST) " that workers told of while this process listened. "
                a class="fresh" href=(here(wanted)) data-seen=(recent.seen()) hidden { "New ones came; load them." } }
        }
        nav class="filter" aria-label="Filter by reason" {
            a href="/console/outcomes" aria-current=[wanted.is_none().then_some("true")] { "all " b { (recent.with(None).count()) } }
            @for (reason, count) in recent.reasons() {
                a href=(here(Some(&reason))) aria-current=[(wanted == Some(&reason)).then_some("true")] { (reason) " " b { (count) } }
            }
        }
        @if entries.is_empty() { (nothing(wanted)) } @else { (table(&entries)) }
    };
    page::page(&console, &visitor, Part::Outcomes, "Outcomes", &content)
}

fn here(reason: Option<&str>) -> String {
    let query = reason
        .map(|reason| url::form_urlencoded::Serializer::new("?".to_owned()).append_pair("reason", reason).finish());
    format!("/console/outcomes{}", query.unwrap_or_default().replacen("?&", "?", 1))
}

fn nothing(wanted: Option<&str>) -> Markup {
    html! {
        p class="empty" {
            @if wanted.is_some() { "None of the last outcomes has this reason." }
            @else { "No outcome yet. Workers tell of them while this page's process runs; on RabbitMQ only with console.stories = true in the workers' settings." }
        }
    }
}

/// The last few, for those who look at the page as a whole.
pub(super) fn latest(console: &Console) -> Markup {
    let recent = console.recent();
    let entries: Vec<_> = recent.with(None).take(LATEST).collect();
    html! {
        @if !entries.is_empty() {
            section aria-labelledby="latest" {
                h2 id="latest" { "Latest outcomes" small { a href="/console/outcomes" { "all of them" } } }
                (table(&entries))
            }
        }
    }
}

fn table(entries: &[&Entry]) -> Markup {
    let now = EpochMs::from(SystemTime::now());
    let most = entries.iter().map(|entry| stages::total(&entry.story.stages)).max().unwrap_or_default();
    html! {
        table class="rows" {
            thead { tr {
                th { "Trigger" } th { "Outcome" } th { "Decided" } th { "Time" } th class="num" { "Calls" }
                th { "Callback" } th class="num" { "Cost" } th { "Profile" } th { "Conversation" }
            } }
            tbody { @for entry in entries { (row(entry, now, most)) } }
        }
    }
}

fn row(entry: &Entry, now: EpochMs, most: u64) -> Markup {
    let story = &entry.story;
    html! {
        tr {
            td data-label="Trigger" { a href=(path(&story.trigger_id)) { (page::short(&story.trigger_id)) } }
            td data-label="Outcome" { (status(story.status)) @if let Some(error) = story.error.as_deref().filter(|error| *error != story.status.as_str()) { small { (error) } } }
            td data-label="Decided" { (page::ago(story.decided_at, now)) }
            td data-label="Time" class="time" {
                (page::span(Duration::from_micros(stages::total(&story.stages))))
                (stages::bar(&story.stages, most))
            }
            td data-label="Calls" class="num" { (story.llm_calls) }
            td data-label="Callback" { (callback(entry)) }
            td data-label="Cost" class="num" { (cost(story.cost_usd)) }
            td data-label="Profile" { (story.profile) }
            td data-label="Conversation" { code { (story.conversation) } }
        }
    }
}

/// The page of one trigger.
pub(super) fn path(id: &str) -> String {
    // An id is a UUID; whatever else it claims to be becomes no other path.
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/console/outcomes/{id}")
}

/// How it was decided.
pub(super) fn status(status: Status) -> Markup {
    let class = match status {
        Status::Success => "good",
        Status::Superseded => "quiet",
        Status::InternalError | Status::LlmUnavailable => "bad",
        Status::SchemaValidationFailed | Status::ContentRefused | Status::Expired => "warn",
    };
    html! { span class={ "chip " (class) } { (status.as_str()) } }
}

/// How its callback fares.
pub(super) fn callback(entry: &Entry) -> Markup {
    let tries = entry.tries.last().map_or(0, |tried| tried.attempt);
    let times = if tries == 1 { String::new() } else { format!(" in {tries} tries") };
    html! {
        @match entry.tries.last().map(|tried| tried.end.as_deref()) {
            None => span class="chip quiet" { "waiting" },
            Some(None) => span class="chip warn" { "again after try " (tries) },
            Some(Some("delivered")) => span class="chip good" { "delivered" (times) },
            Some(Some(end)) => span class="chip bad" { (end) (times) },
        }
    }
}

/// US dollars, where known.
pub(super) fn cost(usd: Option<f64>) -> Markup {
    html! { @match usd { Some(usd) => { (format!("${usd:.5}")) } None => span class="quiet" { "–" } } }
}
