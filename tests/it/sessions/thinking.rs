//! What a customer is told while they wait, and what becomes of a message that they replace by another.

use std::num::NonZeroU16;

use cognigy_fallback_router::{message::Lane, shutdown::Shutdown};

use super::*;
use crate::support::app::{accepted, run};

const AFTER: &str = "CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__THINKING__AFTER";
const ENGLISH: &str = "CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__THINKING__SENTENCES__EN";
const GERMAN: &str = "CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__THINKING__SENTENCES__DE";
const SENTENCES: [(&str, &str); 2] = [(ENGLISH, "One moment, please."), (GERMAN, "Einen Augenblick, bitte.")];

async fn app_that_tells(after: &'static str) -> TestApp {
    app("cognigy-inject", &[&SENTENCES[..], &[(AFTER, after)]].concat()).await
}

fn slow(app: &TestApp, delay: Duration) {
    app.world.llm.always(COMPLETIONS, completion(&decision().to_string()).after(delay));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_waits_is_told_once_in_their_language_before_the_outcome() {
    let app = app_that_tells("200ms").await;
    slow(&app, Duration::from_millis(1_500));
    for (language, sentence) in [("de-CH", "Einen Augenblick, bitte."), ("fr", "One moment, please.")] {
        let before = app.world.sink.requests().len();
        let mut body = web_chat();
        body["language"] = json!(language);
        let id = app.accepted(&body).await;
        let posted = app.world.sink.received(before + 2).await.split_off(before);
        let paths: Vec<_> = posted.iter().map(|posted| posted.uri.path()).collect();
        assert_eq!(paths, [NOTIFY, INJECT]);
        assert_eq!(posted[0].json()["text"], sentence);
        assert_eq!(proved(&posted[0]), json!({"status": "pending", "triggerId": id.to_string()}));
        assert_eq!(proved(&posted[1])["status"], "success");
    }
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_answered_in_time_is_told_nothing() {
    let app = app_that_tells("20s").await;
    app.accepted(&web_chat()).await;
    assert_eq!(app.world.sink.received(1).await[0].uri.path(), INJECT);
    let tries_nothing_more = app.stop().await;
    assert!(tries_nothing_more);
}

/// A word that takes its time is waited for, so that it is not shown after the outcome; one that fails is not repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_under_way_comes_before_the_outcome_and_one_that_failed_holds_up_nothing() {
    let app = app_that_tells("100ms").await;
    slow(&app, Duration::from_millis(300));
    app.world.sink.next(NOTIFY, Reply::status(200).after(Duration::from_millis(900))).next(NOTIFY, Reply::status(503));
    let began = std::time::Instant::now();
    app.accepted(&web_chat()).await;
    let posted = app.world.sink.received(2).await;
    assert_eq!(posted.iter().map(|posted| posted.uri.path()).collect::<Vec<_>>(), [NOTIFY, INJECT]);
    assert!(began.elapsed() >= Duration::from_millis(1_000), "the outcome waited for the word: {:?}", began.elapsed());
    app.accepted(&web_chat()).await;
    let posted = app.world.sink.received(4).await.split_off(2);
    assert_eq!(posted.iter().map(|posted| posted.uri.path()).collect::<Vec<_>>(), [NOTIFY, INJECT]);
    assert!(app.stop().await);
}

/// Whoever had the message before may have told its customer already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_whose_message_comes_back_from_a_worker_that_died_is_not_told_again() {
    let mut place = Place::embedded().await;
    place.world.sink.always(INJECT, Reply::status(200)).always(NOTIFY, Reply::status(200));
    place.world.llm.always(COMPLETIONS, completion(&decision().to_string()).after(Duration::from_millis(700)));
    let base = place.world.sink.url("");
    let changes = [settings("cognigy-inject", &base), SENTENCES.to_vec(), vec![(AFTER, "100ms")]].concat();
    place.environment.extend(changes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let shutdown = Shutdown::default();
    let ingress = run(&place.environment, Role::Ingress, shutdown.clone()).await;
    accepted(&client(), &ingress, &web_chat()).await;
    let mut consumer = ingress.queue.consumer(Lane::Work, NonZeroU16::MIN).await.unwrap();
    drop(consumer.next().await.unwrap().unwrap());
    consumer.stop().await;
    drop(consumer);
    let worker = run(&place.environment, Role::Worker, shutdown.clone()).await;
    place.world.sink.received(1).await;
    shutdown.drain.cancel();
    assert!(ingress.ended().await.unwrap() && worker.ended().await.unwrap());
    let posted = place.world.sink.requests();
    assert_eq!(posted.iter().map(|posted| posted.uri.path()).collect::<Vec<_>>(), [INJECT]);
}

/// One slot, held by another conversation: whoever waits behind it is pending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_message_is_superseded_without_a_model_call_when_its_customer_writes_again() {
    let one_slot = ("CFR__WORKER__SLOTS__WORK", "1");
    let app = app("cognigy-inject", &[one_slot, ("CFR__PROFILES__DEFAULT__SUPERSEDE", "true")]).await;
    slow(&app, Duration::from_millis(1_000));
    let of = |conversation: &str| {
        let mut body = web_chat();
        body["conversationId"] = json!(conversation);
        body
    };
    let other = app.accepted(&of("other")).await;
    app.world.llm.received(1).await;
    let (first, second) = (app.accepted(&of("one")).await, app.accepted(&of("one")).await);
    let posted = app.world.sink.received(3).await;
    let status = |id: TriggerId| {
        let outcomes = posted.iter().map(proved);
        let mine = outcomes.filter(|outcome| outcome["triggerId"] == id.to_string());
        mine.map(|outcome| outcome["status"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(status(other), [json!("success")]);
    assert_eq!(status(first), [json!("superseded")]);
    assert_eq!(status(second), [json!("success")]);
    assert_eq!(app.world.llm.requests_to(COMPLETIONS).len(), 2, "no model was asked for it");
    let superseded = posted.iter().map(proved).find(|outcome| outcome["status"] == "superseded").unwrap();
    assert_eq!(
        (&superseded["error"], &superseded["fallback_action"]),
        (&json!("newer_message"), &json!("route_to_human"))
    );
    assert!(app.stop().await);
}

/// A superseded outcome is not shown to the customer, who has written something else since.
#[tokio::test]
async fn a_superseded_message_is_not_answered_past_the_flow() {
    let stub = Stub::start().await;
    let metrics = std::sync::Arc::new(Metrics::new("test").unwrap());
    let config = Config { mode: Mode::CognigyNotify, ..config(stub.url("")) };
    let callback = callback::connect(&config, &metrics).unwrap().unwrap();
    let superseded = StoredOutcome { status: Status::Superseded, ..stored() };
    assert_eq!(callback.send(&superseded, NOW).await, Ok(()));
    assert!(stub.requests().is_empty());
}
