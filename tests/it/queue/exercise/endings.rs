//! How a delivery ends, and what becomes of its message.

use std::time::{Duration, Instant};

use cognigy_fallback_router::{
    message::{Disposition, Lane, Reason},
    queue::{Depths, Settled},
};

use super::{Backend, WIDE, ack, assert_same, consumer, dead::bury, depths, message, messages, next, nothing, publish};

pub(crate) async fn a_dropped_delivery_comes_back_as_it_was(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    for lane in Lane::ALL {
        let sent = message(7);
        publish(&queue, lane, std::slice::from_ref(&sent)).await;
        let mut consumer = consumer(&queue, lane, 4).await;
        for _ in 0..2 {
            drop(next(&mut consumer).await);
        }
        let delivery = next(&mut consumer).await;
        assert!((1..=2).contains(&delivery.returns), "{} returns", delivery.returns);
        assert_eq!(delivery.message.envelope, sent.envelope);
        assert_eq!(delivery.message.body, sent.body);
        ack(delivery).await;
        nothing(&mut consumer).await;
    }
    queue.close().await;
}

pub(crate) async fn a_retry_comes_back_with_one_more_attempt_and_not_too_early(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let after = Duration::from_secs(1);
    for lane in [Lane::Work, Lane::Outcome] {
        let sent = message(7);
        publish(&queue, lane, std::slice::from_ref(&sent)).await;
        let mut consumer = consumer(&queue, lane, 4).await;
        drop(next(&mut consumer).await);
        let delivery = next(&mut consumer).await;
        let settled_at = Instant::now();
        assert_eq!(delivery.settle(Disposition::Retry { after }).await, Ok(Settled::Done));
        let again = next(&mut consumer).await;
        let waited = settled_at.elapsed();
        assert!(waited >= after - Duration::from_millis(20), "came back after {waited:?}");
        assert_eq!(again.message.envelope.attempt, 2);
        assert_eq!(again.returns, 0, "returns count for one attempt");
        assert_same(&again.message, &sent);
        ack(again).await;
        nothing(&mut consumer).await;
    }
    queue.close().await;
}

pub(crate) async fn a_hand_over_moves_the_message_to_its_new_lane(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(1)).await;
    let mut work = consumer(&queue, Lane::Work, 4).await;
    let mut outcome = consumer(&queue, Lane::Outcome, 4).await;
    let delivery = next(&mut work).await;
    let became = message(2);
    assert_eq!(delivery.hand_over(Lane::Outcome, &became).await, Ok(Settled::Done));
    let delivery = next(&mut outcome).await;
    assert_same(&delivery.message, &became);
    ack(delivery).await;
    nothing(&mut work).await;
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

pub(crate) async fn a_dead_letter_is_seen_and_not_consumed(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = message(7);
    publish(&queue, Lane::Outcome, std::slice::from_ref(&sent)).await;
    let mut outcome = consumer(&queue, Lane::Outcome, 4).await;
    let dead_letter = Disposition::DeadLetter { reason: Reason::CallbackRejected };
    assert_eq!(next(&mut outcome).await.settle(dead_letter).await, Ok(Settled::Done));
    depths(&queue, Depths { dead: 1, ..Depths::default() }).await;
    let dead = queue.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason, Reason::CallbackRejected);
    assert_same(&dead[0].message, &sent);
    nothing(&mut outcome).await;
    queue.close().await;
}

pub(crate) async fn looking_at_dead_letters_loses_none(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    bury(&queue, 3).await;
    for _ in 0..50 {
        let (one, other) = tokio::join!(queue.dead_letters(10), queue.dead_letters(10));
        assert_eq!((one.unwrap().len(), other.unwrap().len()), (3, 3), "a look hides none from another");
        assert_eq!(queue.depths().await.unwrap().dead, 3, "nor from who takes them next");
    }
    queue.close().await;
}

pub(crate) async fn no_more_than_the_oldest_dead_letters_asked_for_are_shown(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = bury(&queue, 5).await;
    let shown = queue.dead_letters(2).await.unwrap();
    assert_eq!(shown.len(), 2);
    for (shown, sent) in shown.iter().zip(&sent) {
        assert_same(&shown.message, sent);
    }
    assert!(queue.dead_letters(0).await.unwrap().is_empty());
    queue.close().await;
}
