//! What a profile allows a decision to be, from its settings to the callback.

use serde_json::{Value, json};

use crate::support::{
    app::{COMPLETIONS, TestApp, World, completion, decision, trigger},
    stub::Recorded,
};

const INTENTS: &str = r#"[
    { name = "password_reset", parameters = ["account_type"] },
    { name = "Refund", description = "Money back", high_risk = true },
    { name = "greeting", parameters = [] },
]"#;

/// The decision that comes of this answer, with these settings beside the intents.
async fn decided(answer: Value, changes: &[(&str, &str)]) -> Value {
    let world = World::start().await;
    world.llm.always(COMPLETIONS, completion(&answer.to_string()));
    let mut settings = vec![("CFR__PROFILES__DEFAULT__INTENTS", INTENTS)];
    settings.extend(changes);
    let app = TestApp::start_in(world, &settings).await;
    let outcome = app.outcome_of(&trigger()).await;
    assert_eq!(outcome["status"], "success", "{outcome}");
    outcome["routing_decision"].clone()
}

/// A good answer with some fields changed.
fn answer(changes: Value) -> Value {
    let mut answer = decision();
    answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    answer
}

#[tokio::test]
async fn an_intent_has_the_spelling_of_the_settings_and_any_other_is_unknown_and_for_a_human() {
    let listed = decided(answer(json!({"classified_intent": "PASSWORD_RESET"})), &[]).await;
    assert_eq!(listed["classified_intent"], "password_reset");
    assert_eq!(listed["requires_human_agent"], false);
    let other = decided(answer(json!({"classified_intent": "delete_account"})), &[]).await;
    assert_eq!(other["classified_intent"], "UNKNOWN");
    assert_eq!(other["requires_human_agent"], true);
}

#[tokio::test]
async fn a_high_risk_intent_is_always_for_a_human() {
    let refund = decided(answer(json!({"classified_intent": "refund", "confidence": 1.0})), &[]).await;
    assert_eq!(refund["classified_intent"], "Refund");
    assert_eq!(refund["requires_human_agent"], true);
}

#[tokio::test]
async fn a_confidence_below_the_least_is_for_a_human_and_one_equal_to_it_is_not() {
    let least = [("CFR__PROFILES__DEFAULT__MIN_CONFIDENCE", "0.6")];
    for (confidence, human) in [(0.59, true), (0.6, false), (0.9, false)] {
        let decided = decided(answer(json!({"confidence": confidence})), &least).await;
        assert_eq!(decided["requires_human_agent"], human, "{confidence}");
    }
    let free = decided(answer(json!({"confidence": 0.01})), &[]).await;
    assert_eq!(free["requires_human_agent"], false, "without a least confidence the model's word decides");
}

#[tokio::test]
async fn only_the_parameters_that_an_intent_lists_are_handed_on() {
    let given = json!({"account_type": "business", "iban": "x", "is_admin": true});
    let listed = decided(answer(json!({"extracted_parameters": given})), &[]).await;
    assert_eq!(listed["extracted_parameters"], json!({"account_type": "business"}));
    let none = answer(json!({"classified_intent": "greeting", "extracted_parameters": given}));
    assert_eq!(decided(none, &[]).await["extracted_parameters"], json!({}));
    let any = answer(json!({"classified_intent": "Refund", "extracted_parameters": given}));
    assert_eq!(decided(any, &[]).await["extracted_parameters"], given, "an intent that lists none may have any");
}

#[tokio::test]
async fn links_lead_to_the_hosts_of_the_settings_only() {
    let said = "See https://help.example.com/reset or https://evil.test/x or evil.test.com now.";
    let hosts = [("CFR__PROFILES__DEFAULT__LINK_HOSTS", "[\"*.example.com\"]")];
    let kept = decided(answer(json!({"suggested_response": said})), &hosts).await["suggested_response"].clone();
    assert!(kept.as_str().unwrap().contains("https://help.example.com/reset"), "{kept}");
    assert!(!kept.as_str().unwrap().contains("evil"), "{kept}");
    let none = decided(answer(json!({"suggested_response": said})), &[]).await["suggested_response"].clone();
    assert!(!none.as_str().unwrap().contains("example") && !none.as_str().unwrap().contains("evil"), "{none}");
}

#[tokio::test]
async fn a_message_that_comes_masked_is_not_sent_to_the_model() {
    let app = TestApp::start().await;
    for text in [
        "****",
        "my card ends in ****1111",
        "it was •••• •••• 1111",
        "[CREDIT CARD REDACTED] please",
        "*\u{200b}*\u{200b}*\u{200b}*",
    ] {
        let mut body = trigger();
        body["lastMessage"] = json!(text);
        let outcome = app.outcome_of(&body).await;
        assert_eq!(
            (&outcome["status"], &outcome["error"]),
            (&json!("content_refused"), &json!("masked_input")),
            "{text}"
        );
        assert_eq!(outcome["fallback_action"], "route_to_human");
        assert_eq!(outcome["meta"]["attempts"]["llm"], 0);
    }
    assert!(app.world.llm.requests().is_empty());
}

#[tokio::test]
async fn a_masked_turn_of_the_history_is_left_out_and_the_rest_is_sent() {
    let app = TestApp::start().await;
    let mut body = trigger();
    body["history"] = json!([{"role": "user", "text": "MARKER *\u{200b}*\u{200b}*\u{200b}*1111"}, {"role": "user", "text": "a plain turn"}]);
    assert_eq!(app.outcome_of(&body).await["status"], "success");
    let [request] = <[Recorded; 1]>::try_from(app.world.llm.requests_to(COMPLETIONS)).ok().unwrap();
    let user = request.json()["messages"][1]["content"].as_str().unwrap().to_owned();
    assert!(user.contains("[MASKED]") && user.contains("a plain turn"), "{user}");
    assert!(!user.contains("MARKER"), "{user}");
}
