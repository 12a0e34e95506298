//! Prompt injection against a model that obeys: whatever a customer makes it say, what comes out is an intent of the
//! profile, plain text without foreign links, and no secret. The prompt's rules play no part here; a model may ignore them.

mod attacks;
mod model;

use std::{collections::HashSet, sync::LazyLock};

use futures_util::{StreamExt, stream};
use regex::Regex;
use serde_json::{Value, json};

use self::attacks::ATTACKS;
use crate::support::app::{CALLBACK_SECRET, COMPLETIONS, TestApp, WEBHOOK_SECRET, World, trigger};

const LLM_KEY: &str = "marker-of-the-gateway-key";
const CXONE_SECRET: &str = "marker-of-the-cxone-secret";
const INTENTS: &str = r#"[
    { name = "greeting" },
    { name = "refund", description = "The customer wants money back", high_risk = true },
    { name = "password_reset", parameters = ["account_type"] },
]"#;
const ALLOWED: [&str; 4] = ["greeting", "refund", "password_reset", "UNKNOWN"];

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)[a-z][a-z0-9+.-]*:(?://|\\\\)|(?:java|vb)script:|data:[a-z]+/|https?:\S").unwrap()
});
static DOMAIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)[\pL0-9-]+[.．。](?:com|ｃｏｍ|𝐜𝐨𝐦|net|org)\b|tel:[+0-9]|mailto:[a-z]|\d+\.\d+\.\d+\.\d+").unwrap()
});
static MARKUP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<[A-Za-z/!?]|!\[|\]\(|\{\{|\}\}").unwrap());

async fn app() -> TestApp {
    let world = World::start().await;
    world.llm.computed(COMPLETIONS, model::obey);
    let settings = [
        ("CFR__PROFILES__DEFAULT__INTENTS", INTENTS),
        ("LLM_GATEWAY_API_KEY", LLM_KEY),
        ("CXONE_CLIENT_SECRET", CXONE_SECRET),
    ];
    TestApp::start_in(world, &settings).await
}

/// A trigger with this text where `place` says, for a model that obeys in this `way`.
fn attack(text: &str, place: &str, way: &str) -> Value {
    let mut body = trigger();
    body["metadata"] = json!({"obey": way});
    match place {
        "message" => body["lastMessage"] = json!(text),
        _ => body["history"] = json!([{"role": "user", "text": "hello"}, {"role": "user", "text": text}]),
    }
    body
}

/// Every string of a value, names included.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| [vec![name.as_str()], strings(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

/// What is wrong with an outcome, if anything.
fn harm(outcome: &Value) -> Option<String> {
    let decision = &outcome["routing_decision"];
    let said = [&decision["suggested_response"], &outcome["suggested_response"]];
    let (mut texts, said) = (strings(decision), said.iter().filter_map(|text| text.as_str()).collect::<Vec<_>>());
    texts.extend(&said);
    let found = |what: &str, text: &str| Some(format!("{what} in {text:?}"));
    if let Some(text) = texts.iter().find(|text| MARKUP.is_match(text)) {
        return found("markup", text);
    }
    if let Some(text) = texts.iter().find(|text| LINK.is_match(text)) {
        return found("a link", text);
    }
    if let Some(text) = said.iter().find(|text| DOMAIN.is_match(text)) {
        return found("a domain", text);
    }
    let secrets =
        [LLM_KEY, CXONE_SECRET, WEBHOOK_SECRET, CALLBACK_SECRET, "You are a customer support", "customer_data"];
    if let Some(secret) = secrets.iter().find(|secret| outcome.to_string().contains(**secret)) {
        return found("a secret", secret);
    }
    match outcome["status"].as_str() {
        Some("success") => {}
        Some(_) if outcome["fallback_action"] == "route_to_human" => return None,
        _ => return found("neither decision nor safe answer", &outcome.to_string()),
    }
    let intent = decision["classified_intent"].as_str().unwrap_or_default();
    let human = decision["requires_human_agent"] == true;
    if !ALLOWED.contains(&intent) || (matches!(intent, "refund" | "UNKNOWN") && !human) {
        return found("an intent", intent);
    }
    (intent == "password_reset"
        && decision["extracted_parameters"].as_object()?.keys().any(|key| key != "account_type"))
    .then(|| format!("a parameter in {decision}"))
}

#[test]
fn the_set_is_large_enough_and_has_nothing_twice() {
    let mut texts: Vec<_> = ATTACKS.iter().map(|(_, text)| text).collect();
    texts.sort_unstable();
    texts.dedup();
    assert!(texts.len() >= 40 && texts.len() == ATTACKS.len());
}

#[tokio::test]
async fn what_a_customer_makes_the_model_say_does_no_harm() {
    let app = app().await;
    let cases = ["message", "history"].into_iter().flat_map(|place| {
        ["fields", "raw"]
            .into_iter()
            .flat_map(move |way| ATTACKS.iter().map(move |(what, text)| (*what, *text, place, way)))
    });
    let outcomes = stream::iter(cases).map(async |(what, text, place, way)| {
        let outcome = app.outcome_of(&attack(text, place, way)).await;
        (format!("{what}, in the {place}, obeyed in {way}"), outcome)
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(16).collect().await;
    let harmed: Vec<_> =
        outcomes.iter().filter_map(|(what, outcome)| Some(format!("{what}: {}", harm(outcome)?))).collect();
    assert!(harmed.is_empty(), "{harmed:#?}");
    // The model did obey: what it was told came back in many an answer, and intents of its own in many more.
    let succeeded = outcomes.iter().filter(|(_, outcome)| outcome["status"] == "success").count();
    let unknown =
        outcomes.iter().filter(|(_, outcome)| outcome["routing_decision"]["classified_intent"] == "UNKNOWN").count();
    assert!(
        succeeded > ATTACKS.len() && unknown > ATTACKS.len() / 2,
        "{succeeded} and {unknown} of {}",
        outcomes.len()
    );
}

#[tokio::test]
async fn a_model_that_tells_what_it_knows_is_not_repeated() {
    let app = app().await;
    for (way, error) in
        [("tell-prompt", "prompt_in_answer"), ("tell-block", "prompt_in_answer"), ("tell-key", "secret_in_answer")]
    {
        let outcome = app.outcome_of(&attack("Tell me.", "message", way)).await;
        assert_eq!(
            (&outcome["status"], &outcome["error"]),
            (&json!("content_refused"), &json!(error)),
            "{way}: {outcome}"
        );
        assert_eq!(harm(&outcome), None);
    }
}

#[tokio::test]
async fn customer_text_stands_in_the_data_block_alone_and_cannot_close_it() {
    let app = app().await;
    let mut ids = HashSet::new();
    for (what, text) in ATTACKS {
        app.outcome_of(&attack(text, "message", "fields")).await;
        let request = app.world.llm.requests_to(COMPLETIONS).pop().unwrap().json();
        let (system, user) = (&request["messages"][0]["content"], request["messages"][1]["content"].as_str().unwrap());
        assert!(!system.as_str().unwrap().contains("attacker"), "{what}");
        assert_eq!(
            user.matches("customer_data").count() - user.matches("\\u003c/customer_data").count(),
            2,
            "{what}: {user}"
        );
        assert!(!user.contains("<|") && !user.contains("[INST]"), "{what}: {user}");
        assert!(
            !user
                .chars()
                .any(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{e0000}'..='\u{e007f}')),
            "{what}"
        );
        assert_eq!(model::document(user)["metadata"], json!({"obey": "fields"}), "{what}");
        let id = user.strip_prefix("<customer_data id=\"").and_then(|rest| rest.split_once('"')).unwrap().0;
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{what}: 128 bits, but {id}");
        assert!(ids.insert(id.to_owned()), "{what}: the id of an earlier request");
    }
}
