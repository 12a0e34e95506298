//! JSON as an operator may see it: its shape, our own ids and words; a customer's text only as its length.

use serde_json::{Map, Value};

/// What a text is. Who made it is known from where it stands, never from what it says: a stranger may call their fields as
/// we call ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A trigger, as it was sent: nearly all of it is a customer's.
    Trigger,
    /// What is stored in the outcome lane.
    Record,
    /// An outcome.
    Outcome,
}

/// What is known of an object: strings that are our own words, ids that we made or names from settings; fields that hold
/// numbers, `None` for all; and objects, or lists of objects, of which the same is known. Everything else may be anybody's.
struct Form {
    words: &'static [&'static str],
    numbers: Option<&'static [&'static str]>,
    opened: &'static [(&'static str, &'static Form)],
}

const TRIGGER: Form = Form {
    words: &["language"],
    numbers: Some(&["confidenceScore", "deadlineMs"]),
    opened: &[("history", &TURN), ("candidates", &CANDIDATE), ("contact", &CONTACT)],
};
const TURN: Form = Form { words: &["role"], numbers: Some(&[]), opened: &[] };
const CANDIDATE: Form = Form { words: &[], numbers: Some(&["score"]), opened: &[] };
const CONTACT: Form = Form { words: &[], numbers: Some(&[]), opened: &[] };

const RECORD: Form =
    Form { words: &["status", "error"], numbers: None, opened: &[("figures", &FIGURES), ("outcome", &OUTCOME)] };
const FIGURES: Form = Form { words: &[], numbers: None, opened: &[("stages", &COUNTS)] };
const OUTCOME: Form = Form {
    words: &["status", "error", "fallback_action", "triggerId"],
    numbers: None,
    opened: &[("routing_decision", &DECISION), ("meta", &META)],
};
const DECISION: Form = Form { words: &["classified_intent"], numbers: None, opened: &[] };
const META: Form = Form {
    words: &["profile", "model", "template", "degraded"],
    numbers: None,
    opened: &[("attempts", &COUNTS), ("usage", &COUNTS)],
};
const COUNTS: Form = Form { words: &[], numbers: None, opened: &[] };

/// Names that may stand in the output: those of the contract. Any other name may itself be a customer's text.
const NAMES: [&str; 60] = [
    "conversationId",
    "userId",
    "lastMessage",
    "confidenceScore",
    "detectedIntent",
    "metadata",
    "sessionId",
    "urlToken",
    "channel",
    "endpointType",
    "inputId",
    "candidates",
    "name",
    "score",
    "description",
    "history",
    "text",
    "contact",
    "contactId",
    "caseId",
    "callbackUrl",
    "deadlineMs",
    "routing_decision",
    "confidence",
    "extracted_parameters",
    "suggested_response",
    "requires_human_agent",
    "meta",
    "attempts",
    "llm",
    "work",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "duration_ms",
    "late",
    "outcome",
    "figures",
    "stages",
    "decided_ms",
    "llm_calls",
    "work_attempts",
    "cost_usd",
    "history_us",
    "prompt_us",
    "llm_us",
    "decision_us",
    "total_us",
    "status",
    "error",
    "fallback_action",
    "triggerId",
    "profile",
    "model",
    "template",
    "degraded",
    "classified_intent",
    "language",
    "role",
    "timestamp",
];

/// Longest language tag that is shown: `zh-Hant-TW` and the like. Longer ones may say anything.
const LONGEST_LANGUAGE: usize = 12;

/// A text of that kind, masked; what is not a JSON object is only counted.
pub(super) fn body(kind: Kind, bytes: &[u8]) -> Value {
    let form = match kind {
        Kind::Trigger => &TRIGGER,
        Kind::Record => &RECORD,
        Kind::Outcome => &OUTCOME,
    };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Value::Object(object(form, &fields)),
        _ => Value::String(format!("<masked: {} bytes that are not a JSON object>", bytes.len())),
    }
}

/// A language tag, or its length where it may be more than that.
pub(super) fn language(tag: &str) -> String {
    let short = tag.len() <= LONGEST_LANGUAGE && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if short { tag.to_owned() } else { length(tag) }
}

fn length(text: &str) -> String {
    format!("<masked: {} characters>", text.chars().count())
}

fn masked(form: &Form, name: &str, value: &Value) -> Value {
    let opened = || form.opened.iter().find(|(opened, _)| *opened == name).map(|(_, form)| *form);
    match value {
        Value::String(text) => Value::String(string(form, name, text)),
        Value::Number(_) if form.numbers.is_some_and(|numbers| !numbers.contains(&name)) => "<masked: a number>".into(),
        Value::Array(items) => items.iter().map(|item| masked(form, name, item)).collect(),
        Value::Object(fields) => match opened() {
            Some(form) => Value::Object(object(form, fields)),
            None => Value::String(format!("<masked: {} fields>", fields.len())),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn string(form: &Form, name: &str, text: &str) -> String {
    match name {
        name if !form.words.contains(&name) => length(text),
        "role" if !matches!(text, "user" | "assistant" | "agent") => length(text),
        "language" => language(text),
        _ => text.to_owned(),
    }
}

fn object(form: &Form, fields: &Map<String, Value>) -> Map<String, Value> {
    let known = fields.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
    let mut shown: Map<String, Value> = known.map(|(name, value)| (name.clone(), masked(form, name, value))).collect();
    let others = fields.len() - shown.len();
    if others > 0 {
        shown.insert("…".to_owned(), Value::String(format!("<masked: {others} other fields>")));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_word_of_a_customer_is_left_and_every_word_of_ours_is() {
        let mark = "MARKER äöü";
        let trigger = json!({
            "conversationId": mark, "userId": mark, "lastMessage": mark, "confidenceScore": 0.42, "detectedIntent": mark,
            "metadata": {mark: mark, "number": 4711}, "error": mark, "status": mark, "model": mark,
            "classified_intent": mark, "profile": mark, "timestamp": mark, "role": mark, "urlToken": 4711,
            "history": [{"role": "user", "text": mark, "timestamp": mark, "error": mark, mark: mark}, mark,
                {"role": mark, "timestamp": 4711}],
            "outcome": {"status": mark, "triggerId": mark}, "figures": {"stages": 4711}, "meta": {"model": mark},
            "language": "de-CH",
            "candidates": [{"name": mark, "score": 0.1}], "contact": {"contactId": mark, "error": mark, mark: 1},
            "callbackUrl": mark, mark: mark, "strange": {mark: mark},
        });
        let record = json!({
            "status": "success", "figures": {"llm_calls": 2, "stages": {"llm_us": 5}},
            "outcome": {"status": "success", "triggerId": "t-1", "metadata": {mark: mark},
                "routing_decision": {"classified_intent": "refund", "extracted_parameters": {mark: 4711},
                    "suggested_response": mark, "confidence": 0.9},
                "meta": {"profile": "default", "degraded": ["no_history"], "attempts": {"llm": 2}}},
        });
        for (kind, value) in [(Kind::Trigger, &trigger), (Kind::Record, &record), (Kind::Outcome, &record["outcome"])] {
            let text = body(kind, value.to_string().as_bytes()).to_string();
            assert!(!text.contains("MARKER") && !text.contains("4711"), "{text}");
        }
        let shown = body(Kind::Trigger, trigger.to_string().as_bytes());
        assert_eq!((&shown["language"], &shown["confidenceScore"]), (&json!("de-CH"), &json!(0.42)));
        assert_eq!((&shown["history"][0]["role"], &shown["candidates"][0]["score"]), (&json!("user"), &json!(0.1)));
        assert_eq!(shown["outcome"], "<masked: 2 fields>");
        let shown = body(Kind::Record, record.to_string().as_bytes());
        assert_eq!(shown["outcome"]["routing_decision"]["classified_intent"], "refund");
        assert_eq!(shown["outcome"]["routing_decision"]["suggested_response"], "<masked: 10 characters>");
        assert_eq!(shown["outcome"]["meta"]["degraded"], json!(["no_history"]));
        assert_eq!(shown["figures"]["stages"]["llm_us"], 5);
        assert_eq!(body(Kind::Trigger, b"\xffMARKER"), json!("<masked: 7 bytes that are not a JSON object>"));
        assert_eq!(body(Kind::Record, br#""MARKER""#), json!("<masked: 8 bytes that are not a JSON object>"));
    }

    #[test]
    fn a_trigger_is_no_record_whatever_its_fields_are_called() {
        let mark = "MARKER";
        let disguised = json!({
            "status": mark, "error": mark, "figures": {"llm_calls": 4711, "stages": {"llm_us": 4711}},
            "outcome": {"status": mark, "routing_decision": {"classified_intent": mark}, "meta": {"model": mark}},
        });
        let text = body(Kind::Trigger, disguised.to_string().as_bytes()).to_string();
        assert!(!text.contains(mark) && !text.contains("4711"), "{text}");
    }

    #[test]
    fn a_language_is_shown_while_it_can_be_nothing_else() {
        for (tag, shown) in [
            ("de", "de"),
            ("zh-Hant-TW", "zh-Hant-TW"),
            ("x-41111111-11111111", "<masked: 19 characters>"),
            ("my name", "<masked: 7 characters>"),
        ] {
            assert_eq!(language(tag), shown);
        }
    }
}
