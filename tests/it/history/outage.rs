//! A source that keeps failing: triggers do not wait for it.

use std::time::Duration;

use cognigy_fallback_router::{
    history::{HistoryError, Provider},
    metrics::labels::Upstream,
};
use serde_json::json;

use crate::support::{
    clock::forward,
    history::{Fetching, config, loopback, status, texts, trigger},
    stub::{Reply, Stub},
};

const ITEMS: &str = "/c/items";

async fn fetching() -> Fetching {
    let stub = Stub::start().await;
    let mut config = config(Provider::Http);
    config.http.url = Some(stub.url("/{conversationId}/items"));
    config.http.items = "/items".to_owned();
    config.http.text = vec!["/text".to_owned()];
    config.http.max_pages = 1;
    config.http.egress = loopback(&[]);
    Fetching::new(stub, &config)
}

fn open(f: &Fetching) -> bool {
    let counts = f.metrics.circuits.counts();
    counts.iter().any(|(upstream, states)| *upstream == Upstream::Cxone && states[1] == 1)
}

#[tokio::test]
async fn a_source_that_refuses_everybody_is_left_alone_until_a_probe_succeeds() {
    let f = fetching().await;
    f.stub.always(ITEMS, Reply::status(401));
    for _ in 0..3 {
        assert_eq!(f.fetch(&trigger("c")).await, Err(status(401)));
    }
    assert!(open(&f));
    for _ in 0..10 {
        assert_eq!(f.fetch(&trigger("c")).await, Err(HistoryError::HeldOff));
    }
    assert_eq!(f.asked(ITEMS).len(), 3);
    f.stub.always(ITEMS, Reply::json(&json!({"items": [{"text": "a"}]})));
    forward(61).await;
    assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["a"]);
    assert!(!open(&f));
    assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["a"]);
}

#[tokio::test]
async fn a_source_that_is_down_costs_a_trigger_nothing_after_five_failures_in_a_row() {
    let f = fetching().await;
    f.stub.always(ITEMS, Reply::status(500));
    for _ in 0..5 {
        assert_eq!(f.fetch_within(&trigger("c"), Duration::from_secs(5)).await, Err(status(500)));
    }
    let asked = f.asked(ITEMS).len();
    assert_eq!(f.fetch(&trigger("c")).await, Err(HistoryError::HeldOff));
    assert_eq!(f.asked(ITEMS).len(), asked);
    // What is known of nothing, or too late, is no failure of the source.
    let f = fetching().await;
    f.stub.always(ITEMS, Reply::status(404));
    for _ in 0..8 {
        assert_eq!(f.fetch(&trigger("c")).await, Err(status(404)));
    }
}
