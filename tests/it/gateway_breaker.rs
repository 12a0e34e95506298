//! A model that keeps failing is held off for every caller, and comes back.

use std::time::Duration;

use cognigy_fallback_router::llm::LlmError;
use futures_util::future::join_all;

use crate::support::{
    clock::forward,
    gateway::{CHAT, Gateway, config, says},
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
