//! Stopping, closing, and what is there afterwards.

use std::time::{Duration, Instant};

use cognigy_fallback_router::{
    message::{Disposition, Lane, Reason},
    queue::{Depths, QueueError, Settled},
};
use tokio::time::timeout;

use super::{
    Backend, PATIENCE, WIDE, ack, assert_same, consumer, depths, drain, message, messages, next, nothing, publish,
};

pub(crate) async fn stop_gives_back_what_was_prefetched_and_lets_the_rest_be_settled(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = messages(10);
    publish(&queue, Lane::Work, &sent).await;
    let mut stopped = consumer(&queue, Lane::Work, 10).await;
    let (first, second) = (next(&mut stopped).await, next(&mut stopped).await);
    stopped.stop().await;
    assert!(first.is_live());
    ack(first).await;
    let mut other = consumer(&queue, Lane::Work, 10).await;
    let seen = drain(&mut other, 8).await;
    assert!(sent[2..].iter().all(|message| seen[&message.envelope.trigger_id] == 1), "the other eight came");
    nothing(&mut other).await;
    ack(second).await;
    assert!(stopped.next().await.unwrap().is_none());
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

pub(crate) async fn depths_count_what_waits(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    depths(&queue, Depths::default()).await;
    publish(&queue, Lane::Work, &messages(4)).await;
    publish(&queue, Lane::Late, &messages(3)).await;
    publish(&queue, Lane::Outcome, &messages(2)).await;
    depths(&queue, Depths { work: 4, late: 3, outcome: 2, ..Depths::default() }).await;
    let mut work = consumer(&queue, Lane::Work, 1).await;
    let held = next(&mut work).await;
    depths(&queue, Depths { work: 3, late: 3, outcome: 2, ..Depths::default() }).await;
    let after = Duration::from_secs(30);
    assert_eq!(held.settle(Disposition::Retry { after }).await, Ok(Settled::Done));
    let held = next(&mut work).await;
    depths(&queue, Depths { work: 2, late: 3, outcome: 2, delayed: 1, ..Depths::default() }).await;
    let dead_letter = Disposition::DeadLetter { reason: Reason::Exhausted };
    assert_eq!(held.settle(dead_letter).await, Ok(Settled::Done));
    work.stop().await;
    depths(&queue, Depths { work: 2, late: 3, outcome: 2, delayed: 1, dead: 1 }).await;
    queue.close().await;
}

pub(crate) async fn after_close_next_says_none(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let (mut waiting, mut late) = (consumer(&queue, Lane::Work, 4).await, consumer(&queue, Lane::Late, 4).await);
    let (ended, ()) = tokio::join!(timeout(PATIENCE, waiting.next()), queue.close());
    assert!(ended.expect("close ends a waiting next").unwrap().is_none());
    assert!(waiting.next().await.unwrap().is_none());
    assert!(late.next().await.unwrap().is_none());
    assert!(!queue.is_connected());
}

pub(crate) async fn closing_gives_back_what_was_not_settled(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(6)).await;
    let mut work = consumer(&queue, Lane::Work, 4).await;
    let held = next(&mut work).await;
    queue.close().await;
    assert!(!held.is_live());
    let settled = held.settle(Disposition::Ack).await;
    assert_ne!(settled, Ok(Settled::Done), "the queue was closed");
    let again = backend.open(WIDE).await;
    let mut work = consumer(&again, Lane::Work, 8).await;
    assert_eq!(drain(&mut work, 6).await.len(), 6);
    again.close().await;
}

pub(crate) async fn every_lane_survives_a_restart(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = messages(6);
    for (lane, pair) in Lane::ALL.into_iter().zip(sent.chunks(2)) {
        publish(&queue, lane, pair).await;
    }
    let mut outcome = consumer(&queue, Lane::Outcome, 1).await;
    let dead_letter = Disposition::DeadLetter { reason: Reason::CallbackUnknown };
    assert_eq!(next(&mut outcome).await.settle(dead_letter).await, Ok(Settled::Done));
    queue.close().await;

    let queue = backend.open(WIDE).await;
    depths(&queue, Depths { work: 2, late: 2, outcome: 1, dead: 1, ..Depths::default() }).await;
    for (lane, pair) in Lane::ALL.into_iter().zip(sent.chunks(2)) {
        let mut consumer = consumer(&queue, lane, 4).await;
        let left = if lane == Lane::Outcome { &pair[1..] } else { pair };
        for sent in left {
            let delivery = next(&mut consumer).await;
            assert_same(&delivery.message, sent);
            ack(delivery).await;
        }
    }
    let dead = queue.dead_letters(10).await.unwrap();
    assert_eq!(dead[0].reason, Reason::CallbackUnknown);
    assert_same(&dead[0].message, &sent[4]);
    queue.close().await;
}

pub(crate) async fn a_delayed_message_survives_a_restart(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    publish(&queue, Lane::Outcome, &messages(1)).await;
    let after = Duration::from_secs(1);
    let delivery = next(&mut consumer(&queue, Lane::Outcome, 1).await).await;
    let settled_at = Instant::now();
    assert_eq!(delivery.settle(Disposition::Retry { after }).await, Ok(Settled::Done));
    queue.close().await;
    let queue = backend.open(WIDE).await;
    let delivery = next(&mut consumer(&queue, Lane::Outcome, 1).await).await;
    assert!(settled_at.elapsed() >= after - Duration::from_millis(20));
    assert_eq!(delivery.message.envelope.attempt, 2);
    ack(delivery).await;
    queue.close().await;
}

pub(crate) async fn a_closed_queue_takes_no_messages(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let publisher = queue.publisher();
    queue.close().await;
    assert!(publisher.admit().is_err());
    let published = timeout(PATIENCE, publisher.publish(Lane::Work, &message(1))).await.expect("an answer");
    assert!(matches!(published, Err(QueueError::Unreachable(_) | QueueError::Refused { .. })), "{published:?}");
}
