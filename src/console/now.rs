//! *Now*: the queue, the workers, the circuit breakers, and the last minute.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use axum::{Extension, extract::State, response::Html};
use maud::{Markup, html};
use tokio::time::Instant;

use super::{
    Console,
    access::Visitor,
    fleet::{STEPS, Seen, Step},
    outcomes,
    page::{self, Part, count},
    replay,
};
use crate::{
    message::Lane,
    queue::{Depths, QueueError},
    story::Slots,
    time::EpochMs,
};

pub(super) async fn page(State(console): State<Arc<Console>>, Extension(visitor): Extension<Visitor>) -> Html<String> {
    let content = html! {
        h1 class="sr" { "Now" }
        div id="now" data-live="now" { (fragment(&console).await) }
        noscript { p class="hint" { "Without a script this page does not renew itself: " a href="/console" { "load it again" } "." } }
    };
    page::page(&console, &visitor, Part::Now, "Now", &content)
}

/// What is pushed to pages that are open.
pub(super) async fn fragment(console: &Console) -> Markup {
    let depths = console.pulse.depths(&*console.parts.queue).await;
    let (now, wall) = (Instant::now(), EpochMs::from(SystemTime::now()));
    let mut fleet = console.fleet();
    let steps = fleet.steps(now);
    let workers: Vec<_> = fleet.workers(now).collect();
    let heard: Vec<_> = workers.iter().copied().filter(|seen| seen.is_heard(now)).collect();
    html! {
        (replay::banner(console))
        section aria-labelledby="vitals" {
            h2 id="vitals" { "Queue" }
            (vitals(depths.as_ref(), &heard, &steps))
        }
        section aria-labelledby="workers" {
            h2 id="workers" { "Workers" small { (heard.len()) " alive" } }
            (table(&workers, now, wall))
        }
        section aria-labelledby="breakers" {
            h2 id="breakers" { "Circuit breakers" }
            (breakers(&heard))
        }
        (outcomes::latest(console))
    }
}

fn vitals(depths: Result<&Depths, &QueueError>, heard: &[&Seen], steps: &[Step]) -> Markup {
    let in_hand: u64 = heard.iter().flat_map(|seen| seen.heartbeat.lanes).map(|lane| u64::from(lane.in_flight)).sum();
    html! {
        @if let Err(error) = depths { p class="notice bad" role="status" { "The queue cannot be asked: " (error) } }
        dl class="vitals" {
            @if let Ok(depths) = depths {
                (vital("Ready", depths.work + depths.late, "triggers to decide", ""))
                (vital("In flight", in_hand, "in workers' slots", ""))
                (vital("Callbacks", depths.outcome, "outcomes to post", ""))
                (vital("Delayed", depths.delayed, "for another try", ""))
                div class={ "vital" @if depths.dead > 0 { " bad" } } {
                    dt { a href="/console/dead-letters" { "Dead letters" } }
                    dd { (count(depths.dead)) small { "waiting for you" } }
                }
            }
            (rate(steps))
        }
    }
}

fn vital(name: &str, number: u64, what: &str, class: &str) -> Markup {
    html! { div class={ "vital " (class) } { dt { (name) } dd { (count(number)) small { (what) } } } }
}

/// Outcomes a second over the last minute, and a bar for every step of it.
fn rate(steps: &[Step]) -> Markup {
    let (good, safe) = steps.iter().fold((0, 0), |sum, step| (sum.0 + step.good, sum.1 + step.safe));
    let most = steps.iter().map(|step| step.good + step.safe).max().unwrap_or_default().max(1);
    let height = |number: u64| number * 32 / most;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = (good + safe) as f64 / 60.0;
    html! {
        div class="vital wide" {
            dt { "Last 60 s" }
            dd {
                (format!("{per_second:.1}/s"))
                small { (count(good)) " decided, " (count(safe)) " safe answers" }
                svg class="spark" viewBox=(format!("0 0 {} 34", STEPS * 5)) preserveAspectRatio="none" role="img" aria-label="Outcomes in steps of two seconds" {
                    @for (place, step) in steps.iter().enumerate() {
                        @let (good, safe) = (height(step.good), height(step.safe));
                        rect class="base" x=(place * 5) y="33" width="4" height="1" {}
                        rect class="good" x=(place * 5) y=(33 - good) width="4" height=(good) {}
                        rect class="safe" x=(place * 5) y=(33 - good - safe) width="4" height=(safe) {}
                    }
                }
            }
        }
    }
}

fn table(workers: &[&Seen], now: Instant, wall: EpochMs) -> Markup {
    if workers.is_empty() {
        return html! { p class="empty" { "No worker has let itself be heard. Each does every two seconds while it is connected to the queue." } };
    }
    html! {
        table class="rows" {
            thead { tr { th { "Worker" } th { "State" } @for lane in Lane::ALL { th { (lane.as_str()) } } th { "Up" } th { "Last seen" } } }
            tbody {
                @for seen in workers {
                    @let heartbeat = &seen.heartbeat;
                    tr {
                        td data-label="Worker" { code { (heartbeat.worker) } small { "v" (heartbeat.version) } }
                        td data-label="State" { (state(seen, now)) }
                        @for (lane, slots) in Lane::ALL.iter().zip(heartbeat.lanes) { td data-label=(lane.as_str()) { (load(slots)) } }
                        td data-label="Up" { (crate::dead_letters::shown::span(wall.since(heartbeat.started_at))) }
                        td data-label="Last seen" { (now.duration_since(seen.at).as_secs()) " s ago" }
                    }
                }
            }
        }
    }
}

fn state(seen: &Seen, now: Instant) -> Markup {
    html! {
        @if !seen.is_heard(now) { span class="chip bad" { "silent" } }
        @else if seen.heartbeat.draining { span class="chip warn" { "draining" } }
        @else { span class="chip good" { "alive" } }
    }
}

/// In flight of at most, as a number and a bar.
fn load(slots: Slots) -> Markup {
    let share = (slots.in_flight * 100).checked_div(slots.most).unwrap_or_default().min(100);
    html! {
        span class="load" {
            span { (slots.in_flight) "/" (slots.most) }
            svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                rect class="base" width="100" height="6" {}
                rect class=(if share > 90 { "full" } else { "used" }) width=(share) height="6" {}
            }
        }
    }
}

/// Breakers of all workers, by upstream.
fn breakers(heard: &[&Seen]) -> Markup {
    let mut upstreams: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
    for (name, states) in heard.iter().flat_map(|seen| &seen.heartbeat.circuits) {
        let sum = upstreams.entry(name).or_default();
        for (sum, number) in sum.iter_mut().zip(states) {
            *sum += number;
        }
    }
    upstreams.retain(|_, states| states.iter().any(|number| *number > 0));
    html! {
        @if upstreams.is_empty() { p class="empty" { "None has been used yet." } }
        ul class="breakers" {
            @for (name, [closed, open, half_open]) in upstreams {
                li {
                    span class="name" { (name) }
                    @if closed > 0 { span class="chip good" { (closed) " closed" } }
                    @if half_open > 0 { span class="chip warn" { (half_open) " probing" } }
                    @if open > 0 { span class="chip bad" { (open) " open" } }
                }
            }
        }
    }
}
