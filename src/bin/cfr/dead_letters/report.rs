//! What a replay or a purge says while it goes on, and when it is done.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cognigy_fallback_router::{
    dead_letters::{Done, Progress},
    trigger::TriggerId,
};
use indicatif::ProgressBar;
use serde_json::json;

use crate::say;

/// How often the bar moves.
const BEAT: Duration = Duration::from_millis(100);

/// Shows the progress of `work` until it is done.
pub(super) async fn during<T>(bar: ProgressBar, progress: &Progress, work: impl Future<Output = T>) -> T {
    let mut beats = tokio::time::interval(BEAT);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = beats.tick() => bar.set_position(progress.count() as u64),
        }
    }
}

/// Says what was done; an error for what was not, though it was asked for.
pub(super) fn told(done: &Done, asked_for: &[TriggerId], what: &str, json: bool) -> anyhow::Result<()> {
    let missing: Vec<_> = asked_for.iter().filter(|id| !touched(done, id)).map(ToString::to_string).collect();
    if json {
        say(&as_json(done, &missing, what));
    } else {
        in_words(done, what);
    }
    if let Some(failure) = &done.failure {
        return Err(anyhow::Error::new(failure.clone())).context("ended early; the rest waits as before, run it again");
    }
    ensure!(missing.is_empty(), "not among the dead letters that fit: {}", missing.join(", "));
    ensure!(done.refused.is_empty(), "{} were not {what}", done.refused.len());
    Ok(())
}

fn touched(done: &Done, id: &TriggerId) -> bool {
    done.ids.contains(id) || done.doubled.contains(id) || done.refused.iter().any(|(refused, _)| refused == id)
}

fn in_words(done: &Done, what: &str) {
    say(&format!("{} {what}", done.ids.len()));
    for (id, why) in &done.refused {
        say(&format!("{id} was not {what}: {why}"));
    }
    for id in &done.doubled {
        say(&format!("{id} was {what}, but may still be among the dead letters: the queue was lost meanwhile"));
    }
}

fn as_json(done: &Done, missing: &[String], what: &str) -> String {
    let ids = |ids: &[TriggerId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let refused = done.refused.iter().map(|(id, why)| json!({"id": id.to_string(), "why": why}));
    json!({
        what: ids(&done.ids),
        "refused": refused.collect::<Vec<_>>(),
        "doubled": ids(&done.doubled),
        "missing": missing,
        "failure": done.failure.as_ref().map(ToString::to_string),
    })
    .to_string()
}
