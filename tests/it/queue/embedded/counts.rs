//! What the queue remembers and counts.

use std::{sync::Arc, time::Duration};

use cognigy_fallback_router::{
    message::{Disposition, Lane, Reason},
    metrics::{
        Metrics,
        labels::{Published, Redelivered, SettledAs},
    },
    queue::{Settled, embedded},
    time::EpochMs,
    trigger::TriggerId,
};

use super::Embedded;
use crate::queue::exercise::{Backend, WIDE, ack, consumer, message, messages, next, now, publish};

#[tokio::test]
async fn fresh_triggers_are_remembered_over_a_restart_and_nothing_else_is() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let sent = messages(3);
    let (mut retried, mut replayed) = (message(4), message(5));
    retried.envelope.attempt = 2;
    replayed.envelope.replay = 1;
    publish(&queue, Lane::Work, &sent).await;
    publish(&queue, Lane::Work, &[retried, replayed, sent[0].clone()]).await;
    publish(&queue, Lane::Outcome, &[message(6)]).await;
    ack(next(&mut consumer(&queue, Lane::Work, 1).await).await).await;
    queue.close().await;

    let queue = place.open(WIDE).await;
    let expected: Vec<(TriggerId, EpochMs)> =
        sent.iter().map(|sent| (sent.envelope.trigger_id, sent.envelope.accepted_at)).collect();
    let mut found = queue.accepted_since(EpochMs(0)).await.unwrap();
    found.sort_by_key(|(id, _)| expected.iter().position(|(expected, _)| expected == id));
    assert_eq!(found, expected);
    assert!(queue.accepted_since(now().plus(Duration::from_secs(1))).await.unwrap().is_empty());
    queue.close().await;
}

#[tokio::test]
async fn triggers_accepted_long_ago_are_forgotten() {
    let place = Embedded::start().await;
    let queue = place.open(WIDE).await;
    let (mut old, new) = (message(1), message(2));
    old.envelope.accepted_at = now().minus(Duration::from_secs(3_600));
    publish(&queue, Lane::Work, &[old, new.clone()]).await;
    queue.close().await;
    // The first thing an opened queue does is to forget.
    let queue = place.open(WIDE).await;
    let remembered = || async { queue.accepted_since(EpochMs(0)).await.unwrap() };
    let forgotten = tokio::time::timeout(crate::queue::exercise::PATIENCE, async {
        while remembered().await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    forgotten.await.expect("it is forgotten");
    assert_eq!(remembered().await, [(new.envelope.trigger_id, new.envelope.accepted_at)]);
    queue.close().await;
}

#[tokio::test]
async fn the_backend_counts_what_it_stores_takes_and_settles() {
    let place = Embedded::start().await;
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let config = embedded::Config { directory: place.directory() };
    let queue = embedded::connect(&config, WIDE, Arc::clone(&metrics)).await.unwrap();
    assert_eq!(metrics.queue_connected.get(), 1);
    publish(&queue, Lane::Work, &messages(5)).await;
    let mut work = consumer(&queue, Lane::Work, 1).await;
    drop(next(&mut work).await);
    let settled = |disposition| (disposition, Ok(Settled::Done));
    for (disposition, expected) in [
        settled(Disposition::Ack),
        settled(Disposition::Retry { after: Duration::from_secs(60) }),
        settled(Disposition::DeadLetter { reason: Reason::Exhausted }),
    ] {
        assert_eq!(next(&mut work).await.settle(disposition).await, expected);
    }
    assert_eq!(next(&mut work).await.hand_over(Lane::Outcome, &message(9)).await, Ok(Settled::Done));
    let lost = next(&mut work).await;
    place.sqlite().execute("DELETE FROM leased", []).unwrap();
    assert_eq!(lost.settle(Disposition::Ack).await, Ok(Settled::WillReturn));

    assert_eq!(metrics.publish_duration.get(Published::Confirmed).get_sample_count(), 6);
    assert_eq!(metrics.consumed.get(Redelivered::No).get(), 5);
    assert_eq!(metrics.consumed.get(Redelivered::Yes).get(), 1);
    let settled = |how| metrics.settled.get(how).get();
    assert_eq!(settled(SettledAs::Ack), 2);
    assert_eq!(settled(SettledAs::Retry), 1);
    assert_eq!(settled(SettledAs::DeadLetter), 1);
    assert_eq!(settled(SettledAs::Requeue), 1);
    assert_eq!(metrics.dead_letters.get(Reason::Exhausted).get(), 1);
    assert_eq!(metrics.acks_lost.get(), 1);
    assert_eq!(metrics.publishes_unknown.get(), 0);
    queue.close().await;
    assert_eq!(metrics.queue_connected.get(), 0);
}
