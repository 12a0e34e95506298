//! In at one end, out at the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use cognigy_fallback_router::{
    message::{Lane, Message},
    queue::{Depths, Queue},
    trigger::TriggerId,
};
use tokio::time::timeout;

use super::{
    Backend, PATIENCE, WIDE, ack, assert_same, consumer, depths, drain, message, messages, next, nothing, publish,
};

pub(crate) async fn what_is_published_is_delivered_and_gone_after_the_ack(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    queue.ready().await.unwrap();
    assert!(queue.is_connected());
    let sent = message(1);
    publish(&queue, Lane::Work, std::slice::from_ref(&sent)).await;
    let mut work = consumer(&queue, Lane::Work, 4).await;
    let delivery = next(&mut work).await;
    assert_eq!(delivery.returns, 0);
    assert!(delivery.is_live());
    assert_same(&delivery.message, &sent);
    ack(delivery).await;
    nothing(&mut work).await;
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

pub(crate) async fn every_field_and_byte_comes_back_in_order(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let mut sent = messages(50);
    for message in sent.iter_mut().step_by(2) {
        let envelope = &mut message.envelope;
        (envelope.session_id, envelope.language, envelope.stored_at) = (None, None, None);
        (envelope.callback, envelope.traceparent) = (None, None);
        envelope.replay = 2;
        envelope.attempt = 3;
    }
    publish(&queue, Lane::Outcome, &sent).await;
    let mut outcome = consumer(&queue, Lane::Outcome, 64).await;
    for sent in &sent {
        let delivery = next(&mut outcome).await;
        assert_eq!(delivery.message.envelope, sent.envelope);
        assert_eq!(delivery.message.body, sent.body);
        ack(delivery).await;
    }
    queue.close().await;
}

pub(crate) async fn an_empty_body_and_one_of_64_kib_pass(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(64 * 1024).collect();
    let sent = [Message { body: every_byte.into(), ..message(1) }, Message { body: "".into(), ..message(2) }];
    publish(&queue, Lane::Work, &sent).await;
    let mut work = consumer(&queue, Lane::Work, 1).await;
    for sent in &sent {
        let delivery = next(&mut work).await;
        assert_same(&delivery.message, sent);
        ack(delivery).await;
    }
    queue.close().await;
}

pub(crate) async fn lanes_do_not_mix(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = messages(3);
    for (lane, message) in Lane::ALL.into_iter().zip(&sent) {
        publish(&queue, lane, std::slice::from_ref(message)).await;
    }
    for (lane, message) in Lane::ALL.into_iter().zip(&sent).rev() {
        let mut consumer = consumer(&queue, lane, 4).await;
        let delivery = next(&mut consumer).await;
        assert_same(&delivery.message, message);
        ack(delivery).await;
        nothing(&mut consumer).await;
    }
    queue.close().await;
}

pub(crate) async fn a_waiting_consumer_gets_what_is_published_later(backend: &impl Backend) {
    let (queue, other) = (backend.open(WIDE).await, backend.open(WIDE).await);
    let mut work = consumer(&queue, Lane::Work, 4).await;
    nothing(&mut work).await;
    for (number, from) in [&queue, &other].into_iter().enumerate() {
        let sent = message(u32::try_from(number).unwrap());
        let (delivery, ()) = tokio::join!(next(&mut work), publish(from, Lane::Work, std::slice::from_ref(&sent)));
        assert_same(&delivery.message, &sent);
        ack(delivery).await;
    }
    other.close().await;
    queue.close().await;
}

pub(crate) async fn a_dropped_next_loses_nothing(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = messages(40);
    publish(&queue, Lane::Work, &sent).await;
    let mut work = consumer(&queue, Lane::Work, 3).await;
    let mut seen = HashMap::new();
    let collect = async {
        while seen.len() < sent.len() {
            // Every other future is dropped after a poll or two, at another point each time.
            if let Ok(delivery) = timeout(Duration::from_micros(200), work.next()).await {
                let delivery = delivery.unwrap().unwrap();
                *seen.entry(delivery.message.envelope.trigger_id).or_insert(0) += 1;
                ack(delivery).await;
            }
        }
    };
    timeout(PATIENCE, collect).await.expect("all of them");
    assert!(seen.values().all(|count| *count == 1));
    nothing(&mut work).await;
    queue.close().await;
}

pub(crate) async fn two_consumers_share_a_lane_without_doubles(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    share(&queue, &queue).await;
    queue.close().await;
}

pub(crate) async fn two_connections_share_a_lane_without_doubles(backend: &impl Backend) {
    let (queue, other) = (backend.open(WIDE).await, backend.open(WIDE).await);
    share(&queue, &other).await;
    other.close().await;
    queue.close().await;
}

async fn share(one: &Arc<dyn Queue>, other: &Arc<dyn Queue>) {
    let sent = messages(60);
    let (mut left, mut right) = (consumer(one, Lane::Work, 2).await, consumer(other, Lane::Work, 2).await);
    publish(one, Lane::Work, &sent).await;
    let seen = Mutex::new(HashMap::<TriggerId, u32>::new());
    let take = async |consumer: &mut _| {
        while seen.lock().unwrap().values().sum::<u32>() < 60 {
            let Ok(delivery) = timeout(Duration::from_secs(1), next(consumer)).await else { continue };
            *seen.lock().unwrap().entry(delivery.message.envelope.trigger_id).or_default() += 1;
            ack(delivery).await;
        }
    };
    timeout(PATIENCE, async { tokio::join!(take(&mut left), take(&mut right)) }).await.expect("all of them");
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 60);
    assert!(seen.values().all(|count| *count == 1));
}

pub(crate) async fn two_thousand_messages_from_64_publishers_arrive_once_each(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = Arc::new(messages(2_000));
    let publishers: Vec<_> = (0..64)
        .map(|caller| {
            let (publisher, sent) = (queue.publisher(), Arc::clone(&sent));
            tokio::spawn(async move {
                for message in sent.iter().skip(caller).step_by(64) {
                    publisher.publish(Lane::Work, message).await.unwrap();
                }
            })
        })
        .collect();
    let mut work = consumer(&queue, Lane::Work, 64).await;
    let seen = drain(&mut work, 2_000).await;
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert_eq!(seen.len(), 2_000);
    assert!(sent.iter().all(|message| seen[&message.envelope.trigger_id] == 1));
    nothing(&mut work).await;
    queue.close().await;
}
