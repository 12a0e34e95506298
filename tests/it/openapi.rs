//! The description of the interface: committed, served, and as strict as the parser.

use std::{fs, path::Path};

use cognigy_fallback_router::{ingress, trigger::TriggerBody};
use serde_json::{Value, json};

use crate::support::app::{TestApp, trigger};

fn document() -> Value {
    serde_json::to_value(ingress::document()).unwrap()
}

#[test]
fn the_committed_description_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let made = ingress::document().to_pretty_json().unwrap() + "\n";
    assert!(committed == made, "it has drifted: cargo run --bin cfr -- openapi > deploy/openapi.json");
}

#[tokio::test]
async fn it_is_served_on_the_admin_listener_and_not_in_public() {
    let app = TestApp::start().await;
    let (status, body) = app.admin("/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), document());
    let public = format!("http://{}/openapi.json", app.running.webhook.unwrap());
    let response = crate::support::app::client().get(public).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
}

/// A schema that stands in the document, with the document's definitions.
fn validator(name: &str) -> jsonschema::Validator {
    let document = document();
    let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn the_schema_of_a_trigger_accepts_what_the_parser_accepts_and_refuses_what_it_refuses() {
    let schema = validator("TriggerBody");
    let long = |count: usize| "x".repeat(count);
    let turn = json!({"role": "agent", "text": "t", "timestamp": 1});
    let candidate = json!({"name": "n", "score": 7.5});
    let cases: Vec<(&str, Vec<Value>, Vec<Value>)> = vec![
        (
            "conversationId",
            vec![json!("c"), json!(long(256)), json!(" c "), json!("é")],
            vec![
                json!(null),
                json!(""),
                json!(" "),
                json!("\u{3000}"),
                json!(long(257)),
                json!("a\tb"),
                json!("a\u{85}"),
                json!(1),
            ],
        ),
        (
            "lastMessage",
            vec![json!(""), json!(long(10_000)), json!("a\nb")],
            vec![json!(null), json!(long(10_001)), json!([])],
        ),
        (
            "confidenceScore",
            vec![json!(null), json!(0), json!(1), json!(0.75), json!("0.75"), json!("1.0")],
            vec![json!(1.01), json!(-0.1), json!("1.1"), json!(""), json!(true), json!("50%")],
        ),
        ("detectedIntent", vec![json!(null), json!(""), json!(long(256))], vec![json!(long(257)), json!(3)]),
        ("metadata", vec![json!(null), json!({}), json!({"a": [1, null]})], vec![json!([]), json!("{}")]),
        (
            "inputId",
            vec![json!(null), json!(""), json!("\u{a0}"), json!(long(256))],
            vec![json!(long(257)), json!("\u{1}")],
        ),
        (
            "language",
            vec![json!(null), json!(""), json!("  "), json!(" ".repeat(256)), json!("zh-Hant-TW")],
            vec![json!("en_US"), json!("a--b"), json!("englishlanguage")],
        ),
        (
            "candidates",
            vec![json!(null), json!([]), json!([candidate]), json!(vec![candidate.clone(); 50])],
            vec![json!(vec![candidate.clone(); 51]), json!([{"name": "n"}]), json!({}), json!([1])],
        ),
        (
            "history",
            vec![json!(null), json!([turn]), json!(vec![turn.clone(); 50])],
            vec![json!(vec![turn.clone(); 51]), json!([{"role": "bot", "text": "t"}]), json!([{"role": "user"}])],
        ),
        (
            "contact",
            vec![json!(null), json!({}), json!({"contactId": "1", "caseId": null})],
            vec![json!([]), json!({"caseId": 1})],
        ),
        ("callbackUrl", vec![json!(null), json!("https://h")], vec![json!(1), json!(long(2049))]),
        (
            "deadlineMs",
            vec![json!(null), json!(1000), json!(300_000), json!(5775.0)],
            vec![json!(999), json!(300_001), json!("5000"), json!(1000.5)],
        ),
        ("unheardOf", vec![json!(null), json!({"a": 1})], vec![]),
    ];
    for (field, good, bad) in cases {
        for (value, fits) in good.into_iter().map(|v| (v, true)).chain(bad.into_iter().map(|v| (v, false))) {
            let mut body = trigger();
            body[field] = value.clone();
            let shown = value.to_string().chars().take(60).collect::<String>();
            assert_eq!(TriggerBody::parse(body.to_string().as_bytes()).is_ok(), fits, "parser: {field} = {shown}");
            assert_eq!(schema.is_valid(&body), fits, "schema: {field} = {shown}");
        }
    }
    for field in ["conversationId", "userId", "lastMessage"] {
        let mut body = trigger();
        body.as_object_mut().unwrap().remove(field);
        assert!(!schema.is_valid(&body) && TriggerBody::parse(body.to_string().as_bytes()).is_err(), "{field}");
    }
}

#[tokio::test]
async fn an_outcome_fits_its_schema() {
    let app = TestApp::start().await;
    let outcome = app.outcome_of(&trigger()).await;
    let schema = validator("Outcome");
    let problems: Vec<_> = schema.iter_errors(&outcome).map(|error| error.to_string()).collect();
    assert_eq!(problems, Vec::<String>::new(), "{outcome}");
}

#[tokio::test]
async fn refusals_fit_their_schema_and_their_status_is_listed() {
    let app = TestApp::start().await;
    let webhook = app.running.webhook.unwrap().to_string();
    let client = crate::support::app::client();
    let listed = document()["paths"]["/webhook/cognigy/fallback"]["post"]["responses"].clone();
    let schema = validator("ProblemDetails");
    let url = format!("http://{webhook}/webhook/cognigy/fallback");
    let requests = [
        (400, crate::support::app::signed(&client, &webhook, &json!({"conversationId": 1}))),
        (400, crate::support::app::signed(&client, &webhook, &trigger()).header("idempotency-key", "a key")),
        (403, client.post(&url).header("content-type", "application/json").body("{}")),
        (404, client.post(format!("{url}/nobody"))),
        (405, client.put(&url)),
        (413, client.post(&url).header("content-type", "application/json").body("x".repeat(70_000))),
        (415, client.post(&url).body("{}")),
    ];
    for (status, request) in requests {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(listed.get(status.to_string()).is_some(), "{status} is not listed");
        let body: Value = response.json().await.unwrap();
        assert!(schema.is_valid(&body), "{body}");
    }
}
