//! Where the time of a trigger went: a bar with a piece for each stage.

use std::time::Duration;

use maud::{Markup, html};

use super::page;

/// Units that a bar is wide.
const WIDTH: u64 = 1_000;

/// A bar; `most` (in microseconds) is as long as the whole width.
pub(super) fn bar(stages: &[(String, u64)], most: u64) -> Markup {
    let most = most.max(1);
    let mut at = 0;
    let mut pieces = Vec::new();
    for (name, micros) in stages {
        let width = (micros.saturating_mul(WIDTH) / most).min(WIDTH - at);
        pieces.push((name.as_str(), at, width));
        at += width;
    }
    html! {
        svg class="stages" viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" role="img" aria-label=(words(stages)) {
            rect class="base" width=(WIDTH) height="10" {}
            @for (name, from, width) in pieces { rect class={ "stage-" (class(name)) } x=(from) width=(width) height="10" {} }
        }
    }
}

/// What the colours mean, and how long each stage took.
pub(super) fn legend(stages: &[(String, u64)]) -> Markup {
    html! {
        ul class="legend" {
            @for (name, micros) in stages {
                li { span class={ "dot stage-" (class(name)) } {} (name) " " b { (page::span(Duration::from_micros(*micros))) } }
            }
        }
    }
}

/// All of it.
pub(super) fn total(stages: &[(String, u64)]) -> u64 {
    stages.iter().fold(0, |sum, (_, micros)| sum.saturating_add(*micros))
}

fn words(stages: &[(String, u64)]) -> String {
    let words = stages.iter().map(|(name, micros)| format!("{name} {}", page::span(Duration::from_micros(*micros))));
    words.collect::<Vec<_>>().join(", ")
}

/// Names come over the wire; only known ones become a part of the page's structure.
fn class(name: &str) -> &'static str {
    match name {
        "queue" => "queue",
        "history" => "history",
        "prompt" => "prompt",
        "llm" => "llm",
        "decision" => "decision",
        _ => "other",
    }
}
