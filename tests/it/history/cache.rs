//! The cache of conversations, over the wire.

use std::time::Duration;

use cognigy_fallback_router::history::{CacheConfig, Config, Provider};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    clock::forward,
    history::{Fetching, TIMEOUT, config, loopback, status, texts, trigger},
    stub::{Reply, Stub},
};

const ITEMS: &str = "/c/items";

async fn cached(change: impl FnOnce(&mut Config)) -> Fetching {
    let stub = Stub::start().await;
    let mut config = config(Provider::Http);
    config.cache = CacheConfig { ttl: Duration::from_secs(5), max_conversations: 10, max_bytes: 10_000 };
    config.http.url = Some(stub.url("/{conversationId}/items"));
    config.http.items = "/items".to_owned();
    config.http.text = vec!["/text".to_owned()];
    config.http.next = "/next".to_owned();
    config.http.next_parameter = Some("page".to_owned());
    config.http.max_pages = 4;
    config.http.egress = loopback(&[]);
    change(&mut config);
    Fetching::new(stub, &config)
}

fn page(text: &str) -> Reply {
    Reply::json(&json!({"items": [{"text": text}]}))
}

fn hits(f: &Fetching) -> u64 {
    f.metrics.history_cache_hits.get()
}

#[tokio::test]
async fn a_conversation_is_asked_for_once_in_its_time() {
    let f = cached(|_| {}).await;
    f.stub.next(ITEMS, page("first")).next(ITEMS, page("second")).always("/d/items", page("another"));
    for _ in 0..3 {
        assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["first"]);
    }
    assert_eq!(texts(&f.fetch(&trigger("d")).await.unwrap()), ["another"]);
    forward(6).await;
    assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["second"]);
    assert_eq!(f.asked(ITEMS).len(), 2);
    assert_eq!(hits(&f), 2);
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_request() {
    let f = cached(|_| {}).await;
    f.stub.next(ITEMS, page("shared").after(Duration::from_millis(50)));
    let trigger = trigger("c");
    for got in join_all((0..50).map(|_| f.fetch(&trigger))).await {
        assert_eq!(texts(&got.unwrap()), ["shared"]);
    }
    assert_eq!(f.stub.requests().len(), 1);
    assert_eq!(hits(&f), 49);
}

#[tokio::test]
async fn a_fetch_outlives_the_trigger_that_wanted_it_first() {
    let f = cached(|_| {}).await;
    f.stub.next(ITEMS, page("late").after(Duration::from_millis(100)));
    assert_eq!(f.fetch_within(&trigger("c"), Duration::from_millis(1)).await, Err(TIMEOUT));
    assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["late"]);
    assert_eq!(f.stub.requests().len(), 1);
}

#[tokio::test]
async fn failures_and_parts_are_told_to_those_who_wait_and_then_forgotten() {
    let f = cached(|_| {}).await;
    f.stub.next(ITEMS, Reply::status(404).after(Duration::from_millis(50)));
    let trigger = trigger("c");
    for got in join_all((0..5).map(|_| f.fetch(&trigger))).await {
        assert_eq!(got, Err(status(404)));
    }
    let part = json!({"items": [{"text": "a part"}], "next": 2});
    f.stub.next(ITEMS, Reply::json(&part)).next(ITEMS, Reply::status(404)).next(ITEMS, page("whole"));
    assert!(f.fetch(&trigger).await.unwrap().partial);
    assert_eq!(texts(&f.fetch(&trigger).await.unwrap()), ["whole"]);
    assert_eq!(f.asked(ITEMS).len(), 4);
}

#[tokio::test]
async fn there_is_no_cache_where_a_bound_is_zero() {
    type Change = fn(&mut CacheConfig);
    let changes: [Change; 3] =
        [|cache| cache.ttl = Duration::ZERO, |cache| cache.max_conversations = 0, |cache| cache.max_bytes = 0];
    for change in changes {
        let f = cached(|config| change(&mut config.cache)).await;
        f.stub.always(ITEMS, page("a"));
        for _ in 0..2 {
            f.fetch(&trigger("c")).await.unwrap();
        }
        assert_eq!(f.asked(ITEMS).len(), 2);
        assert_eq!(hits(&f), 0);
    }
}
