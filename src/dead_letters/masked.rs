//! JSON as an operator may see it: its shape, our own ids and words; a customer's text only as its length.

use serde_json::{Map, Value};

/// Objects whose fields are known here; all others may be anybody's and are shown as their size.
const OPENED: [&str; 8] = ["outcome", "figures", "stages", "routing_decision", "meta", "attempts", "usage", "contact"];

/// Strings that are our own words, ids that we made, or names from settings.
const OUR_WORDS: [&str; 12] = [
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

/// Names that may stand in the output: those of the contract. Any other name may itself be a customer's text.
const NAMES: [&str; 53] = [
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
];

/// A message's body, masked; what is not JSON is only counted.
pub(super) fn body(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => masked("outcome", &value),
        _ => Value::String(format!("<masked: {} bytes that are not a JSON object>", bytes.len())),
    }
}

fn masked(name: &str, value: &Value) -> Value {
    match value {
        Value::String(_) if OUR_WORDS.contains(&name) => value.clone(),
        Value::String(text) => Value::String(format!("<masked: {} characters>", text.chars().count())),
        Value::Array(items) => items.iter().map(|item| item_masked(name, item)).collect(),
        Value::Object(fields) if OPENED.contains(&name) => Value::Object(object(fields)),
        Value::Object(fields) => Value::String(format!("<masked: {} fields>", fields.len())),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn item_masked(name: &str, item: &Value) -> Value {
    match item {
        Value::Object(fields) if matches!(name, "history" | "candidates") => Value::Object(object(fields)),
        other => masked(name, other),
    }
}

fn object(fields: &Map<String, Value>) -> Map<String, Value> {
    let known = |name: &str| NAMES.contains(&name) || OUR_WORDS.contains(&name);
    let mut shown: Map<String, Value> = fields
        .iter()
        .filter(|(name, _)| known(name))
        .map(|(name, value)| (name.clone(), masked(name, value)))
        .collect();
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
            "metadata": {mark: mark, "number": 4711}, "history": [{"role": "user", "text": mark, mark: mark}, mark],
            "candidates": [{"name": mark, "score": 0.1}], "contact": {"contactId": mark, mark: 1}, "urlToken": mark,
            "callbackUrl": mark, mark: mark, "strange": {mark: mark},
        });
        let record = json!({
            "status": "success", "figures": {"llm_calls": 2, "stages": {"llm_us": 5}},
            "outcome": {"status": "success", "triggerId": "t-1", "metadata": {mark: mark},
                "routing_decision": {"classified_intent": "refund", "extracted_parameters": {mark: 4711},
                    "suggested_response": mark, "confidence": 0.9},
                "meta": {"profile": "default", "degraded": ["no_history"], "attempts": {"llm": 2}}},
        });
        for value in [&trigger, &record] {
            let text = body(value.to_string().as_bytes()).to_string();
            assert!(!text.contains("MARKER") && !text.contains("4711"), "{text}");
        }
        let shown = body(record.to_string().as_bytes());
        assert_eq!(shown["outcome"]["routing_decision"]["classified_intent"], "refund");
        assert_eq!(shown["outcome"]["routing_decision"]["suggested_response"], "<masked: 10 characters>");
        assert_eq!(shown["outcome"]["meta"]["degraded"], json!(["no_history"]));
        assert_eq!(shown["figures"]["stages"]["llm_us"], 5);
        assert_eq!(body(b"\xffMARKER"), json!("<masked: 7 bytes that are not a JSON object>"));
        assert_eq!(body(br#""MARKER""#), json!("<masked: 8 bytes that are not a JSON object>"));
    }
}
