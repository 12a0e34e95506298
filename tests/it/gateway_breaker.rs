//! A model that keeps failing is held off for every caller, and comes back.

use std::{sync::Arc, time::Duration};

use cognigy_fallback_router::{
    llm::{Breakers, Config, LlmClient, LlmError, ResponseFormat},
    secret::Secret,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    clock::forward,
    gateway::{CHAT, Gateway, config, error, says},
    stub::Reply,
};

/// One try each, so that a failure ends a call at once.
async fn impatient(models: &[&str]) -> Gateway {
    let mut config = config();
    config.attempts = 1;
    config.models = models.iter().map(|&name| name.to_owned()).collect();
    Gateway::start(config).await
}

#[tokio::test]
async fn five_failures_in_a_row_hold_a_model_off_until_a_probe_succeeds() {
    let gateway = impatient(&["m1", "m2"]).await;
    for _ in 0..5 {
        gateway.next(Reply::status(503)).next(says("w"));
        assert!(gateway.ask().await.result.unwrap().fallback);
    }
    gateway.next(says("w"));
    assert!(gateway.ask().await.result.unwrap().fallback, "m1 is held off");
    assert_eq!(gateway.models_asked().last().unwrap(), "m2");
    assert_eq!(gateway.requests().len(), 11);

    forward(6).await;
    gateway.next(says("w"));
    assert!(!gateway.ask().await.result.unwrap().fallback, "m1 is probed");
}

#[tokio::test]
async fn with_no_other_model_a_short_outage_is_waited_for() {
    let gateway = impatient(&["m1"]).await;
    for _ in 0..5 {
        gateway.next(Reply::status(503));
        assert_eq!(gateway.ask().await.error(), LlmError::Unavailable);
    }
    let in_vain = gateway.ask_within(Duration::from_secs(3)).await;
    assert_eq!(in_vain.error(), LlmError::Unavailable);
    assert_eq!(in_vain.spent.calls, 0, "the time left does not reach the end of the pause");

    gateway.stub.always(CHAT, says("w"));
    // The clock stands still but for these waits: one of the ten probes, the others follow it.
    let waiting = join_all((0..10).map(|_| gateway.ask()));
    let (asked, ()) = tokio::join!(waiting, forward(5));
    assert!(asked.iter().all(|asked| asked.content() == "w" && asked.spent.calls == 1));
}

#[tokio::test]
async fn three_refusals_of_the_key_hold_a_model_off_for_a_minute() {
    let gateway = impatient(&["m1"]).await;
    gateway.stub.always(CHAT, Reply::status(401));
    for _ in 0..3 {
        assert_eq!(gateway.ask().await.spent.calls, 1);
    }
    let asked = gateway.ask().await;
    assert_eq!(asked.error(), LlmError::Unauthorized, "the reason is still told");
    assert_eq!(asked.spent.calls, 0);
    gateway.stub.always(CHAT, says("w"));
    forward(61).await;
    assert_eq!(gateway.ask().await.content(), "w");
}

#[tokio::test]
async fn rate_limits_do_not_hold_a_model_off() {
    let gateway = impatient(&["m1"]).await;
    for _ in 0..8 {
        gateway.next(Reply::status(429));
        assert_eq!(gateway.ask().await.error(), LlmError::RateLimited);
    }
    gateway.next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
}

/// Two profiles' clients of one gateway, that share what they learn.
async fn two(mut other: impl FnMut(&mut Config)) -> (Gateway, LlmClient) {
    let mut gateway = impatient(&["m1"]).await;
    let mut config = config();
    config.attempts = 1;
    config.base_url = Some(gateway.stub.url(""));
    let breakers = Breakers::new(Arc::clone(&gateway.metrics));
    let client = |config: &Config| {
        LlmClient::sharing(config, &json!({"type": "object"}), &breakers, Arc::clone(&gateway.metrics)).unwrap()
    };
    let first = client(&config);
    other(&mut config);
    let second = client(&config);
    gateway.client = first;
    (gateway, second)
}

#[tokio::test]
async fn profiles_that_ask_the_same_model_share_its_breaker() {
    let (mut gateway, second) = two(|config| config.temperature = 0.9).await;
    gateway.stub.always(CHAT, Reply::status(503));
    for _ in 0..5 {
        assert_eq!(gateway.ask().await.error(), LlmError::Unavailable);
    }
    gateway.client = second;
    let held = gateway.ask_within(Duration::from_secs(3)).await;
    assert_eq!((held.error(), held.spent.calls, gateway.requests().len()), (LlmError::Unavailable, 0, 5));
}

#[tokio::test]
async fn profiles_that_ask_the_same_model_share_what_it_does_not_take() {
    let refused = |what: &str| error(400, &json!({"message": format!("{what} is not supported"), "param": what}));
    let (mut gateway, second) = two(|config| config.response_format = ResponseFormat::JsonSchema).await;
    gateway.next(refused("max_tokens")).next(refused("temperature")).next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
    gateway.client = second;
    gateway.next(refused("response_format")).next(refused("response_format")).next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
    let bodies: Vec<_> = gateway.requests().iter().map(|request| request.json()).collect();
    assert_eq!(bodies.len(), 6);
    for (number, format) in [(3, json!("json_schema")), (4, json!("json_object")), (5, Value::Null)] {
        assert_eq!(bodies[number]["response_format"]["type"], format);
        assert_eq!(bodies[number]["max_completion_tokens"], 500);
        assert!(bodies[number].get("temperature").is_none() && bodies[number].get("max_tokens").is_none());
    }
}

#[tokio::test]
async fn what_one_model_does_not_take_is_sent_to_another() {
    let (mut gateway, second) = two(|config| config.models = vec!["m2".to_owned()]).await;
    gateway
        .next(error(400, &json!({"message": "temperature is not supported", "param": "temperature"})))
        .next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
    gateway.client = second;
    gateway.next(says("w"));
    assert_eq!(gateway.ask().await.content(), "w");
    let temperatures: Vec<_> = gateway.requests().iter().map(|request| request.json()["temperature"].clone()).collect();
    assert_eq!(temperatures, [json!(0.2), Value::Null, json!(0.2)]);
}

#[tokio::test]
async fn another_key_or_model_is_another_upstream() {
    let changes: [fn(&mut Config); 3] = [
        |config| config.api_key = Some(Secret::new("another")),
        |config| config.models = vec!["m2".to_owned()],
        |config| _ = config.headers.insert("x-tenant".to_owned(), Secret::new("b")),
    ];
    for change in changes {
        let (mut gateway, second) = two(change).await;
        gateway.stub.always(CHAT, Reply::status(401));
        for _ in 0..4 {
            assert_eq!(gateway.ask().await.error(), LlmError::Unauthorized);
        }
        assert_eq!(gateway.requests().len(), 3, "the refused one is held off");
        gateway.client = second;
        gateway.stub.always(CHAT, says("w"));
        assert_eq!(gateway.ask().await.content(), "w");
    }
}

#[tokio::test]
async fn repeats_are_no_more_than_a_share_of_the_calls() {
    let gateway = Gateway::start(config()).await;
    // Being over a limit does not hold the model off, so only the share stops the repeats.
    gateway.stub.always(CHAT, Reply::status(429).header("retry-after", "0"));
    let asked = join_all((0..60).map(|_| gateway.ask())).await;
    assert!(asked.iter().all(|asked| asked.error() == LlmError::RateLimited));
    let repeats = gateway.requests().len() - 60;
    assert!((20..40).contains(&repeats), "{repeats} repeats");
    let withheld = gateway.metrics.llm_retries_withheld.get();
    assert_eq!(usize::try_from(withheld).unwrap() + repeats, 60);
}

#[tokio::test]
async fn a_call_over_the_limit_waits_for_its_turn_where_the_pace_is_known() {
    let gateway = Gateway::start(Config { adaptive: true, ..config() }).await;
    gateway.stub.always(CHAT, says("w"));
    for _ in 0..38 {
        gateway.stub.next(CHAT, Reply::status(429).header("retry-after", "0"));
    }
    let asked = join_all((0..40).map(|_| gateway.ask_within(Duration::from_secs(120)))).await;
    for asked in asked {
        assert_eq!(asked.content(), "w");
    }
    assert_eq!(gateway.metrics.llm_retries_withheld.get(), 0);
    assert!(gateway.requests().len() >= 78, "{} requests", gateway.requests().len());
}
