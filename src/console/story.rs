//! The full story of one trigger; what customers and models wrote is masked until it is revealed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::{
    Console,
    access::Visitor,
    outcomes::{callback, cost, status},
    page::{self, Part, csrf},
    recent::Entry,
    stages,
};
use crate::{
    dead_letters::{
        Operator,
        shown::{self, Kind},
    },
    story::{Answer, CallbackTry, Told},
    time::EpochMs,
};

pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    show(&console, &visitor, &id, false)
}

/// The same with its contents; noted in the audit log.
pub(super) async fn reveal(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    show(&console, &visitor, &id, true)
}

fn show(console: &Console, visitor: &Visitor, id: &str, revealed: bool) -> Response {
    let Some(entry) = console.recent().get(id) else {
        return page::problem(
            StatusCode::NOT_FOUND,
            "Not in memory",
            "This trigger is not among the last outcomes any more; the logs know it: look for trigger_finished and its id.",
        );
    };
    if revealed && let Ok(id) = id.parse() {
        Operator(visitor.name.clone()).did("story_revealed", "one", &[id]);
    }
    let content = html! {
        (heading(console, &entry))
        (facts(&entry))
        section { h2 { "Time" } div class="card stack" { (stages::bar(&entry.story.stages, stages::total(&entry.story.stages))) (stages::legend(&entry.story.stages)) } }
        section { h2 { "Callback" } (tries(&entry.tries)) }
        (actions(visitor, id, entry.story.told.is_some(), revealed))
        @if let Some(told) = &entry.story.told { (told_of(told, revealed)) }
        section { h2 { "Outcome" small { "the body of the callback" } } (json(Kind::Outcome, &entry.story.outcome, revealed)) }
    };
    page::page(console, visitor, Part::Outcomes, "Outcome", &content).into_response()
}

fn heading(console: &Console, entry: &Entry) -> Markup {
    let story = &entry.story;
    html! {
        div class="head" {
            p { a href="/console/outcomes" { "← Outcomes" } }
            h1 { (status(story.status)) " " code { (story.trigger_id) } }
            @if let Some(error) = &story.error { p { "Why there is no decision: " b { (error) } } }
            @if let Some(end) = entry.undelivered() {
                p class="notice bad" { "Its callback ended as " b { (end) } ". It waits among the " a href="/console/dead-letters" { "dead letters" } "." }
            }
            @if let Some(url) = grafana(console, story.accepted_at) { p { a href=(url) rel="noreferrer" { "Grafana at that time" } } }
        }
    }
}

/// The dashboard from five minutes before to five minutes after.
fn grafana(console: &Console, at: EpochMs) -> Option<String> {
    let mut url = url::Url::parse(console.config.grafana_url.as_deref()?).ok()?;
    let around = Duration::from_secs(300);
    url.query_pairs_mut()
        .append_pair("from", &at.minus(around).0.to_string())
        .append_pair("to", &at.plus(around).0.to_string());
    Some(url.into())
}

fn facts(entry: &Entry) -> Markup {
    let story = &entry.story;
    let degraded = degraded(&story.outcome);
    let tokens = story.tokens.map_or("unknown".to_owned(), |(prompt, answer)| format!("{prompt} + {answer}"));
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl class="facts card" {
            (fact("Accepted", html! { (page::ago(story.accepted_at, SystemTime::now().into())) }))
            (fact("Profile", html! { (story.profile) }))
            (fact("Conversation", html! { code { (story.conversation) } }))
            (fact("Model calls", html! { (story.llm_calls) }))
            (fact("Work attempts", html! { (story.work_attempts) }))
            (fact("Tokens", html! { (tokens) }))
            (fact("Cost", cost(story.cost_usd)))
            (fact("Callback", callback(entry)))
            @if !degraded.is_empty() { (fact("Done without", html! { @for flag in &degraded { span class="chip quiet" { (flag) } " " } })) }
        }
    }
}

/// The flags of what was done without, which an outcome carries.
fn degraded(outcome: &str) -> Vec<String> {
    let outcome: Value = serde_json::from_str(outcome).unwrap_or_default();
    let flags = outcome["meta"]["degraded"].as_array().into_iter().flatten();
    flags.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn tries(tries: &[CallbackTry]) -> Markup {
    html! {
        @if tries.is_empty() { p class="empty" { "No try yet." } }
        @else {
            table class="rows" {
                thead { tr { th { "Try" } th { "Ended" } th { "Took" } th { "Answer" } } }
                tbody { @for tried in tries {
                    tr {
                        td data-label="Try" { (tried.attempt) }
                        td data-label="Ended" { (shown::moment(tried.at)) }
                        td data-label="Took" { (page::span(Duration::from_millis(tried.took_ms))) }
                        td data-label="Answer" {
                            @match &tried.error { None => span class="chip good" { "acknowledged" }, Some(error) => span class="chip warn" { (error) } }
                        }
                    }
                } }
            }
        }
    }
}

fn actions(visitor: &Visitor, id: &str, told: bool, revealed: bool) -> Markup {
    html! {
        section class="actions" {
            @if !revealed {
                form method="post" action=(super::outcomes::path(id)) {
                    (csrf(visitor))
                    button { "Reveal contents" } small { "noted in the audit log" }
                }
            }
            @if told {
                form method="post" action="/console/playground/open" {
                    (csrf(visitor))
                    input type="hidden" name="outcome" value=(id);
                    button { "Open in the playground" } small { "reveals it, too" }
                }
            }
        }
    }
}

fn told_of(told: &Told, revealed: bool) -> Markup {
    html! {
        section { h2 { "Trigger" small { "as a template sees it" } } (json(Kind::Trigger, &told.trigger.to_string(), revealed)) }
        @if !told.system.is_empty() || !told.user.is_empty() {
            section { h2 { "Prompt" } (text("system", &told.system, revealed)) (text("user", &told.user, revealed)) }
        }
        @if !told.answers.is_empty() {
            section { h2 { "Answers" } @for (number, given) in told.answers.iter().enumerate() { (answer(number + 1, given, revealed)) } }
        }
    }
}

/// One answer of a model and what was wrong with it.
pub(super) fn answer(number: usize, answer: &Answer, revealed: bool) -> Markup {
    html! {
        div class="answer" {
            p { b { "Answer " (number) } " of " code { (answer.model) } " "
                @match &answer.invalid {
                    None => span class="chip good" { "valid" },
                    Some((code, _)) => span class="chip bad" { (code) },
                }
                @if answer.truncated { " " span class="chip warn" { "cut off at the token limit" } }
            }
            @if let Some((_, rules)) = &answer.invalid { (broken(rules)) }
            (text("raw", &answer.text, revealed))
        }
    }
}

/// Broken rules, by JSON pointer (RFC 6901).
fn broken(rules: &[String]) -> Markup {
    html! {
        table class="rows rules" {
            thead { tr { th { "Where" } th { "Broken rule" } } }
            tbody { @for rule in rules {
                @let (pointer, sentence) = pointed(rule);
                tr { td data-label="Where" { code { @if pointer.is_empty() { "(whole answer)" } @else { (pointer) } } } td data-label="Broken rule" { (sentence) } }
            } }
        }
    }
}

/// A line of a re-ask (`field.name: rule`) as a pointer and a rule.
fn pointed(rule: &str) -> (String, &str) {
    match rule.split_once(": ") {
        Some(("answer", sentence)) => (String::new(), sentence),
        Some((field, sentence)) if !field.contains(' ') => (format!("/{}", field.replace('.', "/")), sentence),
        _ => (String::new(), rule),
    }
}

/// A text, or how long it is.
pub(super) fn text(name: &str, text: &str, revealed: bool) -> Markup {
    let characters = text.chars().count();
    html! {
        figure class="text" {
            figcaption { (name) small { (page::count(characters as u64)) " characters" } }
            @if revealed { pre tabindex="0" { (text) } } @else { pre class="masked" { "masked" } }
        }
    }
}

/// A JSON text; masked, its shape and our own words only.
fn json(kind: Kind, text: &str, revealed: bool) -> Markup {
    let whole = || serde_json::from_str(text).unwrap_or(Value::String(text.to_owned()));
    pretty(&if revealed { whole() } else { shown::masked(kind, text.as_bytes()) })
}

/// JSON as it is.
pub(super) fn pretty(value: &Value) -> Markup {
    html! { figure class="text" { pre tabindex="0" { (serde_json::to_string_pretty(value).unwrap_or_default()) } } }
}

#[cfg(test)]
mod tests {
    use super::pointed;

    #[test]
    fn broken_rules_become_json_pointers() {
        for (rule, pointer, sentence) in [
            ("confidence: must be at most 1", "/confidence", "must be at most 1"),
            ("extracted_parameters.id: must be a string", "/extracted_parameters/id", "must be a string"),
            ("answer: must be of type object", "", "must be of type object"),
            ("there is no JSON object: none at all", "", "there is no JSON object: none at all"),
        ] {
            assert_eq!(pointed(rule), (pointer.to_owned(), sentence));
        }
    }
}
