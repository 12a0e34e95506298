//! Times, which this backend keeps to the millisecond.

use std::time::{Duration, Instant};

use cognigy_fallback_router::{
    message::{Disposition, Lane, Reason},
    queue::{Depths, Settled},
};

use super::Embedded;
use crate::queue::exercise::{
    Backend, WIDE, ack, assert_same, consumer, depths, message, messages, next, nothing, now, publish,
};

#[tokio::test]
async fn expired_work_goes_to_the_late_lane_also_while_every_work_slot_is_taken() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(1)).await;
    let mut work = consumer(&queue, Lane::Work, 1).await;
    let _held = next(&mut work).await;
    let mut expiring = message(2);
    expiring.envelope.deadline = now().plus(Duration::from_millis(400));
    publish(&queue, Lane::Work, &[message(3), expiring.clone()]).await;
    let late = next(&mut consumer(&queue, Lane::Late, 1).await).await;
    assert_same(&late.message, &expiring);
    assert_eq!(late.message.envelope.reason, Some(Reason::Expired));
    assert_eq!(late.returns, 0);
    ack(late).await;
    depths(&queue, Depths { work: 1, ..Depths::default() }).await;
    queue.close().await;
}

#[tokio::test]
async fn expired_work_is_never_leased_as_work() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let mut sent = messages(300);
    for message in &mut sent {
        message.envelope.accepted_at = now().minus(Duration::from_secs(60));
        message.envelope.deadline = now();
    }
    publish(&queue, Lane::Work, &sent).await;
    let mut work = consumer(&queue, Lane::Work, 64).await;
    nothing(&mut work).await;
    depths(&queue, Depths { late: 300, ..Depths::default() }).await;
    queue.close().await;
}

#[tokio::test]
async fn a_short_retry_is_not_stretched_to_a_level() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    publish(&queue, Lane::Outcome, &messages(1)).await;
    let mut outcome = consumer(&queue, Lane::Outcome, 1).await;
    let after = Duration::from_millis(60);
    let delivery = next(&mut outcome).await;
    let settled_at = Instant::now();
    assert_eq!(delivery.settle(Disposition::Retry { after }).await, Ok(Settled::Done));
    ack(next(&mut outcome).await).await;
    assert!(settled_at.elapsed() >= after);
    queue.close().await;
}

#[tokio::test]
async fn a_message_with_a_time_is_not_delivered_before_it() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let (mut sent, mut later) = (message(1), message(2));
    let not_before = now().plus(Duration::from_millis(250));
    sent.envelope.not_before = Some(not_before);
    later.envelope.not_before = Some(now().plus(Duration::from_secs(3_600)));
    publish(&queue, Lane::Outcome, &[later, sent.clone()]).await;
    let mut outcome = consumer(&queue, Lane::Outcome, 1).await;
    let delivery = next(&mut outcome).await;
    assert!(now() >= not_before);
    assert_eq!(delivery.message.envelope, sent.envelope);
    ack(delivery).await;
    nothing(&mut outcome).await;
    depths(&queue, Depths { delayed: 1, ..Depths::default() }).await;
    queue.close().await;
}
