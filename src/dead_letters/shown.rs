//! How dead letters look to an operator, as JSON. Without `reveal` no text and no id of a customer is in it.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use super::masked::Kind;
use super::{Operator, masked};
use crate::{
    message::{DeadLetter, Lane, Reason, Try},
    time::EpochMs,
    trigger::TriggerId,
};

/// One line of a list.
#[must_use]
pub fn line(letter: &DeadLetter, now: EpochMs, reveal: bool) -> Value {
    let envelope = &letter.message.envelope;
    json!({
        "id": envelope.trigger_id.to_string(),
        "age_s": now.since(envelope.accepted_at).as_secs(),
        "profile": envelope.profile,
        "reason": letter.reason.as_str(),
        "lane": letter.message.lane_of_replay().as_str(),
        "attempts": envelope.attempt,
        "replays": envelope.replay,
        "conversation": if reveal { envelope.conversation_id.clone() } else { hashed(&envelope.conversation_id) },
    })
}

/// Everything about one dead letter: its headers and its body.
#[must_use]
pub fn whole(letter: &DeadLetter, now: EpochMs, reveal: bool) -> Value {
    let envelope = &letter.message.envelope;
    let personal = |text: &str| if reveal { text.to_owned() } else { hashed(text) };
    let mut shown = line(letter, now, reveal);
    shown["meaning"] = json!(meaning(letter.reason));
    shown["accepted"] = json!(moment(envelope.accepted_at));
    shown["deadline"] = json!(moment(envelope.deadline));
    shown["stored"] = json!(envelope.stored_at.map(moment));
    shown["user"] = json!(personal(&envelope.user_id));
    shown["session"] = json!(envelope.session_id.as_deref().map(personal));
    shown["language"] = json!(envelope.language.as_deref().map(masked::language));
    shown["callback"] =
        json!(envelope.callback.as_deref().map(|url| if reveal { url } else { "named by the trigger" }));
    shown["tries"] = envelope.tries.iter().map(tried).collect();
    shown["traceparent"] = json!(envelope.traceparent);
    shown["body"] =
        if reveal { revealed(&letter.message.body) } else { masked::body(kind(letter), &letter.message.body) };
    shown
}

fn tried(one: &Try) -> Value {
    json!({
        "at": moment(one.at),
        "lane": one.lane.as_str(),
        "number": one.number,
        "ended": one.ended,
        "wait_s": one.wait.as_secs_f64(),
    })
}

/// What the body of a dead letter is. What cannot be told from its headers is taken for a customer's.
fn kind(letter: &DeadLetter) -> Kind {
    match letter.message.lane_of_replay() {
        Lane::Outcome => Kind::Record,
        Lane::Work | Lane::Late => Kind::Trigger,
    }
}

/// A JSON text of that kind with our own words and its shape only.
#[must_use]
pub fn masked(kind: Kind, text: &[u8]) -> Value {
    masked::body(kind, text)
}

/// Notes in the log that an operator saw customers' words.
pub fn note_reveal(operator: &Operator, filter: &str, ids: &[TriggerId]) {
    operator.did("dead_letters_revealed", filter, ids);
}

/// What a reason means, and what to do before a replay.
#[must_use]
pub fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::CallbackRejected => {
            "the receiver refused the callback for good; heal the receiver or the callback URL, then replay"
        }
        Reason::CallbackExpired => {
            "the receiver could not be reached until the callback was too old; replay once it is well, if it still matters"
        }
        Reason::CallbackUnknown => {
            "the receiver may have taken the callback; ask it before a replay, which could show the answer twice"
        }
        Reason::Poison => {
            "it came back unsettled too often: its workers died or hung; look at their logs before a replay"
        }
        Reason::Exhausted => {
            "our own failures used up its attempts; look for `panic` in the workers' logs before a replay"
        }
        Reason::Expired => "its time ran out and not even the safe answer could be stored; replay if it still matters",
        Reason::Unreadable => {
            "no worker could read it or knew its profile; give the workers that profile, then replay, or purge it"
        }
        Reason::Unrouted => "no queue was bound for it; run `cfr doctor`, heal the topology, then replay",
    }
}

/// The first 12 hex digits of the SHA-256 of an id: the same for the same id, and not the id.
#[must_use]
pub fn hashed(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..6])
}

/// A moment as an operator reads it: RFC 3339, UTC.
#[must_use]
pub fn moment(at: EpochMs) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| format!("{} ms", at.0), |moment| moment.to_string())
}

/// A span in its two largest units.
#[must_use]
pub fn span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// The body as it is, but for the token that opens a customer's conversation: it is a secret, not somebody's words.
fn revealed(body: &[u8]) -> Value {
    let Ok(mut body) = serde_json::from_slice(body) else { return String::from_utf8_lossy(body).into() };
    hide_tokens(&mut body);
    body
}

fn hide_tokens(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "urlToken" | "url_token" if !value.is_null() => *value = json!("(hidden)"),
                    _ => hide_tokens(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_tokens),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reveal_shows_words_and_no_token() {
        for body in [
            r#"{"lastMessage":"my words","urlToken":"opens-it"}"#,
            r#"{"reply_to":{"url_token":"opens-it","text":null},"outcome":{"suggested_response":"my words"}}"#,
            r#"{"reply_to":{"urlToken":"opens-it"},"words":["my words"]}"#,
        ] {
            let shown = revealed(body.as_bytes()).to_string();
            assert!(shown.contains("my words") && !shown.contains("opens-it"), "{shown}");
        }
    }
}
