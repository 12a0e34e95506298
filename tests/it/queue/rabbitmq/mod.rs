//! RabbitMQ, against a private node.

mod faults;
mod flow;
mod late_answers;
mod privileges;
mod suspects;
mod tls;
mod topology;
mod unanswered;
mod wire;

use std::{
    collections::BTreeSet,
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cognigy_fallback_router::{
    message::{Disposition, Envelope, Lane, Message},
    metrics::Metrics,
    queue::{
        Consumer, Delivery, Limits, Queue, QueueError,
        notice::{Notice, NoticeReader, Topic},
        rabbitmq,
    },
    time::EpochMs,
    trigger::TriggerId,
};
use lapin::{Connection, ConnectionProperties};
use tokio::task::JoinSet;

use super::exercise::{self, Backend};
use crate::support::broker::{self, Vhost};

/// A virtual host of the shared node, for what every backend does.
struct Rabbit {
    _node: broker::Shared,
    vhost: Vhost,
}

impl Backend for Rabbit {
    async fn start() -> Self {
        let node = broker::shared().await;
        let vhost = node.vhost().await;
        Self { _node: node, vhost }
    }

    async fn open(&self, limits: Limits) -> Arc<dyn Queue> {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let queue = rabbitmq::connect(&self.vhost.config(), limits, metrics).unwrap();
        queue.ready().await.unwrap();
        queue
    }
}

exercise::conformance!(Rabbit);

/// A queue that is connected, with its metrics.
struct Rig {
    queue: Arc<dyn Queue>,
    metrics: Arc<Metrics>,
}

fn open(config: &rabbitmq::Config) -> Rig {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let limits = Limits { soft_limit: 50, reserve: Duration::from_secs(2) };
    let queue = rabbitmq::connect(config, limits, Arc::clone(&metrics)).unwrap();
    Rig { queue, metrics }
}

async fn ready(vhost: &Vhost) -> Rig {
    let rig = open(&vhost.config());
    rig.queue.ready().await.unwrap();
    rig
}

impl Rig {
    async fn publish(&self, lane: Lane, message: &Message) -> Result<(), QueueError> {
        self.queue.publisher().publish(lane, message).await
    }

    async fn consumer(&self, lane: Lane, slots: u16) -> Box<dyn Consumer> {
        self.queue.consumer(lane, NonZeroU16::new(slots).unwrap()).await.unwrap()
    }
}

fn now() -> EpochMs {
    SystemTime::now().into()
}

fn message() -> Message {
    let accepted_at = now();
    let envelope = Envelope::first(
        TriggerId(uuid::Uuid::now_v7()),
        "default",
        "c",
        "u",
        accepted_at,
        accepted_at.plus(Duration::from_secs(300)),
    );
    Message { envelope, body: Bytes::from_static(b"{}") }
}

fn id(message: &Message) -> TriggerId {
    message.envelope.trigger_id
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within(consumer.next()).await.unwrap().expect("a delivery")
}

/// Takes and acknowledges until every one of `expected` was there; returns all ids seen.
async fn take_all(consumer: &mut Box<dyn Consumer>, expected: &BTreeSet<TriggerId>) -> BTreeSet<TriggerId> {
    let (mut seen, mut settling) = (BTreeSet::new(), JoinSet::new());
    while !expected.is_subset(&seen) {
        tokio::select! {
            delivery = next(consumer) => {
                let id = id(&delivery.message);
                settling.spawn(async move { delivery.settle(Disposition::Ack).await.is_ok().then_some(id) });
            }
            Some(settled) = settling.join_next() => seen.extend(settled.unwrap()),
        }
    }
    seen
}

/// Guards a test that waits for something that never comes.
async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), wait).await.expect("it never came")
}

/// Looks until it is so.
async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    within(async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Tells notices until the listener hears one.
async fn tell_until_heard(teller: &Rig, listener: &mut NoticeReader, topic: Topic) {
    let notices = teller.queue.notices();
    within(async {
        loop {
            notices.publish(Notice { topic, body: Bytes::from_static(b"{}") });
            if let Ok(heard) = tokio::time::timeout(Duration::from_millis(50), listener.next()).await {
                return assert_eq!(heard.unwrap().topic, topic);
            }
        }
    })
    .await;
}

/// A channel beside the program's own, to put things there that it never would.
async fn raw_channel(vhost: &Vhost) -> (Connection, lapin::Channel) {
    let connection = Connection::connect(&vhost.url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}
