//! Replaying dead letters in the background: one replay at a time, watched and stopped from the page.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use maud::{Markup, html};
use tokio_util::sync::CancellationToken;

use super::{Console, page::count};
use crate::dead_letters::{self, Done, Filter, Operator, Order, Progress};

/// The replay that runs or ran last.
#[derive(Default)]
pub(super) struct Replays(Mutex<Option<Replay>>);

struct Replay {
    /// How many were counted before.
    expected: usize,
    progress: Progress,
    stop: CancellationToken,
    end: Option<End>,
}

/// What became of it, in numbers.
struct End {
    replayed: usize,
    refused: usize,
    doubled: usize,
    failure: Option<String>,
}

impl Replays {
    /// Stops the one that runs, after the dead letter in hand.
    pub(super) fn stop(&self) {
        if let Some(replay) = &*self.lock() {
            replay.stop.cancel();
        }
    }

    /// Begins one; false while another runs.
    pub(super) fn begin(
        console: &Arc<Console>,
        filter: Filter,
        expected: usize,
        rate: u32,
        operator: Operator,
    ) -> bool {
        let (progress, stop) = (Progress::default(), console.stop.child_token());
        let order = Order {
            filter,
            limit: expected,
            pause: Some(Duration::from_secs(1) / rate.max(1)),
            stop: stop.clone(),
            progress: progress.clone(),
        };
        {
            let mut last = console.replays.lock();
            if last.as_ref().is_some_and(|replay| replay.end.is_none()) {
                return false;
            }
            *last = Some(Replay { expected, progress, stop, end: None });
        }
        let console = Arc::clone(console);
        tokio::spawn(async move {
            let done = dead_letters::replay(&*console.parts.queue, &order, &console.parts.deadlines, &operator).await;
            if let Some(replay) = &mut *console.replays.lock() {
                replay.end = Some(End::of(&done));
            }
        });
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Replay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    fn of(done: &Done) -> Self {
        let failure = done.failure.as_ref().map(ToString::to_string);
        Self { replayed: done.ids.len(), refused: done.refused.len(), doubled: done.doubled.len(), failure }
    }
}

/// How far it is; nothing if there was none.
pub(super) fn banner(console: &Console) -> Markup {
    let replays = console.replays.lock();
    let Some(replay) = &*replays else { return html! {} };
    html! {
        @match &replay.end {
            None => {
                p class="notice" role="status" {
                    "Replaying: " (count(replay.progress.count() as u64)) " of " (count(replay.expected as u64)) " "
                    progress max=(replay.expected) value=(replay.progress.count()) {}
                    " " a href="/console/dead-letters" { "Stop" }
                }
            }
            Some(end) => {
                p class={ "notice " @if end.failure.is_some() || end.refused > 0 { "warn" } @else { "good" } } role="status" {
                    "The last replay: " (count(end.replayed as u64)) " replayed"
                    @if end.refused > 0 { ", " (end.refused) " refused: open one to see why" }
                    @if end.doubled > 0 { ", " (end.doubled) " perhaps still among the dead letters" }
                    @if let Some(failure) = &end.failure { "; it ended early: " (failure) }
                    "."
                }
            }
        }
    }
}

/// True while one runs.
pub(super) fn is_running(console: &Console) -> bool {
    console.replays.lock().as_ref().is_some_and(|replay| replay.end.is_none())
}
