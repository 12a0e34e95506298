//! A part that panics harms nobody but its own delivery.

use std::{collections::HashMap, num::NonZeroU16, sync::Arc, time::Duration};

use async_trait::async_trait;
use cognigy_fallback_router::{
    app::worker_profiles,
    callback::{Callback, CallbackError, StoredOutcome},
    config::{self, Role, Sources},
    conversation::Conversation,
    history::{HistoryError, HistoryProvider},
    message::{Envelope, Lane, Message},
    metrics::Metrics,
    queue::{Limits, Queue, embedded},
    shutdown::Shutdown,
    time::EpochMs,
    trigger::{Trigger, TriggerId},
    worker::{self, Config, Profile, Slots, Worker},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::app::{World, trigger};

/// A history that panics over one conversation.
struct Fragile;

#[async_trait]
impl HistoryProvider for Fragile {
    async fn fetch(&self, trigger: &Trigger, _until: Instant) -> Result<Conversation, HistoryError> {
        assert_ne!(trigger.body.conversation_id, "poison");
        Ok(Conversation::default())
    }
}

/// A callback that panics over one outcome, and sends the others.
struct FragileCallback(Arc<dyn Callback>);

#[async_trait]
impl Callback for FragileCallback {
    async fn send(&self, outcome: &StoredOutcome, now: EpochMs) -> Result<(), CallbackError> {
        assert!(!String::from_utf8_lossy(&outcome.body).contains("poisonous-outcome"));
        self.0.send(outcome, now).await
    }
}

struct Stage {
    world: World,
    queue: Arc<dyn Queue>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
    _directory: TempDir,
}

/// A worker on the embedded queue with a fragile history and a fragile callback.
async fn stage() -> Stage {
    let world = World::start().await;
    let directory = TempDir::new().unwrap();
    let metrics = Arc::new(Metrics::new("worker").unwrap());
    let limits = Limits { soft_limit: 1000, reserve: Duration::from_secs(2) };
    let place = embedded::Config { directory: directory.path().join("queue") };
    let queue = embedded::connect(&place, limits, Arc::clone(&metrics)).await.unwrap();
    let sources = Sources { file: None, environment: world.environment() };
    let config = config::load(&sources, Role::Worker).unwrap().config;
    let mut profiles: HashMap<String, Profile> = worker_profiles(&config, &metrics).unwrap();
    let profile = profiles.get_mut("default").unwrap();
    profile.callback_max_age = Duration::from_secs(3);
    profile.pipeline.history = Arc::new(Fragile);
    profile.callback = profile.callback.take().map(|callback| Arc::new(FragileCallback(callback)) as Arc<dyn Callback>);
    let slots = NonZeroU16::new(4).unwrap();
    let config = Config {
        slots: Slots { work: slots, late: slots, outcome: slots },
        reserve: limits.reserve,
        drain_timeout: Duration::from_secs(10),
    };
    let shutdown = Shutdown::default();
    let worker = Arc::new(Worker::new(profiles, Arc::clone(&metrics)));
    let (consumed, stop) = (Arc::clone(&queue), shutdown.clone());
    tokio::spawn(async move { worker::run(worker, consumed, &config, stop).await.unwrap() });
    Stage { world, queue, shutdown, metrics, _directory: directory }
}

impl Stage {
    async fn publish(&self, conversation: &str) -> TriggerId {
        let mut body = trigger();
        body["conversationId"] = json!(conversation);
        let now = EpochMs::from(std::time::SystemTime::now());
        let envelope = Envelope::first(
            TriggerId(uuid::Uuid::now_v7()),
            "default",
            conversation,
            "u",
            now,
            now.plus(Duration::from_secs(60)),
        );
        let id = envelope.trigger_id;
        let message = Message { envelope, body: body.to_string().into() };
        self.queue.publisher().publish(Lane::Work, &message).await.unwrap();
        id
    }
}

#[tokio::test]
async fn a_trigger_that_makes_its_handling_panic_ends_with_a_human_and_the_others_as_ever() {
    let stage = stage().await;
    let poison = stage.publish("poison").await;
    let mut others = Vec::new();
    for number in 0..10 {
        others.push(stage.publish(&format!("c-{number}")).await);
    }
    for id in others {
        assert_eq!(stage.world.callback_of(id).await.json()["status"], "success");
    }
    let outcome = stage.world.callback_of(poison).await.json();
    assert_eq!((&outcome["status"], &outcome["error"]), (&json!("internal_error"), &json!("attempts_exhausted")));
    assert_eq!(outcome["fallback_action"], "route_to_human");
    assert_eq!(stage.metrics.panics.get(Lane::Work).get(), 3, "tried three times");
    stage.shutdown.drain.cancel();
}

#[tokio::test]
async fn an_outcome_whose_posting_panics_does_not_hold_up_the_others_and_ends_in_the_dead_letters() {
    let stage = stage().await;
    let poison = stage.publish("poisonous-outcome").await;
    let other = stage.publish("c-1").await;
    assert_eq!(stage.world.callback_of(other).await.json()["status"], "success");
    let letter = loop {
        if let Some(letter) = stage.queue.dead_letters(10).await.unwrap().pop() {
            break letter;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((letter.message.envelope.trigger_id, letter.reason.as_str()), (poison, "callback_expired"));
    assert_eq!(stage.metrics.panics.get(Lane::Outcome).get(), 2, "tried again after a pause");
    stage.shutdown.drain.cancel();
}
