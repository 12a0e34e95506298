//! RabbitMQ, against a private node.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use bytes::Bytes;
use cognigy_fallback_router::{
    message::{Disposition, Envelope, Lane, Message},
    metrics::Metrics,
    queue::{Limits, Queue, rabbitmq},
    time::EpochMs,
    trigger::TriggerId,
};

use crate::support::broker;

fn limits() -> Limits {
    Limits { soft_limit: 10_000, reserve: Duration::from_secs(2) }
}

fn message(number: u32) -> Message {
    let accepted_at: EpochMs = std::time::SystemTime::now().into();
    let envelope = Envelope {
        version: 1,
        trigger_id: TriggerId(uuid::Uuid::now_v7()),
        profile: "default".into(),
        conversation_id: format!("c{number}"),
        user_id: "u".into(),
        session_id: None,
        language: None,
        accepted_at,
        deadline: accepted_at.plus(Duration::from_secs(30)),
        stored_at: None,
        attempt: 1,
        not_before: None,
        callback: None,
        reason: None,
        replay: 0,
        traceparent: None,
    };
    Message { envelope, body: Bytes::from(format!("{{\"n\":{number}}}")) }
}

#[tokio::test]
async fn smoke() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let queue: Arc<dyn Queue> = rabbitmq::connect(&vhost.config(), limits(), metrics).unwrap();
    queue.ready().await.unwrap();
    let publisher = queue.publisher();
    for number in 0..100 {
        publisher.publish(Lane::Work, &message(number)).await.unwrap();
    }
    assert_eq!(queue.depths().await.unwrap().work, 100);
    let mut consumer = queue.consumer(Lane::Work, NonZeroU16::new(10).unwrap()).await.unwrap();
    for _ in 0..100 {
        let delivery = consumer.next().await.unwrap().unwrap();
        delivery.settle(Disposition::Ack).await.unwrap();
    }
    consumer.stop().await;
    queue.close().await;
}
