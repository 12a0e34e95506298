//! Settlements that do not reach the queue: what was done is not done again, and not paid for again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use cognigy_fallback_router::{
    app,
    config::{self, Role, Sources},
    message::{Disposition, Lane, Message},
    metrics::Metrics,
    queue::{Delivery, Queue, QueueError, Settled, Settlement, Settling},
    shutdown::Shutdown,
    trigger::TriggerId,
    worker::{self, Worker},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    operator::Place,
    support::{
        altered::Altered,
        app::{CALLBACK, World, accepted, client, run, signed, trigger},
        stub::Reply,
    },
};

/// Settlements of the outcome lane of which the queue takes no note: the deliveries come back.
struct Lapses {
    left: AtomicUsize,
    /// Whether it says that it failed, or that somebody else has the delivery.
    fails: bool,
    noted: AtomicUsize,
}

struct Forgotten {
    delivery: Delivery,
    lapses: Arc<Lapses>,
}

#[async_trait]
impl Settlement for Forgotten {
    async fn settle(self: Box<Self>, disposition: Disposition, message: &Message) -> Result<Settled, QueueError> {
        let Self { mut delivery, lapses } = *self;
        if lapses.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            drop(delivery);
            return if lapses.fails { Err(QueueError::Unknown("lost".into())) } else { Ok(Settled::WillReturn) };
        }
        delivery.message = message.clone();
        let settled = delivery.settle(disposition).await;
        lapses.noted.fetch_add(1, Ordering::SeqCst);
        settled
    }

    async fn hand_over(self: Box<Self>, lane: Lane, message: &Message) -> Result<Settling, QueueError> {
        self.delivery.store(lane, message).await
    }

    fn is_live(&self) -> bool {
        self.delivery.is_live()
    }
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let limit = std::time::Duration::from_secs(60);
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, looking).await.expect("a fact that comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_whose_settlement_was_lost_is_settled_when_it_comes_back_and_not_posted_again() {
    // What the receiver answers, and how the delivery ends by it: acknowledged, or a dead letter.
    for (answer, fails, dead) in [(200, false, 0), (200, true, 0), (410, false, 1), (410, true, 1)] {
        let (world, folder, shutdown) = (World::start().await, TempDir::new().unwrap(), Shutdown::default());
        world.sink.always(CALLBACK, Reply::status(answer));
        let mut environment = world.environment();
        environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
        let directory = folder.path().join("queue").to_str().unwrap().to_owned();
        environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".into(), directory);
        let ingress = run(&environment, Role::Ingress, shutdown.clone()).await;
        let config = config::load_unchecked(&Sources { file: None, environment }).unwrap();
        let metrics = Arc::new(Metrics::new("worker").unwrap());
        let lapses = Arc::new(Lapses { left: AtomicUsize::new(3), fails, noted: AtomicUsize::new(0) });
        let queue = app::connect(&config, &metrics).await.unwrap();
        let forgets = Arc::clone(&lapses);
        let queue: Arc<dyn Queue> = Arc::new(Altered::new(queue, Lane::Outcome, move |delivery| {
            Box::new(Forgotten { delivery, lapses: Arc::clone(&forgets) })
        }));
        let profiles = app::worker_profiles(&config, &metrics).unwrap();
        let worker = Arc::new(Worker::new(profiles, Arc::clone(&metrics)));
        let (working, stop) = (Arc::clone(&queue), shutdown.clone());
        let running = tokio::spawn(async move { worker::run(worker, working, &config.worker, stop).await });

        let id = accepted(&client(), &ingress, &trigger()).await;
        until(async || lapses.noted.load(Ordering::SeqCst) > 0).await;
        assert_eq!(lapses.left.load(Ordering::SeqCst), 0, "it came back three times");
        let posts = world.callbacks_of(id, 1).await;
        assert_eq!((posts.len(), world.sink.requests().len()), (1, 1), "answered {answer}");
        let waits = queue.depths().await.unwrap();
        assert_eq!((waits.outcome, waits.delayed, waits.dead), (0, 0, dead), "answered {answer}");
        assert_eq!(metrics.text().lines().filter(|line| ended_once(line)).count(), 1, "it is counted once");
        shutdown.drain.cancel();
        assert!(running.await.unwrap().unwrap() && ingress.ended().await.unwrap());
    }
}

fn ended_once(line: &str) -> bool {
    line.starts_with("cfr_callback_deliveries_total{") && line.ends_with(" 1")
}

/// Whoever can only ask, asks again when the ingress that knew the outcome is gone: it is told again, and not decided again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_a_restart_of_the_ingress_gets_the_outcome_that_was_decided() {
    let mut place = Place::broker().await;
    place.environment.insert("CFR__PROFILES__DEFAULT__CALLBACK__MODE".into(), "none".into());
    place.environment.remove("COGNIGY_CALLBACK_URL");
    place.environment.remove("COGNIGY_CALLBACK_SECRET");
    let (working, mut answers) = (Shutdown::default(), Vec::new());
    let worker = run(&place.environment, Role::Worker, working.clone()).await;
    for _ in 0..2 {
        let shutdown = Shutdown::default();
        let ingress = run(&place.environment, Role::Ingress, shutdown.clone()).await;
        let webhook = ingress.webhook.unwrap().to_string();
        // It hears of outcomes once it has answered with one.
        while held(&webhook, &TriggerId(uuid::Uuid::now_v7()).to_string(), 1).await.is_none() {}
        let calls = place.world.llm.requests().len();
        answers.push((held(&webhook, "the-same", 20).await, place.world.llm.requests().len() - calls));
        shutdown.drain.cancel();
        assert!(ingress.ended().await.unwrap());
    }
    let [(decided, 1), (again, 0)] = &answers[..] else { panic!("the model was asked otherwise: {answers:?}") };
    assert_eq!(decided.as_ref().unwrap()["status"], "success");
    assert_eq!(decided, again);
    working.drain.cancel();
    assert!(worker.ended().await.unwrap());
}

/// The outcome of a trigger with this key, if it comes within so many seconds.
async fn held(webhook: &str, key: &str, seconds: u32) -> Option<Value> {
    let request = signed(&client(), webhook, &trigger()).header("idempotency-key", key);
    let answer = request.header("prefer", format!("wait={seconds}")).send().await.unwrap();
    match answer.status().as_u16() {
        200 => Some(answer.json().await.unwrap()),
        202 => None,
        other => panic!("answered {other}"),
    }
}
