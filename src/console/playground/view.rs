//! How the playground looks.

use std::{path::Path, time::Duration};

use maud::{Markup, html};

use super::super::{
    Console,
    access::Visitor,
    outcomes::{cost, status},
    page::{count, csrf},
    stages, story,
    trial::{Attempt, RUNS, Ran},
};
use crate::{callback::Mode, pipeline::Stages, prompt::Prompt, story::Told};

/// What came of the last press of a button.
pub(super) enum Shown {
    Nothing,
    Problems(Vec<String>),
    Prompt(Prompt),
    Run(Box<Ran>),
}

pub(super) fn content(console: &Console, visitor: &Visitor, attempt: &Attempt, shown: &Shown) -> Markup {
    html! {
        div class="head" {
            h1 { "Playground" }
            p class="hint" { "Try a template on a trigger. Nothing here reaches a customer: no callback is ever sent, and your edits stay in this page." }
        }
        (profiles(console, attempt))
        form id="playground" class="playground" method="post" action="/console/playground" {
            (csrf(visitor))
            input type="hidden" name="profile" value=(attempt.profile);
            div class="editors" {
                div class="stack" {
                    (editor("system", "System template", "system.tera", &attempt.system, 9))
                    (editor("user", "User template", "user.tera", &attempt.user, 11))
                }
                div class="stack" { (editor("trigger", "Trigger", "the JSON of a request", &attempt.trigger, 22)) }
            }
            div class="actions" {
                button class="primary" title="Ctrl+Enter" { "Render" }
                @if console.config.write {
                    button formaction="/console/playground/run" title="Ctrl+Shift+Enter" { "Run" }
                    small { "Render costs nothing. Run asks the model, " (RUNS) " times a minute at most." }
                } @else { small { "Render costs nothing. To ask the model, too, set console.write = true." } }
            }
        }
        div id="result" aria-live="polite" { (result(console, visitor, attempt, shown)) }
    }
}

fn profiles(console: &Console, attempt: &Attempt) -> Markup {
    let template = console.parts.bots.get(&attempt.profile).map(|bot| bot.replayer.templates.id());
    html! {
        form class="filter" method="get" action="/console/playground" data-submit="change" {
            label { "Profile " select name="profile" {
                @for name in console.parts.bots.keys() { option selected[*name == attempt.profile] { (name) } }
            } }
            button { "Load its templates" }
            @if let Some(template) = template { small { code { (template) } } }
        }
    }
}

fn editor(name: &str, label: &str, hint: &str, text: &str, rows: u32) -> Markup {
    html! {
        label class="editor" {
            span { (label) small { (hint) } }
            textarea name=(name) rows=(rows) spellcheck="false" autocapitalize="off" autocomplete="off" { "\n" (text) }
        }
    }
}

pub(super) fn result(console: &Console, visitor: &Visitor, attempt: &Attempt, shown: &Shown) -> Markup {
    html! {
        @match shown {
            Shown::Nothing => p class="empty" { "Render shows what the model would be asked. Ctrl+Enter does it, too." },
            Shown::Problems(problems) => {
                div class="notice bad" role="alert" { p { "That does not work:" } ul { @for problem in problems { li { (problem) } } } }
            }
            Shown::Prompt(prompt) => section { h2 { "Prompt" } (message("system", &prompt.system)) (message("user", &prompt.user)) },
            Shown::Run(run) => (ran(console, visitor, attempt, run)),
        }
    }
}

/// A message, its length, and about how many tokens that is.
fn message(name: &str, text: &str) -> Markup {
    let characters = text.chars().count() as u64;
    html! {
        figure class="text" {
            figcaption { (name) small { (count(characters)) " characters, about " (count(characters.div_ceil(4))) " tokens" } }
            pre tabindex="0" { (text) }
        }
    }
}

fn ran(console: &Console, visitor: &Visitor, attempt: &Attempt, ran: &Ran) -> Markup {
    let (outcome, told) = (&ran.decided.outcome, ran.decided.told.as_ref());
    let times = times(&ran.decided.stages);
    html! {
        section {
            h2 { "Outcome" }
            div class="card stack" {
                p { (status(outcome.status)) " " @if let Some(error) = outcome.error { b { (error) } }
                    @if let Some(usage) = outcome.meta.usage { " " (usage.prompt_tokens) " + " (usage.completion_tokens) " tokens" }
                    " · model calls: " (outcome.meta.attempts.llm)
                    @if outcome.meta.cost_usd.is_some() { " · " (cost(outcome.meta.cost_usd)) } }
                (stages::bar(&times, stages::total(&times)))
                (stages::legend(&times))
            }
            (bodies(ran))
        }
        @if let Some(told) = told {
            @if !told.answers.is_empty() {
                section { h2 { "Answers" } @for (number, answer) in told.answers.iter().enumerate() { (story::answer(number + 1, answer, true)) } }
            }
            section { h2 { "Prompt" } (message("system", &told.system)) (message("user", &told.user)) }
            (save(console, visitor, attempt, told))
        }
    }
}

/// The outcome, and what would be posted of it.
fn bodies(ran: &Ran) -> Markup {
    let (name, hint) = match ran.mode {
        Mode::Webhook => ("Callback body", "not sent"),
        Mode::None => ("Outcome", "of this profile nothing is posted: it is for requests that wait or ask"),
        Mode::CognigyInject | Mode::CognigyNotify | Mode::CognigyManagement => ("Outcome", "the payload below"),
    };
    html! {
        (json(name, hint, &ran.decided.outcome))
        @if let Some(wrapped) = &ran.wrapped { (json("Callback body", "not sent", wrapped)) }
    }
}

fn json(name: &str, hint: &str, content: &impl serde::Serialize) -> Markup {
    html! {
        figure class="text" {
            figcaption { (name) small { (hint) } }
            pre tabindex="0" { (serde_json::to_string_pretty(content).unwrap_or_default()) }
        }
    }
}

fn times(stages: &Stages) -> Vec<(String, u64)> {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    [("prompt", stages.prompt), ("llm", stages.llm), ("decision", stages.decision)]
        .map(|(name, span)| (name.to_owned(), micros(span)))
        .into()
}

fn save(console: &Console, visitor: &Visitor, attempt: &Attempt, told: &Told) -> Markup {
    let Some(answer) = told.answers.last() else { return html! {} };
    html! {
        section {
            h2 { "Keep it" }
            form class="actions" method="post" action="/console/playground/save" {
                (csrf(visitor))
                input type="hidden" name="profile" value=(attempt.profile);
                input type="hidden" name="trigger" value=(told.trigger.to_string());
                input type="hidden" name="answer" value=(answer.text);
                label { "Save as test case " input name="name" pattern="[a-z0-9\\-]{1,64}" maxlength="64" placeholder="refund-without-order" required; }
                @if console.parts.templates.is_some() { button name="how" value="keep" { "Keep beside the templates" } }
                button name="how" value="download" { "Download" }
                small { code { "cfr check-config" } " replays it: does the trigger still render, does the answer still become this decision?" }
            }
        }
    }
}

/// Says where a test case is kept.
pub(super) fn kept(path: &Path) -> Markup {
    html! {
        div class="card narrow stack" {
            h1 { "Kept" }
            p { code { (path.display()) } }
            p { code { "cfr check-config" } " replays it from now on." }
            p { a href="/console/playground" { "Back to the playground" } }
        }
    }
}
