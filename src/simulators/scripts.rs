//! What the simulated gateway says: by keyword, or by a script for one message.

use serde_json::{Value, json};

/// A way to misbehave. A message chooses one by the mark `sim:<name>` anywhere in it; [`super::Llm::set_script`] sets one
/// for all that have no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Prose at first, a decision when asked again.
    InvalidJson,
    /// A decision without a field at first, a whole one when asked again.
    MissingField,
    /// Prose every time.
    AlwaysInvalid,
    /// A decision in a Markdown fence.
    Fenced,
    /// Cut off at the token limit at first, then whole.
    Truncated,
    /// A refusal.
    Refusal,
    /// One 429 with `Retry-After: 1`, then a decision.
    RateLimit,
    /// 429 with no money left.
    Quota,
    /// One 503, then a decision.
    Flaky,
    /// 503 every time.
    Outage,
    /// No answer.
    Hang,
    /// A proxy's HTML with status 200.
    Html,
    /// A decision that wants a human.
    Human,
}

/// What to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// A completion with these words.
    Words {
        content: String,
        finish_reason: &'static str,
    },
    /// A completion that refuses.
    Refusal,
    /// Another status, with seconds to wait, and an error code.
    Status {
        status: u16,
        retry_after: Option<u32>,
        code: &'static str,
    },
    Html,
    Hang,
}

impl Script {
    /// Every script with its name.
    pub const ALL: [(&'static str, Self); 13] = [
        ("invalid-json", Self::InvalidJson),
        ("missing-field", Self::MissingField),
        ("always-invalid", Self::AlwaysInvalid),
        ("fenced", Self::Fenced),
        ("truncated", Self::Truncated),
        ("refusal", Self::Refusal),
        ("rate-limit", Self::RateLimit),
        ("quota", Self::Quota),
        ("flaky", Self::Flaky),
        ("outage", Self::Outage),
        ("hang", Self::Hang),
        ("html", Self::Html),
        ("human", Self::Human),
    ];

    /// The script that a text is marked with.
    #[must_use]
    pub fn marked(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("sim:")?;
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(rest.len());
        Self::ALL.iter().find(|(name, _)| *name == &rest[..end]).map(|(_, script)| *script)
    }

    /// The answer to call number `call` (from 0) about `message`.
    pub(super) fn answer(self, message: &str, call: u32) -> Answer {
        let first = call == 0;
        let status = |status, retry_after, code| Answer::Status { status, retry_after, code };
        match self {
            Self::InvalidJson if first => words("The customer most likely wants a new password.".to_owned()),
            Self::AlwaysInvalid => words("I would rather talk about something else.".to_owned()),
            Self::MissingField if first => {
                let mut decision = decide(message);
                if let Some(fields) = decision.as_object_mut() {
                    fields.remove("requires_human_agent");
                }
                words(decision.to_string())
            }
            Self::Fenced => words(format!("```json\n{}\n```", decide(message))),
            Self::Truncated if first => {
                let whole = decide(message).to_string();
                let content = whole.chars().take(whole.chars().count() * 2 / 3).collect();
                Answer::Words { content, finish_reason: "length" }
            }
            Self::Refusal => Answer::Refusal,
            Self::RateLimit if first => status(429, Some(1), "rate_limit_exceeded"),
            Self::Quota => status(429, None, "insufficient_quota"),
            Self::Flaky if first => status(503, None, "overloaded"),
            Self::Outage => status(503, None, "overloaded"),
            Self::Html => Answer::Html,
            Self::Hang => Answer::Hang,
            Self::Human => {
                let mut decision = decide(message);
                decision["requires_human_agent"] = true.into();
                words(decision.to_string())
            }
            _ => decision(message),
        }
    }
}

/// The answer without any script.
pub(super) fn decision(message: &str) -> Answer {
    words(decide(message).to_string())
}

fn words(content: String) -> Answer {
    Answer::Words { content, finish_reason: "stop" }
}

/// Keywords, the intent they stand for, and what to say.
const INTENTS: [(&[&str], &str, &str); 5] = [
    (
        &["password", "log in", "login", "link"],
        "password_reset",
        "I can help you reset your password. Would you like a new secure link sent to your registered email?",
    ),
    (&["invoice", "bill", "charge"], "billing_question", "I can look into that charge. Which invoice is it about?"),
    (&["order", "parcel", "delivery"], "order_status", "I can check where your order is. What is its number?"),
    (&["cancel", "terminate"], "cancel_contract", "I can help you cancel. Which contract is it about?"),
    (&["human", "agent", "person"], "speak_to_agent", "I am connecting you to a colleague."),
];

/// A decision that depends on the message only.
fn decide(message: &str) -> Value {
    let lower = message.to_lowercase();
    let known = INTENTS.iter().find(|(keywords, ..)| keywords.iter().any(|keyword| lower.contains(keyword)));
    let (intent, confidence, response) = match known {
        Some((_, intent, response)) => (*intent, 0.92, *response),
        None => ("general_question", 0.55, "Could you tell me a little more about that?"),
    };
    json!({
        "classified_intent": intent,
        "confidence": confidence,
        "extracted_parameters": {"account_type": "business"},
        "suggested_response": response,
        "requires_human_agent": intent == "speak_to_agent",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_chooses_its_script() {
        for (name, script) in Script::ALL {
            assert_eq!(Script::marked(&format!("my order sim:{name}, please")), Some(script));
        }
        for text in ["", "my order", "sim:", "sim:unknown", "sim: outage", "sim:OUTAGE"] {
            assert_eq!(Script::marked(text), None, "{text}");
        }
    }

    #[test]
    fn what_misbehaves_once_is_good_the_second_time() {
        for script in [Script::InvalidJson, Script::MissingField, Script::Truncated, Script::RateLimit, Script::Flaky] {
            assert_ne!(script.answer("my order", 0), decision("my order"));
            assert_eq!(script.answer("my order", 1), decision("my order"));
        }
    }
}
