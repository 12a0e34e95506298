//! Where the queue says no, or takes a message out of its lane.

use std::{sync::Arc, time::Duration};

use super::{
    Backend, WIDE, ack, assert_same, consumer, depths, drain, message, messages, next, nothing, now, publish, until,
};
use cognigy_fallback_router::{
    message::{Disposition, Lane, Message, Reason},
    queue::{Consumer, Delivery, Depths, Limits, Queue, QueueError},
};

pub(crate) async fn unsettled_deliveries_never_exceed_the_slots(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    publish(&queue, Lane::Work, &messages(9)).await;
    let mut work = consumer(&queue, Lane::Work, 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut work).await);
    }
    nothing(&mut work).await;
    depths(&queue, Depths { work: 6, ..Depths::default() }).await;
    ack(held.remove(0)).await;
    held.push(next(&mut work).await);
    nothing(&mut work).await;
    for delivery in held {
        ack(delivery).await;
    }
    drain(&mut work, 5).await;
    nothing(&mut work).await;
    queue.close().await;
}

pub(crate) async fn work_that_always_comes_back_ends_in_the_late_lane(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = message(7);
    publish(&queue, Lane::Work, std::slice::from_ref(&sent)).await;
    let mut work = consumer(&queue, Lane::Work, 2).await;
    let mut late = consumer(&queue, Lane::Late, 2).await;
    let (deliveries, delivery) = drop_until(&mut work, next(&mut late)).await;
    within_limit(Lane::Work, deliveries);
    assert_same(&delivery.message, &sent);
    assert_eq!(delivery.message.envelope.reason, Some(Reason::Poison));
    ack(delivery).await;
    depths(&queue, Depths::default()).await;
    queue.close().await;
}

pub(crate) async fn late_messages_that_always_come_back_become_dead_letters(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let sent = message(7);
    publish(&queue, Lane::Late, std::slice::from_ref(&sent)).await;
    let mut late = consumer(&queue, Lane::Late, 2).await;
    let died = depths(&queue, Depths { dead: 1, ..Depths::default() });
    let (deliveries, ()) = drop_until(&mut late, died).await;
    within_limit(Lane::Late, deliveries);
    let dead = queue.dead_letters(1).await.unwrap();
    assert_eq!(dead[0].reason, Reason::Poison);
    assert_same(&dead[0].message, &sent);
    queue.close().await;
}

/// Drops every delivery until something happens; how many there were.
async fn drop_until<T>(consumer: &mut Box<dyn Consumer>, happened: impl Future<Output = T>) -> (u32, T) {
    tokio::pin!(happened);
    let mut deliveries = 0;
    loop {
        tokio::select! {
            delivery = next(consumer) => { drop(delivery); deliveries += 1; }
            value = &mut happened => return (deliveries, value),
        }
    }
}

/// The limit is that of returns, so one more delivery comes; a backend may count the first return late.
fn within_limit(lane: Lane, deliveries: u32) {
    let limit = lane.delivery_limit();
    assert!((limit..=limit + 2).contains(&deliveries), "{deliveries} deliveries with a limit of {limit} returns");
}

pub(crate) async fn expired_work_never_gets_lost(backend: &impl Backend) {
    let queue = backend.open(WIDE).await;
    let mut sent = message(7);
    // Accepted ten seconds ago, due in one: the reserve of two seconds has begun.
    let envelope = &mut sent.envelope;
    envelope.accepted_at = now().minus(Duration::from_secs(10));
    envelope.deadline = now().plus(Duration::from_secs(1));
    publish(&queue, Lane::Work, std::slice::from_ref(&sent)).await;
    let (mut work, mut late) = (consumer(&queue, Lane::Work, 2).await, consumer(&queue, Lane::Late, 2).await);
    // The backend may move it, or deliver it for the worker to check.
    let (lane, delivery) = first(&mut work, &mut late).await;
    assert_same(&delivery.message, &sent);
    if lane == Lane::Late {
        assert_eq!(delivery.message.envelope.reason, Some(Reason::Expired));
    }
    ack(delivery).await;
    nothing(&mut work).await;
    nothing(&mut late).await;
    queue.close().await;
}

async fn first(work: &mut Box<dyn Consumer>, late: &mut Box<dyn Consumer>) -> (Lane, Delivery) {
    tokio::select! {
        delivery = next(work) => (Lane::Work, delivery),
        delivery = next(late) => (Lane::Late, delivery),
    }
}

pub(crate) async fn new_triggers_are_refused_over_the_soft_limit_and_welcome_again_below_it(backend: &impl Backend) {
    let queue = backend.open(Limits { soft_limit: 5, ..WIDE }).await;
    let publisher = queue.publisher();
    admitted(&queue, true).await;
    publish(&queue, Lane::Outcome, &messages(20)).await;
    admitted(&queue, true).await;
    publish(&queue, Lane::Work, &messages(20)).await;
    admitted(&queue, false).await;
    let Err(QueueError::Refused { reason, retry_after }) = publisher.admit() else { panic!("admitted when full") };
    assert_eq!(reason, "full");
    let wait = retry_after.expect("a time for another try");
    assert!((Duration::from_secs(1)..=Duration::from_secs(30)).contains(&wait), "{wait:?}");
    let inside: Message = message(99);
    publisher.publish(Lane::Work, &inside).await.expect("work in progress is always welcome");
    let mut work = consumer(&queue, Lane::Work, 8).await;
    drain(&mut work, 21).await;
    admitted(&queue, true).await;
    let delivery = next(&mut consumer(&queue, Lane::Outcome, 1).await).await;
    assert_eq!(delivery.settle(Disposition::Ack).await, Ok(cognigy_fallback_router::queue::Settled::Done));
    queue.close().await;
}

/// Waits until the ingress would be told so.
async fn admitted(queue: &Arc<dyn Queue>, welcome: bool) {
    let publisher = queue.publisher();
    until(|| publisher.admit().is_ok() == welcome).await;
}
