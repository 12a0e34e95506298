//! The way through a gateway's models: the request, tries, fall-back, parameters, and the breaker.

use std::time::Duration;

use cognigy_fallback_router::{
    llm::{LlmError, ResponseFormat},
    metrics::labels::{Finish, RetryCause, TokenDirection, Upstream, UpstreamStatus},
    outcome::Usage,
    secret::Secret,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    gateway::{CHAT, Gateway, completion, config, error, says},
    stub::Reply,
};

async fn two_models() -> Gateway {
    let mut config = config();
    config.models = vec!["m1".to_owned(), "m2".to_owned()];
    Gateway::start(config).await
}

fn unsupported(parameter: &str) -> Reply {
    let message = format!("Unsupported parameter: '{parameter}' is not supported with this model.");
    error(400, &json!({"message": message, "param": parameter, "code": "unsupported_parameter"}))
}

#[tokio::test]
async fn the_request_is_the_originals() {
    let mut config = config();
    config.headers.insert("x-portkey-provider".to_owned(), Secret::new("openai"));
    let gateway = Gateway::start(config).await;
    gateway.next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");

    let request = &gateway.requests()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("authorization"), "Bearer key");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("x-portkey-provider"), "openai");
    assert!(request.header("user-agent").starts_with("cognigy-fallback-router/"));
    let expected = json!({
        "model": "m1",
        "messages": [{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": "Where is my \"order\"?"}],
        "temperature": 0.2, "response_format": {"type": "json_object"}, "max_tokens": 500, "stream": false, "n": 1
    });
    assert_eq!(request.json(), expected);
}

#[tokio::test]
async fn the_response_format_is_what_was_configured() {
    for (format, expected) in [
        (
            ResponseFormat::JsonSchema,
            json!({"type": "json_schema", "json_schema": {"name": "decision", "schema": {"type": "object"}}}),
        ),
        (ResponseFormat::None, Value::Null),
    ] {
        let mut config = config();
        config.response_format = format;
        let gateway = Gateway::start(config).await;
        gateway.next(says("w"));
        gateway.ask().await.result.unwrap();
        assert_eq!(gateway.requests()[0].json()["response_format"], expected);
    }
}

#[tokio::test]
async fn the_token_limit_is_multiplied_up_to_a_bound() {
    for (configured, factor, expected) in
        [(500, 1, 500), (500, 2, 1_000), (10_000, 2, 16_384), (20_000, 2, 20_000), (500, 0, 500)]
    {
        let mut config = config();
        config.max_tokens = configured;
        let gateway = Gateway::start(config).await;
        gateway.next(says("w"));
        gateway.ask_for(factor, Duration::from_secs(30)).await.result.unwrap();
        assert_eq!(gateway.requests()[0].json()["max_tokens"], expected);
    }
}

#[tokio::test]
async fn a_parameter_that_the_model_does_not_take_gives_way_and_is_remembered() {
    let gateway = Gateway::start(config()).await;
    gateway.next(unsupported("max_tokens"));
    gateway.next(error(
        400,
        &json!({"message": "'temperature' does not support 0.2 with this model. Only 1", "code": "unsupported_value"}),
    ));
    gateway.next(error(400, &json!({"message": "'response_format.type' must be 'json_schema' or 'text'"})));
    gateway.next(says("w")).next(says("w"));
    let asked = gateway.ask().await;
    assert_eq!(asked.content(), "w");
    assert_eq!(asked.spent.calls, 4);
    gateway.ask().await.result.unwrap();
    for request in &gateway.requests()[3..] {
        let body = request.json();
        assert_eq!(body["max_completion_tokens"], 500);
        for gone in ["max_tokens", "temperature", "response_format"] {
            assert!(body.get(gone).is_none(), "{gone}");
        }
    }
    assert_eq!(gateway.requests().len(), 5);
}

#[tokio::test]
async fn a_schema_gives_way_to_json_and_json_to_nothing() {
    let mut config = config();
    config.response_format = ResponseFormat::JsonSchema;
    let gateway = Gateway::start(config).await;
    let unavailable = || error(400, &json!({"message": "This response_format type is unavailable now"}));
    gateway.next(unavailable()).next(unavailable()).next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
    let kinds: Vec<Value> =
        gateway.requests().iter().map(|request| request.json()["response_format"]["type"].clone()).collect();
    assert_eq!(kinds, [json!("json_schema"), json!("json_object"), Value::Null]);
}

#[tokio::test]
async fn a_parameter_refused_again_after_it_gave_way_is_a_rejection() {
    let gateway = Gateway::start(config()).await;
    gateway.stub.always(CHAT, unsupported("temperature"));
    let asked = gateway.ask().await;
    assert_eq!(asked.error(), LlmError::Rejected(400));
    assert_eq!(asked.spent.calls, 2);
}

#[tokio::test]
async fn usage_is_summed_and_unknown_usage_is_not_zero() {
    let gateway = Gateway::start(config()).await;
    let empty = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    gateway.next(Reply::json(&empty)).next(says("w"));
    let asked = gateway.ask().await;
    assert_eq!(asked.spent.usage, Some(Usage { prompt_tokens: 350, completion_tokens: 86 }));
    assert_eq!(gateway.metrics.llm_tokens.of("m1").get(TokenDirection::Input).get(), 350);
    assert_eq!(gateway.metrics.llm_tokens.of("m1").get(TokenDirection::Output).get(), 86);
    assert_eq!(gateway.metrics.llm_finish.get(Finish::Stop).get(), 1);
    assert_eq!(gateway.metrics.upstream_retries.get(Upstream::Llm, RetryCause::InvalidAnswer).get(), 1);
    assert!(asked.spent.upstream > Duration::ZERO);

    gateway.next(Reply::json(&json!({"choices": [{"message": {"content": "w"}}]})));
    assert_eq!(gateway.ask().await.spent.usage, None);
}

#[tokio::test]
async fn a_refusal_is_paid_for_too() {
    let gateway = Gateway::start(config()).await;
    gateway.next(completion(&json!({"refusal": "no"}), &json!("stop")));
    let asked = gateway.ask().await;
    assert_eq!(asked.error(), LlmError::ContentRefused);
    assert_eq!(asked.spent.usage, Some(Usage { prompt_tokens: 340, completion_tokens: 85 }));
}

#[tokio::test]
async fn the_tries_of_a_model_end_and_the_last_one_is_not_waited_for() {
    let gateway = Gateway::start(config()).await;
    gateway.stub.always(CHAT, Reply::status(429).header("retry-after", "1"));
    let begun = Instant::now();
    let asked = gateway.ask().await;
    assert_eq!(asked.error(), LlmError::RateLimited);
    assert_eq!(asked.spent.calls, 2);
    assert!(begun.elapsed() >= Duration::from_secs(1), "the wait between the tries was asked for");
    assert!(asked.spent.upstream < Duration::from_secs(1), "waits are not the upstream's time");
    assert_eq!(gateway.metrics.upstream_retries.get(Upstream::Llm, RetryCause::RateLimited).get(), 1);
    assert_eq!(gateway.metrics.upstream_requests.get(Upstream::Llm, UpstreamStatus::RateLimited).get(), 2);
}

#[tokio::test]
async fn the_next_model_answers_where_the_first_cannot() {
    let rejected = |status| Reply::status(status);
    join_all(
        [
            rejected(400),
            rejected(401),
            rejected(404),
            rejected(429).header("retry-after", "100"),
            rejected(503).header("retry-after", "40"),
            error(429, &json!({"code": "insufficient_quota"})),
        ]
        .map(async |reply| {
            let gateway = two_models().await;
            gateway.next(reply).next(says("w"));
            let completion = gateway.ask().await.result.unwrap();
            assert_eq!((completion.model.as_str(), completion.fallback), ("m2", true));
            assert_eq!(gateway.models_asked(), ["m1", "m2"]);
        }),
    )
    .await;
}

#[tokio::test]
async fn the_next_model_is_asked_when_the_tries_of_the_first_are_used_up() {
    let gateway = two_models().await;
    gateway.next(Reply::status(503)).next(Reply::status(503)).next(says("w"));
    assert!(gateway.ask().await.result.unwrap().fallback);
    assert_eq!(gateway.models_asked(), ["m1", "m1", "m2"]);
}

#[tokio::test]
async fn a_refusal_of_content_is_not_taken_to_the_next_model() {
    let gateway = two_models().await;
    gateway.next(completion(&json!({"refusal": "no"}), &json!("stop"))).next(says("w"));
    assert_eq!(gateway.ask().await.error(), LlmError::ContentRefused);
    assert_eq!(gateway.models_asked(), ["m1"]);
}

#[tokio::test]
async fn the_error_is_that_of_the_last_model() {
    let gateway = two_models().await;
    gateway.next(Reply::status(401)).next(Reply::status(413));
    assert_eq!(gateway.ask().await.error(), LlmError::Rejected(413));
}

#[tokio::test]
async fn silence_ends_with_the_callers_time() {
    let gateway = two_models().await;
    gateway.stub.always(CHAT, Reply::hang());
    let asked = gateway.ask_within(Duration::from_millis(200)).await;
    assert_eq!(asked.error(), LlmError::OutOfTime);
    assert_eq!(asked.spent.calls, 1);
    assert_eq!(gateway.ask_within(Duration::ZERO).await.spent.calls, 0);
}

#[tokio::test]
async fn a_try_has_its_own_limit_which_covers_the_body() {
    let mut config = config();
    config.attempt_timeout = Duration::from_millis(200);
    let gateway = Gateway::start(config).await;
    gateway.next(says("w").hang_in_body()).next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
    assert_eq!(gateway.metrics.upstream_retries.get(Upstream::Llm, RetryCause::Timeout).get(), 1);
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let mut config = config();
    config.base_url = Some("http://127.0.0.1:1".to_owned());
    let gateway = Gateway::start(config).await;
    assert_eq!(gateway.ask().await.error(), LlmError::Unavailable);
    assert_eq!(gateway.metrics.upstream_requests.get(Upstream::Llm, UpstreamStatus::Connect).get(), 2);
}

#[tokio::test]
async fn a_call_that_is_dropped_has_still_been_spent() {
    let gateway = Gateway::start(config()).await;
    gateway.next(Reply::hang());
    let messages = [];
    let mut spent = cognigy_fallback_router::llm::Spent::default();
    let request = cognigy_fallback_router::llm::CompletionRequest::new(&messages);
    let call = gateway.client.complete(request, Instant::now() + Duration::from_secs(30), &mut spent);
    tokio::select! {
        _ = call => panic!("it hangs"),
        _ = gateway.stub.received(1) => {}
    }
    assert_eq!(spent.calls, 1);
    assert!(spent.upstream > Duration::ZERO);
}
