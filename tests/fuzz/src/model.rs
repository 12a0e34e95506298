//! What comes back from a model and its gateway.

use std::sync::LazyLock;

use cognigy_fallback_router::{
    decision::{DecisionRules, DecisionSchema},
    llm,
};
use serde_json::Value;

static SCHEMA: LazyLock<DecisionSchema> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../../templates/default/decision.schema.json")).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let rules = DecisionRules {
        intents: names(&["Refund", "greeting", "password_reset"]),
        parameters: [("password_reset".to_owned(), names(&["account_type"]))].into(),
        min_confidence: Some(0.5),
        high_risk: names(&["Refund"]),
        link_hosts: names(&["*.example.com"]),
    };
    DecisionSchema::compile(&schema, rules).unwrap()
});

/// A decision is on the list, within its limits, and plain text.
pub(crate) fn answer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(decision) = SCHEMA.parse(text) else { return };
    let said = &decision.suggested_response;
    assert!(["Refund", "greeting", "password_reset", "UNKNOWN"].contains(&decision.classified_intent.as_str()));
    assert!((0.0..=1.0).contains(&decision.confidence));
    assert!((1..=2000).contains(&said.chars().count()));
    let for_human = decision.confidence < 0.5 || ["Refund", "UNKNOWN"].contains(&decision.classified_intent.as_str());
    assert!(!for_human || decision.requires_human_agent);
    if decision.classified_intent == "password_reset" {
        assert!(decision.extracted_parameters.keys().all(|name| name == "account_type"));
    }
    plain(said);
    // What was cleaned is clean, and a decision is an answer that gives the same decision.
    let written = serde_json::to_string(&decision).unwrap();
    let again = SCHEMA.parse(&written).unwrap_or_else(|invalid| panic!("{written}: {invalid:?}"));
    assert!(again == decision, "{written} became {}", serde_json::to_string(&again).unwrap());
    strings(&Value::Object(decision.extracted_parameters), &mut plain);
}

fn plain(text: &str) {
    for mark in ["{{", "}}", "![", "<script", "<img", "<a ", "<!--", "</"] {
        assert!(!text.contains(mark), "{mark} in {text:?}");
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
    for (at, _) in text.match_indices("://") {
        let rest = text[at + 3..].to_ascii_lowercase();
        let host = &rest[..rest.find(['/', '?', '#', ':']).unwrap_or(rest.len())];
        // A scheme is ASCII and begins with a letter; anything else before the colon makes no link of it.
        let before = text[..at].chars().rev().take_while(|c| c.is_ascii_alphanumeric() || "+.-".contains(*c));
        let scheme = before.collect::<Vec<_>>().iter().any(char::is_ascii_alphabetic);
        // The path of a listed host may hold what it likes.
        let word = text[..at].rsplit(char::is_whitespace).next().unwrap_or_default().to_ascii_lowercase();
        let listed = word.contains(".example.com");
        assert!(!scheme || listed || host.contains(".example.com"), "a foreign link in {text:?}");
    }
}

fn strings(value: &Value, check: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => check(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, check)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            assert!(!["__proto__", "constructor", "prototype"].contains(&name.as_str()));
            strings(value, check);
        }),
        _ => {}
    }
}

/// A status in the first two bytes, headers, an empty line, a body.
pub(crate) fn reply(data: &[u8]) {
    llm::fuzz::read_reply(data);
    let [high, low, rest @ ..] = data else { return };
    let status = 300 + u16::from_be_bytes([*high, *low]) % 300;
    let (head, body) =
        rest.windows(2).position(|two| two == b"\n\n").map_or((&b""[..], rest), |at| (&rest[..at], &rest[at + 2..]));
    llm::fuzz::diagnose(status, crate::outside::parse_headers(head), body);
}
