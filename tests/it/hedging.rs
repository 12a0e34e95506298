//! A second call beside one that takes long, and calls that wait for their turn.

use std::time::Duration;

use cognigy_fallback_router::{
    llm::{Config, HedgeConfig, HedgeTo, LlmError},
    metrics::labels::Hedge,
};
use futures_util::future::join_all;

use crate::support::{
    gateway::{CHAT, Gateway, config, says},
    stub::Reply,
};

/// Longer than any of these tests waits.
const LONG: Duration = Duration::from_secs(20);

/// A gateway whose next call earns the first hedge, which comes after 200 ms.
async fn hedging(models: &[&str], to: HedgeTo) -> Gateway {
    let hedge = Some(HedgeConfig { after: Some(Duration::from_millis(200)), to });
    let config = Config { hedge, models: models.iter().map(|&name| name.to_owned()).collect(), ..config() };
    let gateway = Gateway::start(config).await;
    // None of these can be asked twice, however slow this machine is.
    for _ in 0..19 {
        gateway.next(says("w"));
        gateway.ask().await;
    }
    gateway
}

fn hedges(gateway: &Gateway) -> [u64; 3] {
    [Hedge::Won, Hedge::Lost, Hedge::Withheld].map(|end| gateway.metrics.llm_hedges.get(end).get())
}

#[tokio::test]
async fn the_second_call_answers_for_one_that_hangs_and_both_count() {
    let gateway = hedging(&["m1"], HedgeTo::Same).await;
    let before = (gateway.requests().len(), hedges(&gateway));
    gateway.next(says("slow").after(LONG)).next(says("quick"));
    let asked = gateway.ask().await;
    assert_eq!((asked.content(), asked.spent.calls), ("quick", 2));
    let [slow, quick] = &gateway.requests()[before.0..] else { panic!("not two requests") };
    assert_eq!(slow.body, quick.body);
    assert!(asked.spent.charged > 425, "the answer that nobody waited for may have to be paid, too");
    assert!(asked.spent.upstream < LONG);
    let [won, lost, withheld] = hedges(&gateway);
    assert_eq!((won, lost, withheld), (before.1[0] + 1, before.1[1], before.1[2]));
}

#[tokio::test]
async fn more_than_one_call_in_twenty_is_not_asked_twice() {
    let gateway = hedging(&["m1"], HedgeTo::Same).await;
    let withheld = hedges(&gateway)[2];
    gateway.next(says("slow").after(LONG)).next(says("quick"));
    assert_eq!(gateway.ask().await.spent.calls, 2);
    gateway.next(says("slow").after(Duration::from_millis(900)));
    assert_eq!(gateway.ask().await.spent.calls, 1);
    assert_eq!(hedges(&gateway)[2], withheld + 1);
}

#[tokio::test]
async fn the_next_model_can_be_asked_and_is_named_as_the_one_that_answered() {
    let gateway = hedging(&["m1", "m2"], HedgeTo::Next).await;
    gateway.next(says("slow").after(LONG)).next(says("quick"));
    let completion = gateway.ask().await.result.unwrap();
    assert_eq!((completion.model.as_str(), completion.fallback), ("m2", true));
    assert_eq!(gateway.models_asked().split_off(19), ["m1", "m2"]);
}

#[tokio::test]
async fn a_failed_second_call_does_no_harm() {
    let gateway = hedging(&["m1"], HedgeTo::Same).await;
    gateway.next(says("slow").after(Duration::from_millis(900))).next(Reply::status(503));
    let asked = gateway.ask().await;
    assert_eq!((asked.content(), asked.spent.calls), ("slow", 2));
}

#[tokio::test]
async fn a_trigger_without_calls_left_is_not_asked_twice() {
    let gateway = hedging(&["m1"], HedgeTo::Same).await;
    gateway.next(says("slow").after(Duration::from_millis(900))).next(says("quick"));
    let asked = gateway.ask_at_most(1).await;
    assert_eq!((asked.content(), asked.spent.calls), ("slow", 1));
}

#[tokio::test]
async fn after_a_429_calls_wait_for_their_turn_and_no_longer_than_they_have_time() {
    let gateway = Gateway::start(Config { adaptive: true, attempts: 1, ..config() }).await;
    gateway.next(Reply::status(429));
    assert_eq!(gateway.ask().await.error(), LlmError::RateLimited);
    gateway.stub.always(CHAT, says("w"));
    // One leaves at once, the next one in half a second, and so on.
    let (patient, hasty) = tokio::join!(
        join_all((0..3).map(|_| gateway.ask())),
        join_all((0..3).map(|_| gateway.ask_within(Duration::from_millis(200))))
    );
    assert!(patient.iter().all(|asked| asked.content() == "w"));
    assert!(patient.iter().filter(|asked| asked.spent.waited > Duration::from_millis(100)).count() >= 2);
    let refused = hasty.iter().filter(|asked| asked.spent.calls == 0).count();
    assert!(refused >= 2, "{refused} had no turn in their time");
    assert!(hasty.iter().filter(|asked| asked.spent.calls == 0).all(|asked| asked.result.is_err()));
    assert_eq!(gateway.metrics.llm_narrowed.get(), 1);
    assert_eq!(gateway.metrics.llm_waiting.get(), 0);
}

#[tokio::test]
async fn a_profile_that_did_not_ask_for_it_waits_for_nothing() {
    let gateway = Gateway::start(Config { attempts: 1, ..config() }).await;
    gateway.next(Reply::status(429));
    assert_eq!(gateway.ask().await.error(), LlmError::RateLimited);
    gateway.stub.always(CHAT, says("w"));
    let asked = join_all((0..20).map(|_| gateway.ask_within(Duration::from_secs(30)))).await;
    assert!(asked.iter().all(|asked| asked.content() == "w" && asked.spent.waited < Duration::from_millis(400)));
    assert_eq!(gateway.metrics.llm_narrowed.get(), 0);
}
