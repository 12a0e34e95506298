//! What a worker tells the operator's console: that it lives, and how each trigger came to its end.
//!
//! It is told best effort, is bounded in size, and holds redacted text only: what a model could see, never what the
//! customer wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{outcome::Status, time::EpochMs};

/// Largest text of a story, in bytes; what is longer is cut.
pub const MAX_TEXT: usize = 16 * 1024;

/// Answers of the model that a story holds; one is asked again at most twice.
pub const MAX_ANSWERS: usize = 3;

/// One thing that a worker tells.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Telling {
    /// It lives, and this is how it fares.
    Alive(Heartbeat),
    /// It decided a trigger.
    Decided(Box<Story>),
    /// It tried to post an outcome.
    Tried(CallbackTry),
}

/// How a worker fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its name: host and process, or where it listens.
    pub worker: String,
    /// The version of its program.
    pub version: String,
    /// When it started.
    pub started_at: EpochMs,
    /// True once it takes no more.
    pub draining: bool,
    /// Deliveries in hand and at most, by lane, in the order of [`crate::message::Lane::ALL`].
    pub lanes: [Slots; 3],
    /// Circuit breakers by upstream: how many are closed, open, half open.
    pub circuits: BTreeMap<String, [u32; 3]>,
    /// Outcomes stored since its start, by status.
    pub outcomes: BTreeMap<String, u64>,
}

/// How much of a lane is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Deliveries being worked on.
    pub in_flight: u32,
    /// At most.
    pub most: u32,
}

/// How a trigger was decided.
#[derive(Clone, Serialize, Deserialize)]
pub struct Story {
    /// The trigger.
    pub trigger_id: String,
    /// Its bot.
    pub profile: String,
    /// The conversation's id, hashed.
    pub conversation: String,
    /// When it was accepted.
    pub accepted_at: EpochMs,
    /// When it was decided.
    pub decided_at: EpochMs,
    /// How it ended.
    pub status: Status,
    /// The short code beside a status that is not success.
    #[serde(default)]
    pub error: Option<String>,
    /// Microseconds by stage: `queue`, `history`, `prompt`, `llm`, `decision`, in that order.
    pub stages: Vec<(String, u64)>,
    /// Calls of the model.
    pub llm_calls: u32,
    /// Deliveries to a worker.
    pub work_attempts: u32,
    /// Tokens of prompts and answers, where known.
    #[serde(default)]
    pub tokens: Option<(u64, u64)>,
    /// US dollars, where known.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// The outcome's JSON.
    pub outcome: String,
    /// What was asked and answered; nothing if no model was to be asked.
    #[serde(default)]
    pub told: Option<Told>,
}

/// What a model was told and what it answered, redacted.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The trigger as a template sees it, in the form of a request, its conversation included.
    pub trigger: Value,
    /// The system message.
    pub system: String,
    /// The user message.
    pub user: String,
    /// The answers, in their order.
    pub answers: Vec<Answer>,
}

/// One answer of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its text, as it came but for what was redacted.
    pub text: String,
    /// The model.
    pub model: String,
    /// True if it was cut off at the token limit.
    pub truncated: bool,
    /// What was wrong with it: a short code, and a line for each broken rule. Nothing: it was taken.
    pub invalid: Option<(String, Vec<String>)>,
}

/// One try to post an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTry {
    /// The trigger.
    pub trigger_id: String,
    /// Number of the try, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: EpochMs,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it was not acknowledged; nothing: it was.
    #[serde(default)]
    pub error: Option<String>,
    /// How the callback ended, if this was the last try.
    #[serde(default)]
    pub end: Option<String>,
}

/// A text, cut at a character's end to at most [`MAX_TEXT`] bytes.
#[must_use]
pub fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end < text.len() { format!("{}…", &text[..end]) } else { text.to_owned() }
}

// They hold what customers and models wrote.
impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story").field("trigger_id", &self.trigger_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_as_it_was_told() {
        let answer = Answer {
            text: "{}".to_owned(),
            model: "m".to_owned(),
            truncated: false,
            invalid: Some(("empty".to_owned(), vec!["answer: is empty".to_owned()])),
        };
        let told = Told { user: "u".to_owned(), answers: vec![answer], ..Told::default() };
        let story = Story {
            trigger_id: "t".to_owned(),
            profile: "default".to_owned(),
            conversation: "c".to_owned(),
            accepted_at: EpochMs(1),
            decided_at: EpochMs(2),
            status: Status::Success,
            error: None,
            stages: vec![("llm".to_owned(), 7)],
            llm_calls: 1,
            work_attempts: 1,
            tokens: Some((3, 4)),
            cost_usd: Some(0.25),
            outcome: "{}".to_owned(),
            told: Some(told.clone()),
        };
        let bytes = serde_json::to_vec(&Telling::Decided(Box::new(story))).unwrap();
        let Telling::Decided(read) = serde_json::from_slice(&bytes).unwrap() else { panic!("something else was told") };
        assert_eq!((read.told, read.tokens, read.stages), (Some(told), Some((3, 4)), vec![("llm".to_owned(), 7)]));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let text = cut(&"ä".repeat(MAX_TEXT));
        assert!(text.len() <= MAX_TEXT + '…'.len_utf8() && text.ends_with('…'));
    }
}
