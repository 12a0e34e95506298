//! The frame of every page, and how things are written on it.

use std::time::Duration;

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::{Console, access::Visitor, assets, recent};
use crate::time::EpochMs;

/// The parts of the console.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Now,
    Outcomes,
    DeadLetters,
    Playground,
}

impl Part {
    const ALL: [Self; 4] = [Self::Now, Self::Outcomes, Self::DeadLetters, Self::Playground];

    fn path(self) -> &'static str {
        match self {
            Self::Now => "/console",
            Self::Outcomes => "/console/outcomes",
            Self::DeadLetters => "/console/dead-letters",
            Self::Playground => "/console/playground",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Outcomes => "Outcomes",
            Self::DeadLetters => "Dead letters",
            Self::Playground => "Playground",
        }
    }
}

/// A page of one part.
pub(super) fn page(console: &Console, visitor: &Visitor, part: Part, title: &str, content: &Markup) -> Html<String> {
    frame(
        title,
        Some(&visitor.csrf),
        &html! {
            header class="top" {
                a class="brand" href="/console" { (mark()) span { "Fallback router" } }
                nav aria-label="Parts" {
                    @for other in Part::ALL {
                        a href=(other.path()) aria-current=[(other == part).then_some("page")] { (other.name()) }
                    }
                }
                div class="who" {
                    @if !console.config.write { span class="chip quiet" title="console.write is false" { "read-only" } }
                    @if console.access.guarded() {
                        form method="post" action="/console/sign-out" {
                            input type="hidden" name="csrf" value=(visitor.csrf);
                            button class="link" { "Sign out" }
                        }
                    }
                }
            }
            main id="main" tabindex="-1" { (content) }
            (footer(console))
        },
    )
}

/// A page without the parts, for visitors who may not see them.
pub(super) fn plain(title: &str, content: &Markup) -> Html<String> {
    frame(title, None, &html! { main id="main" class="plain" { (content) } })
}

/// A page that says why there is no other.
pub(super) fn problem(status: StatusCode, title: &str, sentence: &str) -> Response {
    let page = frame(
        title,
        None,
        &html! {
            main id="main" class="plain" {
                div class="card narrow stack" {
                    h1 { (title) }
                    p { (sentence) }
                    p { a href="/console" { "Back to the console" } }
                }
            }
        },
    );
    (status, page).into_response()
}

fn frame(title: &str, csrf: Option<&str>, content: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(csrf) = csrf { meta name="csrf" content=(csrf); }
                title { (title) " · Fallback router" }
                link rel="icon" href=(assets::icon()) type="image/svg+xml";
                link rel="stylesheet" href=(assets::style());
                script src=(assets::script()) defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                (content)
            }
        }
    };
    Html(page.into_string())
}

fn mark() -> Markup {
    html! {
        svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path class="mark" d="M4 5h6a4 4 0 0 1 4 4v6a4 4 0 0 0 4 4h2M4 5l3-3M4 5l3 3M14 12h6M20 12l-3-3M20 12l-3 3" {}
        }
    }
}

fn footer(console: &Console) -> Markup {
    let links = [("Grafana", &console.config.grafana_url), ("RabbitMQ", &console.config.rabbitmq_url)];
    html! {
        footer class="bottom" {
            p { "In memory: the last " (recent::MOST) " outcomes since this process started. History is in Grafana and in the logs." }
            p {
                @for (name, url) in links {
                    @if let Some(url) = url { a href=(url) rel="noreferrer" { (name) } " " }
                }
                span class="version" { "cfr " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}

/// A hidden field with what every form has to bring along.
pub(super) fn csrf(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="csrf" value=(visitor.csrf); }
}

/// A number with thin spaces between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            written.push('\u{2009}');
        }
        written.push(digit);
    }
    written
}

/// A span as people say it: `850 µs`, `12 ms`, `1.24 s`, `3m 20s`.
pub(super) fn span(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{:.2} s", span.as_secs_f64()),
        _ => crate::dead_letters::shown::span(span),
    }
}

/// A moment as its distance from now, with the moment itself for those who hover.
pub(super) fn ago(at: EpochMs, now: EpochMs) -> Markup {
    let moment = crate::dead_letters::shown::moment(at);
    html! { time datetime=(moment) title=(moment) { (crate::dead_letters::shown::span(now.since(at))) " ago" } }
}

/// The first part of an id; the whole for those who hover.
pub(super) fn short(id: &str) -> Markup {
    let end = id.char_indices().nth(13).map_or(id.len(), |(end, _)| end);
    html! { code title=(id) { (id[..end]) @if end < id.len() { "…" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_written_for_people() {
        assert_eq!([count(0), count(999), count(1_234_567)], ["0", "999", "1\u{2009}234\u{2009}567"]);
        for (micros, expected) in
            [(850, "850 µs"), (1_230, "1.2 ms"), (12_900, "12 ms"), (1_239_000, "1.24 s"), (200_000_000, "3m 20s")]
        {
            assert_eq!(span(Duration::from_micros(micros)), expected);
        }
    }
}
