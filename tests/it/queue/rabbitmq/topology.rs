//! A topology that is not as it was left: healed, or told clearly; never an accepted message lost.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cognigy_fallback_router::{
    dead_letters::{self, Filter, Operator, Order, Progress},
    message::{Disposition, Lane, Reason},
    queue::{Consumer, QueueError, Settled, notice::Topic},
    trigger::TriggerId,
};
use lapin::{options::QueueDeclareOptions, types::FieldTable};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Rig, id, message, next, now, open, raw_channel, ready, tell_until_heard, until, within};
use crate::support::broker;

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_and_makes_the_queue_unusable() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let (connection, channel) = raw_channel(&vhost).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    channel.queue_declare("fr.late".into(), QueueDeclareOptions::durable(), arguments).await.unwrap();

    let rig = open(&vhost.config());
    let Err(QueueError::Unusable(why)) = within(rig.queue.ready()).await else { panic!("it must not be ready") };
    assert!(why.contains("fr.late") && why.contains("x-d"), "{why}");
    assert!(!why.contains("guest"), "{why}");
    assert!(matches!(rig.publish(Lane::Work, &message()).await, Err(QueueError::Unreachable(_))));
    let mut consumer = rig.consumer(Lane::Late, 1).await;
    assert!(matches!(within(consumer.next()).await, Err(QueueError::Unusable(_))));

    channel.queue_delete("fr.late".into(), Default::default()).await.unwrap();
    until(async || rig.queue.ready().await.is_ok()).await;
    rig.publish(Lane::Late, &message()).await.unwrap();
    // An error from before may still be waiting to be told.
    while within(consumer.next()).await.is_err() {}
    connection.close(200, "bye".into()).await.unwrap();
}

async fn depth(rig: &Rig) -> u64 {
    rig.queue.depths().await.map(|depths| depths.work).unwrap_or_default()
}

#[tokio::test]
async fn without_the_right_to_declare_a_missing_queue_is_named() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let mut config = vhost.config();
    config.declare = false;
    let rig = open(&config);
    let Err(QueueError::Unusable(why)) = within(rig.queue.ready()).await else { panic!("it must not be ready") };
    assert!(why.contains("fr."), "{why}");
    ready(&vhost).await;
    until(async || rig.queue.ready().await.is_ok()).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_and_its_consumer_goes_on() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let mut consumer = rig.consumer(Lane::Work, 1).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    next(&mut consumer).await.settle(Disposition::Ack).await.unwrap();

    let (connection, channel) = raw_channel(&vhost).await;
    channel.queue_delete("fr.work".into(), Default::default()).await.unwrap();
    // Meanwhile, what is published goes to `fr.unrouted`: until queue and binding are there again.
    until(async || rig.publish(Lane::Work, &message()).await.is_ok() && depth(&rig).await > 0).await;
    next(&mut consumer).await.settle(Disposition::Ack).await.unwrap();
    connection.close(200, "bye".into()).await.unwrap();
}

/// Collects the ids of what it is handed.
fn collecting(mut consumer: Box<dyn Consumer>, seen: &Arc<Mutex<BTreeSet<TriggerId>>>) -> JoinHandle<()> {
    let seen = Arc::clone(seen);
    tokio::spawn(async move {
        while let Some(delivery) = consumer.next().await.unwrap() {
            seen.lock().unwrap().insert(id(&delivery.message));
            delivery.settle(Disposition::Ack).await.unwrap();
        }
    })
}

/// A broker that consumes by itself for a channel that has not heard yet that its queue was deleted, and declared again by
/// somebody else, drops what comes. (Of four times, RabbitMQ 3.10.8 did so at least once.)
#[tokio::test]
async fn queues_deleted_under_the_consumers_of_two_workers_deliver_again_within_seconds() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let (rig, other) = (ready(&vhost).await, ready(&vhost).await);
    let (seen, lanes) = (Arc::default(), [Lane::Work, Lane::Outcome]);
    let mut consumers = Vec::new();
    for lane in lanes {
        for rig in [&rig, &other] {
            consumers.push(collecting(rig.consumer(lane, 8).await, &seen));
        }
    }
    let (connection, channel) = raw_channel(&vhost).await;
    for _ in 0..4 {
        until(async || rig.queue.is_connected() && other.queue.is_connected()).await;
        for queue in ["fr.work", "fr.outcome", "fr.late"] {
            channel.queue_delete(queue.into(), Default::default()).await.unwrap();
        }
        until(async || rig.queue.depths().await.is_ok()).await;
        let mut sent = BTreeSet::new();
        for number in 0..40 {
            let message = message();
            until(async || rig.publish(lanes[number % 2], &message).await.is_ok()).await;
            sent.insert(id(&message));
        }
        let began = Instant::now();
        until(async || {
            // A queue is declared before it is bound: what came in between was caught.
            let caught = rig.queue.dead_letters(1_000).await.unwrap_or_default();
            let mut known: BTreeSet<_> = caught.iter().map(|letter| id(&letter.message)).collect();
            known.extend(seen.lock().unwrap().iter());
            sent.is_subset(&known)
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(15), "a consumer was handed nothing for {:?}", began.elapsed());
    }
    consumers.iter().for_each(JoinHandle::abort);
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test]
async fn what_no_queue_is_bound_for_is_kept_among_the_dead_letters_and_can_be_replayed() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let (connection, channel) = raw_channel(&vhost).await;
    channel.queue_unbind("fr.outcome".into(), "fr.in".into(), "outcome".into(), Default::default()).await.unwrap();
    let sent = message();
    rig.publish(Lane::Outcome, &sent).await.unwrap();
    let dead = rig.queue.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((id(&dead[0].message), dead[0].reason), (id(&sent), Reason::Unrouted));

    let bind = Default::default();
    channel.queue_bind("fr.outcome".into(), "fr.in".into(), "outcome".into(), bind, Default::default()).await.unwrap();
    let held = rig.queue.take_dead_letters(10).await.unwrap().remove(0);
    assert_eq!(held.reason, Reason::Unrouted);
    let message = held.message().clone();
    assert_eq!(held.hand_over(Lane::Outcome, &message).await, Ok(Settled::Done));
    assert_eq!(id(&next(&mut rig.consumer(Lane::Outcome, 1).await).await.message), id(&sent));
    assert_eq!(rig.queue.depths().await.unwrap().dead, 0);
    connection.close(200, "bye".into()).await.unwrap();
}

/// The receiver is still down, so what is replayed is soon among the dead letters again, and before what was caught.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_all_reaches_what_was_caught_though_others_die_again_meanwhile() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let outcome = || {
        let mut outcome = message();
        outcome.envelope.stored_at = Some(now());
        outcome
    };
    let mut consumer = rig.consumer(Lane::Outcome, 8).await;
    let dying = tokio::spawn(async move {
        while let Ok(Some(delivery)) = consumer.next().await {
            let _ = delivery.settle(Disposition::DeadLetter { reason: Reason::CallbackRejected }).await;
        }
    });
    // One more than are held at once.
    for _ in 0..101 {
        rig.publish(Lane::Outcome, &outcome()).await.unwrap();
    }
    until(async || rig.queue.depths().await.unwrap().dead == 101).await;
    let (connection, channel) = raw_channel(&vhost).await;
    channel.queue_unbind("fr.outcome".into(), "fr.in".into(), "outcome".into(), Default::default()).await.unwrap();
    let caught = outcome();
    rig.publish(Lane::Outcome, &caught).await.unwrap();
    let bind = Default::default();
    channel.queue_bind("fr.outcome".into(), "fr.in".into(), "outcome".into(), bind, Default::default()).await.unwrap();
    until(async || rig.queue.depths().await.unwrap().dead == 102).await;
    let order = Order {
        filter: Filter::default(),
        limit: usize::MAX,
        pause: None,
        stop: CancellationToken::new(),
        progress: Progress::default(),
    };
    let deadlines = [("default".to_owned(), Duration::from_secs(30))].into();
    let done = dead_letters::replay(&*rig.queue, &order, &deadlines, &Operator("olga".into())).await;
    assert_eq!((done.ids.len() + done.doubled.len(), done.refused.len(), done.failure), (102, 0, None));
    assert!(done.ids.contains(&id(&caught)) || done.doubled.contains(&id(&caught)));
    dying.abort();
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test]
async fn what_can_be_routed_nowhere_at_all_is_refused_and_the_topology_healed() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let (connection, channel) = raw_channel(&vhost).await;
    channel.queue_unbind("fr.outcome".into(), "fr.in".into(), "outcome".into(), Default::default()).await.unwrap();
    channel.queue_delete("fr.unrouted".into(), Default::default()).await.unwrap();
    let refused = rig.publish(Lane::Outcome, &message()).await;
    assert!(matches!(refused, Err(QueueError::Refused { reason: "unroutable", .. })), "{refused:?}");
    let sent = message();
    // The queue for what nothing is bound for heals first, and takes it meanwhile.
    let outcomes = async || rig.queue.depths().await.map_or(0, |depths| depths.outcome);
    until(async || rig.publish(Lane::Outcome, &sent).await.is_ok() && outcomes().await > 0).await;
    assert_eq!(id(&next(&mut rig.consumer(Lane::Outcome, 1).await).await.message), id(&sent));
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test]
async fn notices_are_heard_again_after_their_exchange_was_deleted() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let (teller, listening) = (ready(&vhost).await, ready(&vhost).await);
    let mut listener = listening.queue.notices().subscribe(&[Topic::Story]);
    tell_until_heard(&teller, &mut listener, Topic::Story).await;
    let (connection, channel) = raw_channel(&vhost).await;
    channel.exchange_delete("fr.notice".into(), Default::default()).await.unwrap();
    tell_until_heard(&teller, &mut listener, Topic::Story).await;
    connection.close(200, "bye".into()).await.unwrap();
}
