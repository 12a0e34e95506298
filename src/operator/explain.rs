//! The timeline of a trigger, from what its dead letter knows of it.

use std::time::Duration;

use crate::{
    dead_letters::shown::{meaning, moment},
    message::{DeadLetter, Lane, Try},
    time::EpochMs,
    trigger::TriggerId,
    worker::Record,
};

/// What happened, line by line. The last lines say what cannot be known from here.
#[must_use]
pub fn timeline(letter: &DeadLetter) -> Vec<String> {
    let envelope = &letter.message.envelope;
    let mut lines = vec![format!("trigger {} of profile {}", envelope.trigger_id, envelope.profile)];
    let outcome = letter.message.lane_of_replay() == Lane::Outcome;
    let times = match (envelope.replay, outcome) {
        (0, _) => String::new(),
        (count, true) => format!(" (replayed {count} times; its outcome counts as stored at the last one)"),
        (count, false) => format!(" (replayed {count} times; accepted and deadline are those of the last one)"),
    };
    lines.push(format!("{}  accepted{times}", moment(envelope.accepted_at)));
    match serde_json::from_slice::<Record<'_>>(&letter.message.body) {
        Ok(record) if outcome => lines.extend(decided(envelope.accepted_at, &record)),
        _ if outcome => lines.push("its stored outcome cannot be read".to_owned()),
        _ => lines.push(format!("not decided: work attempt {} was its last", envelope.attempt)),
    }
    lines.push(format!("{}  deadline", moment(envelope.deadline)));
    if let Some(stored_at) = envelope.stored_at {
        lines.push(format!("{}  outcome stored", moment(stored_at)));
        lines.push(format!("callback tries since then: {}", envelope.attempt));
    }
    lines.extend(envelope.tries.iter().map(tried));
    lines.push(format!("dead letter: {}: {}", letter.reason.as_str(), meaning(letter.reason)));
    lines.push("what stands only in the logs (each answer, each model call):".to_owned());
    lines.push(format!("  {}", grep(envelope.trigger_id)));
    lines
}

fn tried(one: &Try) -> String {
    let (at, number) = (moment(one.at), one.number);
    match (&*one.ended, one.lane) {
        ("replayed", lane) => format!("{at}  replayed into the {} lane", lane.as_str()),
        ("came_back", _) => format!("{at}  came back in work attempt {number}: its worker died, hung or was stopped"),
        (ended, Lane::Outcome) => format!("{at}  callback try {number}: {ended}{}", waited(one.wait)),
        (ended, lane) => format!("{at}  {} attempt {number}: {ended}{}", lane.as_str(), waited(one.wait)),
    }
}

fn waited(wait: Duration) -> String {
    if wait.is_zero() { String::new() } else { format!(", then a wait of {:.1} s", wait.as_secs_f64()) }
}

/// What to do about a trigger that is not among the dead letters.
#[must_use]
pub fn unknown(id: TriggerId, looked_at: usize, all: u64) -> Vec<String> {
    let mut lines = vec![format!("trigger {id} is not among the dead letters ({looked_at} of {all} were looked at)")];
    lines.push(
        "It may be done, on its way, or unknown: a trigger that is not dead leaves its traces in the logs only.".into(),
    );
    lines.push(format!("  {}", grep(id)));
    lines.push(
        "  `trigger_finished` has its status, stage times, model calls and callback tries; no such line: not done yet"
            .into(),
    );
    lines
}

fn grep(id: TriggerId) -> String {
    format!("grep -h {id} LOGS    # `callback_failed`, `settlement_failed`, `trigger_finished`")
}

fn decided(accepted_at: EpochMs, record: &Record<'_>) -> Vec<String> {
    let (figures, stages) = (&record.figures, &record.figures.stages);
    let ms = |span: Duration| format!("{:.1} ms", span.as_secs_f64() * 1000.0);
    let at = moment(accepted_at.plus(Duration::from_millis(figures.decided_ms)));
    let error = record.error.map(|error| format!(" ({error})")).unwrap_or_default();
    let attempt = figures.work_attempts;
    let tokens = match (figures.prompt_tokens, figures.completion_tokens) {
        (Some(prompt), Some(completion)) => format!(", {prompt} + {completion} tokens"),
        _ => String::new(),
    };
    vec![
        format!("{at}  decided in work attempt {attempt}: {}{error}", record.status.as_str()),
        format!(
            "  history {}, prompt {}, model {} ({} calls{tokens}), decision {}",
            ms(stages.history),
            ms(stages.prompt),
            ms(stages.llm),
            figures.llm_calls,
            ms(stages.decision)
        ),
    ]
}
