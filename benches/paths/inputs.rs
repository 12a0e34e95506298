//! Fixed inputs of a usual size: a message of a customer, a conversation, an answer of a model.

use cognigy_fallback_router::{
    conversation::{Conversation, Role, Turn},
    decision::{DecisionRules, DecisionSchema},
    message::Envelope,
    prompt::{Intent, TemplateSet},
    secret::Secret,
    signature::{Scheme, request_headers},
    time::EpochMs,
    trigger::{TriggerBody, TriggerId},
};
use http::{HeaderMap, HeaderName};
use serde_json::json;

/// The moment at which everything happens.
pub(super) const NOW: EpochMs = EpochMs(1_705_312_825_000);

/// What a model answers.
pub(super) const ANSWER: &str = r#"{"classified_intent": "password_reset", "confidence": 0.92,
    "extracted_parameters": {"account_type": "business", "channel": "e-mail"},
    "suggested_response": "I can help you reset your password. Would you like a new secure link sent to your registered e-mail?",
    "requires_human_agent": false}"#;

/// What Cognigy sends: about 1 KiB.
pub(super) fn trigger() -> String {
    json!({
        "conversationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "userId": "user-external-9876",
        "lastMessage": "it says the link is too old, can you send another one to jane.doe@example.com please",
        "confidenceScore": 0.41,
        "detectedIntent": "order_status",
        "sessionId": "session-5b7e4f2a", "urlToken": "0f9c3e5d7b1a", "inputId": "input-7c1d", "channel": "webchat3",
        "language": "en-US",
        "candidates": [
            {"name": "order_status", "score": 0.41, "description": "Where an order is"},
            {"name": "password_reset", "score": 0.38}
        ],
        "history": [
            {"role": "user", "text": "I need help resetting my password but the link expired"},
            {"role": "assistant", "text": "I am sorry, I did not understand that.", "timestamp": "2024-01-15T10:23:45Z"}
        ],
        "metadata": {"account_type": "business", "plan": {"name": "gold", "seats": 12}, "tags": ["a", "b"]}
    })
    .to_string()
}

pub(super) fn parsed() -> TriggerBody {
    TriggerBody::parse(trigger().as_bytes()).unwrap()
}

/// A secret, and the headers that prove who sent `body`.
pub(super) fn signed(scheme: Scheme, body: &[u8]) -> (Secret, HeaderMap) {
    let secret = Secret::new("whsec_YmVuY2htYXJrLXNlY3JldC1vZi0zMi1ieXRlcy1ubw==");
    let headers = request_headers(scheme, &secret, "msg_1", NOW, body).unwrap();
    let entry = |(name, value): (&'static str, String)| (HeaderName::from_static(name), value.parse().unwrap());
    (secret, headers.into_iter().map(entry).collect())
}

pub(super) fn envelope() -> Envelope {
    let id = TriggerId(uuid::Uuid::from_u128(0x018d_0d6f_5c28_7000_8000_0000_0000_0001));
    Envelope {
        session_id: Some("session-5b7e4f2a".to_owned()),
        language: Some("en-US".to_owned()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ..Envelope::first(
            id,
            "default",
            "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
            "user-external-9876",
            NOW,
            NOW.plus(std::time::Duration::from_secs(30)),
        )
    }
}

/// So many turns; every tenth has something to mask.
pub(super) fn conversation(turns: usize) -> Conversation {
    let turn = |number: usize| {
        let (role, text) = match number % 10 {
            3 => (Role::User, "my card is 4111 1111 1111 1111, call me under +49 30 901820 if it does not work"),
            odd if odd % 2 == 1 => (Role::User, "I need help resetting my password, order r-00000001 has it all"),
            _ => (Role::Assistant, "I am sorry, I did not understand that. Could you say it in other words?"),
        };
        Turn { role, text: text.to_owned(), timestamp: Some("2024-01-15T10:23:45.000Z".to_owned()) }
    };
    Conversation { turns: (0..turns).map(turn).collect(), ..Conversation::default() }
}

pub(super) fn intents() -> Vec<Intent> {
    let intent = |name: &str| Intent {
        name: name.to_owned(),
        description: "What it is for, in a sentence of a usual length.".to_owned(),
        parameters: Some(vec!["account_type".to_owned(), "channel".to_owned()]),
        high_risk: false,
    };
    ["password_reset", "order_status", "billing_question", "cancel_contract", "speak_to_agent"].map(intent).to_vec()
}

pub(super) fn decision_schema() -> DecisionSchema {
    let templates = TemplateSet::load(None, "default").unwrap();
    let intents = intents();
    let rules = DecisionRules {
        intents: intents.iter().map(|intent| intent.name.clone()).collect(),
        parameters: intents.into_iter().map(|intent| (intent.name, intent.parameters.unwrap_or_default())).collect(),
        min_confidence: Some(0.5),
        high_risk: vec!["cancel_contract".to_owned()],
        link_hosts: vec!["*.example.com".to_owned()],
    };
    DecisionSchema::compile(templates.schema(), rules).unwrap()
}

/// A stored outcome: the body of a message in the outcome lane.
pub(super) fn record() -> Vec<u8> {
    let stages =
        json!({"history_us": 11_000, "prompt_us": 40, "llm_us": 800_000, "decision_us": 12, "total_us": 811_090});
    let figures = json!({"decided_ms": 812, "llm_calls": 1, "work_attempts": 1, "prompt_tokens": 340,
        "completion_tokens": 85, "cost_usd": 0.0002, "stages": stages});
    let decision: serde_json::Value = serde_json::from_str(ANSWER).unwrap();
    let meta = json!({"profile": "default", "model": "gpt-4o-mini", "template": "default@3f2a00000000", "degraded": [],
        "attempts": {"llm": 1, "work": 1}, "usage": {"prompt_tokens": 340, "completion_tokens": 85}, "duration_ms": 812});
    let outcome = json!({"status": "success", "triggerId": envelope().trigger_id.to_string(),
        "conversationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "routing_decision": decision,
        "metadata": {"account_type": "business"}, "meta": meta});
    json!({"status": "success", "figures": figures, "outcome": outcome}).to_string().into_bytes()
}
