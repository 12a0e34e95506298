//! The console as `cfr console` runs it: in a process of its own, over RabbitMQ, beside an ingress and a worker.

use std::time::Instant;

use cognigy_fallback_router::{
    app::{self, Running},
    config::{self, Role, Sources},
    shutdown::Shutdown,
    trigger::TriggerId,
};
use tokio::task::JoinHandle;

use super::{PATIENCE, Visitor, until, until_it};
use crate::{
    operator::Place,
    support::{
        app::{CALLBACK, accepted, client, run, trigger},
        stub::Reply,
    },
};

/// Serves the page as the command does; a visitor of it.
async fn console(place: &Place, shutdown: &Shutdown) -> (Visitor, JoinHandle<()>) {
    let queue = place.queue().await;
    let sources = Sources { file: None, environment: place.environment.clone() };
    let config = config::load(&sources, Role::Console).unwrap().config;
    let page = app::show(&config, &queue, shutdown.drain.clone()).unwrap();
    let (address, serving) = app::serve_console(&config, page, shutdown.clone()).await.unwrap();
    let serving = tokio::spawn(async move {
        serving.await;
        queue.close().await;
    });
    (Visitor::at(address.to_string()).await, serving)
}

/// Triggers that end in the dead letters, and who they are.
async fn dead(place: &Place, ingress: &Running, visitor: &Visitor, count: usize) -> Vec<TriggerId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        place.world.sink.next(CALLBACK, Reply::status(410));
        ids.push(accepted(&client(), ingress, &trigger()).await);
    }
    for id in &ids {
        until(visitor, "/console/dead-letters", &id.to_string()).await;
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_and_replays_what_is_in_a_broker_beside_services_of_their_own() {
    let mut place = Place::broker().await;
    for (name, value) in [("CFR__CONSOLE__WRITE", "true"), ("CFR__CONSOLE__STORIES", "true")] {
        place.environment.insert(name.to_owned(), value.to_owned());
    }
    let shutdown = Shutdown::default();
    let ingress = run(&place.environment, Role::Ingress, shutdown.clone()).await;
    let worker = run(&place.environment, Role::Worker, shutdown.clone()).await;
    ingress.queue.ready().await.unwrap();
    let (visitor, serving) = console(&place, &shutdown).await;

    let now = until(&visitor, "/console", "1 alive").await;
    assert!(now.contains("Dead letters") && now.contains("0/64"), "{now}");
    // It hears stories from a moment after its start on.
    let began = Instant::now();
    let told = loop {
        assert!(began.elapsed() < PATIENCE, "no story is heard");
        let id = accepted(&client(), &ingress, &trigger()).await;
        place.world.callback_of(id).await;
        if visitor.get("/console/outcomes").await.shown().contains(&id.to_string()) {
            break id;
        }
    };
    let story = until(&visitor, &format!("/console/outcomes/{told}"), "delivered").await;
    assert!(!story.contains("my link expired"), "masked until it is revealed");

    let ids = dead(&place, &ingress, &visitor, 3).await;
    let chosen = ids[1].to_string();
    let masked = visitor.get(&format!("/console/dead-letters/{chosen}")).await.shown();
    assert!(masked.contains("&lt;masked:") && masked.contains("callback_rejected"), "{masked}");
    let one = [("id", &*chosen), ("rate", "1000")];
    let counted = visitor.post("/console/dead-letters/check", &one).await.shown();
    assert!(counted.contains("Replay 1?"), "{counted}");
    let confirmed: Vec<_> = one.into_iter().chain([("expected", "1")]).collect();
    assert_eq!(visitor.post("/console/dead-letters/replay", &confirmed).await.status, 303);
    until(&visitor, "/console/dead-letters", "1 replayed").await;
    // Refused the first time, taken the second time; the others wait where they were.
    assert_eq!(place.world.callbacks_of(ids[1], 2).await.len(), 2);
    let two = |page: &str| page.matches("name=\"id\"").count() == 2;
    let left = until_it(&visitor, "/console/dead-letters", two).await;
    assert!(!left.contains(&chosen) && left.contains(&ids[0].to_string()) && left.contains(&ids[2].to_string()));

    shutdown.drain.cancel();
    serving.await.unwrap();
    for running in [ingress, worker] {
        assert!(running.ended().await.unwrap());
    }
}
