//! What comes back from a gateway, and what the client makes of it: each reply with the reason why it is here.
//! How the two gateways that we measured (LiteLLM 1.106.2, Portkey 1.15.2) answer is marked with their names.

mod oddities;

use cognigy_fallback_router::llm::LlmError::{
    self, ContentRefused, QuotaExhausted, RateLimited, Rejected, Unauthorized, Unavailable,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{
    gateway::{Asked, Gateway, completion, config, error, says},
    stub::Reply,
};

/// What is expected of a case.
enum Then {
    /// These words.
    Says(&'static str),
    /// These words, cut off at the token limit.
    CutOff(&'static str),
    /// The reply was worth another try: the next one, `ok`, was taken.
    Again,
    /// No second try, and this error.
    Fails(LlmError),
}
use Then::{Again, CutOff, Fails, Says};

type Case = (&'static str, Reply, Then);

/// Clients at once: making one reads the system's certificates, and none shall wait for so many others.
const AT_ONCE: usize = 8;

/// Plays each reply to its own client, some at once, and an `ok` after it.
async fn check(cases: Vec<Case>) {
    stream::iter(cases).map(play).buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn play((why, reply, then): Case) {
    let gateway = Gateway::start(config()).await;
    gateway.next(reply).next(says("ok"));
    let asked = gateway.ask().await;
    let calls = if matches!(then, Again) { 2 } else { 1 };
    assert_eq!(asked.spent.calls, calls, "calls: {why}, {:?}", asked.result);
    assert_eq!(gateway.requests().len(), calls as usize, "requests: {why}");
    match then {
        Says(words) => expect(&asked, words, false, why),
        CutOff(words) => expect(&asked, words, true, why),
        Again => expect(&asked, "ok", false, why),
        Fails(error) => assert_eq!(asked.result.err(), Some(error), "{why}"),
    }
}

fn expect(asked: &Asked, words: &str, truncated: bool, why: &str) {
    let completion = asked.result.as_ref().unwrap_or_else(|error| panic!("{why}: {error}"));
    assert_eq!(completion.content, words, "{why}");
    assert_eq!(completion.truncated, truncated, "{why}");
    assert_eq!(completion.model, "m1", "{why}");
    assert!(!completion.fallback, "{why}");
}

fn message(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn finished(reason: Value) -> Reply {
    completion(&message(json!("w")), &reason)
}

#[tokio::test]
async fn a_completion_is_taken_whatever_surrounds_the_words() {
    let stop = || json!("stop");
    check(vec![
        ("the plain case", says("w"), Says("w")),
        ("finish_reason null: some local servers", finished(Value::Null), Says("w")),
        ("finish_reason empty", finished(json!("")), Says("w")),
        ("finish_reason unknown", finished(json!("eos_token")), Says("w")),
        ("finish_reason of another type", finished(json!(7)), Says("w")),
        ("the limit cut it off: the caller judges whether the JSON is whole", finished(json!("length")), CutOff("w")),
        (
            "cut off before the first word: a reasoning model",
            completion(&message(json!("")), &json!("length")),
            CutOff(""),
        ),
        ("nothing said: validation asks again", completion(&message(Value::Null), &stop()), Says("")),
        ("no content field", completion(&json!({"role": "assistant"}), &stop()), Says("")),
        (
            "text parts are joined",
            completion(&message(json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])), &stop()),
            Says("ab"),
        ),
        (
            "reasoning parts are left out",
            completion(
                &message(json!([{"type": "reasoning", "text": "x"}, {"type": "text", "text": "b"}, 7])),
                &stop(),
            ),
            Says("b"),
        ),
        (
            "reasoning beside the content is left out",
            completion(&json!({"content": "w", "reasoning_content": "x"}), &stop()),
            Says("w"),
        ),
        (
            "words beside a tool call are taken",
            completion(&json!({"content": "w", "tool_calls": [{"id": "1"}]}), &json!("tool_calls")),
            Says("w"),
        ),
        (
            "an empty list of tool calls is none",
            completion(&json!({"content": "", "tool_calls": []}), &stop()),
            Says(""),
        ),
        ("refusal null", completion(&json!({"content": "w", "refusal": null}), &stop()), Says("w")),
        ("refusal blank", completion(&json!({"content": "w", "refusal": " "}), &stop()), Says("w")),
        (
            "error null beside choices",
            Reply::json(&json!({"error": null, "choices": [{"message": message(json!("w"))}]})),
            Says("w"),
        ),
        ("no usage", Reply::json(&json!({"choices": [{"message": message(json!("w"))}]})), Says("w")),
        (
            "usage that makes no sense",
            Reply::json(&json!({"usage": "many", "choices": [{"message": message(json!("w"))}]})),
            Says("w"),
        ),
        (
            "the first of several choices",
            Reply::json(&json!({"choices": [{"message": message(json!("w"))}, {"message": message(json!("x"))}]})),
            Says("w"),
        ),
        ("201", says("w").with_status(201), Says("w")),
        ("a fence is the validator's business", says("```json\n{}\n```"), Says("```json\n{}\n```")),
        ("after a second", says("w").after(std::time::Duration::from_millis(1_000)), Says("w")),
    ])
    .await;
}

#[tokio::test]
async fn a_refusal_goes_to_a_human_at_once() {
    let refused = |message: Value| completion(&message, &json!("stop"));
    check(vec![
        ("refusal (OpenAI)", refused(json!({"content": null, "refusal": "I cannot."})), Fails(ContentRefused)),
        ("refusal beside words", refused(json!({"content": "w", "refusal": "I cannot."})), Fails(ContentRefused)),
        (
            "refusal moved (LiteLLM)",
            refused(json!({"content": null, "provider_specific_fields": {"refusal": "no"}})),
            Fails(ContentRefused),
        ),
        ("refusal as a part", refused(message(json!([{"type": "refusal", "refusal": "no"}]))), Fails(ContentRefused)),
        ("content_filter", finished(json!("content_filter")), Fails(ContentRefused)),
        (
            "content_filter as an error (Azure)",
            error(400, &json!({"code": "content_filter", "message": "x"})),
            Fails(ContentRefused),
        ),
        (
            "content policy (LiteLLM: text only)",
            error(400, &json!({"message": "litellm.ContentPolicyViolationError: x", "type": null, "code": "400"})),
            Fails(ContentRefused),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_200_without_a_completion_counts_as_502() {
    let huge = format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "a".repeat(1 << 20));
    check(vec![
        ("html-message (Portkey)", Reply::json(&json!({"html-message": "<html></html>"})), Again),
        ("HTML of a proxy", Reply::html(), Again),
        ("an error object", error(200, &json!({"message": "upstream failed"})), Again),
        ("an error text", error(200, &json!("upstream failed")), Again),
        (
            "an error beside choices",
            Reply::json(&json!({"error": {}, "choices": [{"message": message(json!("w"))}]})),
            Again,
        ),
        ("no choices", Reply::json(&json!({"choices": []})), Again),
        ("choices null", Reply::json(&json!({"choices": null})), Again),
        ("an empty object", Reply::json(&json!({})), Again),
        ("a list", Reply::json(&json!([])), Again),
        ("an empty body", Reply::status(200), Again),
        ("204", Reply::status(204), Again),
        ("a choice without message", Reply::json(&json!({"choices": [{"text": "w"}]})), Again),
        ("a message that is text", Reply::json(&json!({"choices": [{"message": "w"}]})), Again),
        ("content that is an object", completion(&message(json!({"a": 1})), &json!("stop")), Again),
        (
            "only a tool call",
            completion(&json!({"content": null, "tool_calls": [{"id": "1"}]}), &json!("tool_calls")),
            Again,
        ),
        (
            "only a function call",
            completion(&json!({"content": null, "function_call": {"name": "f"}}), &json!("function_call")),
            Again,
        ),
        ("cut JSON", Reply::status(200).body(r#"{"choices":[{"message":{"con"#), Again),
        ("a stream nobody asked for", Reply::status(200).body("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"), Again),
        ("not UTF-8", Reply::status(200).body(b"{\"choices\":\"\xff\"}".to_vec()), Again),
        ("more than 1 MiB", Reply::status(200).body(huge), Again),
        ("broken off in the body", says("w").half(), Again),
        ("gzip that is none", says("w").header("content-encoding", "gzip"), Again),
    ])
    .await;
}

#[tokio::test]
async fn what_may_heal_is_tried_again() {
    let failed = |status| Reply::status(status);
    let limited = |headers: &[(&str, &str)]| {
        let reply = error(429, &json!({"message": "slow down", "type": "throttling_error", "code": "429"}));
        headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value))
    };
    check(vec![
        ("408: timeout_error (Portkey)", failed(408), Again),
        ("409", failed(409), Again),
        ("425", failed(425), Again),
        ("500: closed, HTML or cut upstream (LiteLLM)", failed(500), Again),
        ("502", failed(502), Again),
        ("503 with HTML", Reply::html().with_status(503), Again),
        ("504", failed(504), Again),
        ("520", failed(520), Again),
        ("524", failed(524), Again),
        ("529: overloaded", failed(529), Again),
        ("429 without a word (LiteLLM)", limited(&[]), Again),
        ("429 with Retry-After", limited(&[("retry-after", "0.05")]), Again),
        ("429 with the provider's Retry-After (LiteLLM)", limited(&[("llm_provider-retry-after", "1")]), Again),
        (
            "429: all deployments in cooldown (LiteLLM)",
            error(429, &json!({"type": "all_deployments_in_cooldown"})),
            Again,
        ),
        ("429 from a cut body", limited(&[]).half(), Again),
        ("closed without an answer", Reply::close(), Again),
        ("400 that says it should be retried", failed(400).header("x-should-retry", "true"), Again),
        ("503 with a word we do not know", failed(503).header("x-should-retry", "perhaps"), Again),
    ])
    .await;
}

#[tokio::test]
async fn what_does_not_heal_is_not_tried_again() {
    let failed = |status| Reply::status(status);
    let quota = |error_body: Value| error(429, &error_body);
    check(vec![
        ("400", failed(400), Fails(Rejected(400))),
        ("400: unknown model (LiteLLM)", error(400, &json!({"message": "There are no healthy deployments"})), Fails(Rejected(400))),
        ("400 in another form (Portkey)", Reply::json(&json!({"status": "failure", "message": "x"})).with_status(400), Fails(Rejected(400))),
        ("400: wrong key without a database (LiteLLM)", error(400, &json!({"type": "no_db_connection"})), Fails(Unauthorized)),
        ("400: max_tokens too large is not about the parameter", error(400, &json!({"message": "max_tokens is too large: 500", "param": "max_tokens"})), Fails(Rejected(400))),
        ("400: the context window", error(400, &json!({"code": "context_length_exceeded", "message": "maximum context length"})), Fails(Rejected(400))),
        ("401", failed(401), Fails(Unauthorized)),
        ("402: no money", failed(402), Fails(QuotaExhausted)),
        ("403", failed(403), Fails(Unauthorized)),
        ("404", failed(404), Fails(Rejected(404))),
        ("413", failed(413), Fails(Rejected(413))),
        ("422", failed(422), Fails(Rejected(422))),
        ("501", failed(501), Fails(Rejected(501))),
        ("a redirect is not followed", failed(307).header("location", "/v1/chat/completions"), Fails(Rejected(307))),
        ("insufficient_quota as type", quota(json!({"type": "insufficient_quota"})), Fails(QuotaExhausted)),
        ("insufficient_quota as code", quota(json!({"code": "insufficient_quota"})), Fails(QuotaExhausted)),
        ("credit_balance_exhausted", quota(json!({"code": "credit_balance_exhausted"})), Fails(QuotaExhausted)),
        ("organization_spend_limit_exceeded", quota(json!({"code": "organization_spend_limit_exceeded"})), Fails(QuotaExhausted)),
        ("project_spend_limit_exceeded", quota(json!({"code": "project_spend_limit_exceeded"})), Fails(QuotaExhausted)),
        ("organization_usage_limit_exceeded", quota(json!({"code": "organization_usage_limit_exceeded"})), Fails(QuotaExhausted)),
        (
            "only the text still says it (LiteLLM)",
            quota(json!({"message": "OpenAIException - You exceeded your current quota, please check", "type": "throttling_error", "code": "429"})),
            Fails(QuotaExhausted),
        ),
        ("429 with more than a minute to wait", failed(429).header("retry-after", "61"), Fails(RateLimited)),
        ("503 with more than the time left to wait", failed(503).header("retry-after", "31"), Fails(Unavailable)),
        ("503 that says not to", failed(503).header("x-should-retry", "false"), Fails(Unavailable)),
        ("429 that says not to", failed(429).header("x-should-retry", "false"), Fails(RateLimited)),
    ])
    .await;
}
