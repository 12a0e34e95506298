//! The slots of the work lane: triggers are decided in them, nothing else, and who waits for one is answered in time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cognigy_fallback_router::{
    app,
    config::{self, Role, Sources},
    message::{Disposition, Lane, Message},
    metrics::Metrics,
    queue::{Delivery, Queue, QueueError, Settled, Settlement, Settling},
    shutdown::Shutdown,
    worker::{self, Worker},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::support::{
    altered::Altered,
    app::{COMPLETIONS, TestApp, World, accepted, client, run, trigger},
    stub::Reply,
};

/// With so many slots a worker takes one trigger more.
const SLOTS: usize = 4;

fn slots() -> (&'static str, String) {
    ("CFR__WORKER__SLOTS__WORK", SLOTS.to_string())
}

/// A delivery whose outcome is stored once it is let.
struct Held {
    delivery: Delivery,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Settlement for Held {
    async fn settle(self: Box<Self>, disposition: Disposition, _: &Message) -> Result<Settled, QueueError> {
        self.delivery.settle(disposition).await
    }

    async fn hand_over(self: Box<Self>, lane: Lane, message: &Message) -> Result<Settling, QueueError> {
        self.gate.acquire().await.unwrap().forget();
        self.delivery.store(lane, message).await
    }

    fn is_live(&self) -> bool {
        self.delivery.is_live()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_outcomes_are_stored_the_next_trigger_is_decided() {
    let (world, folder, shutdown) = (World::start().await, TempDir::new().unwrap(), Shutdown::default());
    let mut environment = world.environment();
    let directory = folder.path().join("queue").to_str().unwrap().to_owned();
    environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
    environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".into(), directory);
    environment.insert(slots().0.into(), slots().1);
    let ingress = run(&environment, Role::Ingress, shutdown.clone()).await;
    let config = config::load_unchecked(&Sources { file: None, environment }).unwrap();
    let metrics = Arc::new(Metrics::new("worker").unwrap());
    let gate = Arc::new(Semaphore::new(0));
    let (queue, held) = (app::connect(&config, &metrics).await.unwrap(), Arc::clone(&gate));
    let queue: Arc<dyn Queue> =
        Arc::new(Altered::new(queue, Lane::Work, move |delivery| Box::new(Held { delivery, gate: Arc::clone(&held) })));
    let worker = Arc::new(Worker::new(app::worker_profiles(&config, &metrics).unwrap(), Arc::clone(&metrics)));
    let (working, stop) = (Arc::clone(&queue), shutdown.clone());
    let running = tokio::spawn(async move { worker::run(worker, working, &config.worker, stop).await });

    let mut ids = Vec::new();
    for _ in 0..=SLOTS + 1 {
        ids.push(accepted(&client(), &ingress, &trigger()).await);
    }
    world.llm.received(SLOTS + 1).await;
    assert_eq!(world.llm.requests().len(), SLOTS + 1, "no more than one beyond the slots is taken");
    gate.add_permits(ids.len());
    for id in ids {
        assert_eq!(world.callback_of(id).await.json()["status"], "success");
    }
    shutdown.drain.cancel();
    assert!(running.await.unwrap().unwrap() && ingress.ended().await.unwrap());
}

/// An application whose slots are all in use until its model, which is asked once more for it, says something.
async fn busy(changes: &[(&str, &str)]) -> TestApp {
    let world = World::start().await;
    world.llm.always(COMPLETIONS, Reply::hang());
    let slots = slots();
    let app = TestApp::start_in(world, &[&[(slots.0, slots.1.as_str())], changes].concat()).await;
    for _ in 0..SLOTS {
        app.accepted(&trigger()).await;
    }
    app.world.llm.received(SLOTS).await;
    app
}

#[tokio::test]
async fn who_gets_no_slot_in_time_is_answered_in_time_and_no_model_is_asked() {
    let app = busy(&[("CFR__WORKER__DRAIN_TIMEOUT", "10ms")]).await;
    let mut body = trigger();
    body["deadlineMs"] = json!(1_000);
    let id = app.accepted(&body).await;
    let outcome = app.world.callback_of(id).await.json();
    assert_eq!((&outcome["status"], &outcome["error"]), (&json!("expired"), &json!("deadline_passed")));
    assert_eq!(outcome["meta"].get("late"), None, "it would say so if it were");
    assert_eq!(app.world.llm.requests().len(), SLOTS);
}

#[tokio::test]
async fn at_a_stop_what_waits_for_a_slot_goes_back_at_once() {
    let app = busy(&[]).await;
    app.accepted(&trigger()).await;
    let queue = Arc::clone(app.queue());
    let waits = async |count| {
        while queue.depths().await.unwrap().work != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    waits(0).await;
    app.shutdown.drain.cancel();
    waits(1).await;
    assert_eq!(app.world.llm.requests().len(), SLOTS, "those in the slots are still being decided");
}
