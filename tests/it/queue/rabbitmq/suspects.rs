//! Work that came back often, clocks that differ, bindings that went away: what the backend does about them.

use std::{collections::BTreeSet, time::Duration};

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    metrics::labels::Reconnect,
    time::EpochMs,
};

use super::{exercise::nothing, id, message, next, now, raw_channel, ready, until};
use crate::support::{broker, clock};

#[tokio::test]
async fn work_that_came_back_often_is_tried_alone() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    let suspects = [message(), message(), message()];
    for suspect in &suspects {
        rig.publish(Lane::Work, suspect).await.unwrap();
    }
    let mut work = rig.consumer(Lane::Work, 8).await;
    for _ in 0..3 {
        let held = [next(&mut work).await, next(&mut work).await, next(&mut work).await];
        drop(held);
    }
    let mut suspect = next(&mut work).await;
    assert_eq!(suspect.returns, 3);
    let fresh = message();
    rig.publish(Lane::Work, &fresh).await.unwrap();
    let innocent = next(&mut work).await;
    assert_eq!((innocent.returns, id(&innocent.message)), (0, id(&fresh)));
    until(async || rig.queue.depths().await.unwrap().delayed == 2).await;
    nothing(&mut work).await;
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        seen.insert(id(&suspect.message));
        suspect.settle(Disposition::Ack).await.unwrap();
        suspect = next(&mut work).await;
        assert_eq!(suspect.returns, 3, "its returns went with it");
        assert_eq!(suspect.message.envelope.attempt, 1, "to be put apart is no try");
    }
    seen.insert(id(&suspect.message));
    assert_eq!(seen, suspects.iter().map(id).collect());
    suspect.settle(Disposition::Ack).await.unwrap();
    innocent.settle(Disposition::Ack).await.unwrap();
}

#[tokio::test]
async fn a_trigger_from_the_future_shows_that_clocks_differ() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let mut work = rig.consumer(Lane::Work, 1).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    next(&mut work).await.settle(Disposition::Ack).await.unwrap();
    assert_eq!(rig.metrics.clock_skew.get(), 0);
    let (connection, channel) = raw_channel(&vhost).await;
    let ahead = EpochMs(now().plus(Duration::from_secs(300)).0).seconds();
    let properties = lapin::BasicProperties::default().with_timestamp(ahead);
    channel.basic_publish("fr.in".into(), "work".into(), Default::default(), b"{}", properties).await.unwrap();
    until(async || (-301..=-200).contains(&rig.metrics.clock_skew.get())).await;
    connection.close(200, "bye".into()).await.unwrap();
}

/// What the broker knows of a virtual host's consumers: their channels.
async fn channels(node: &broker::Shared, vhost: &broker::Vhost) -> String {
    node.eval(format!(
        "[pid_to_list(proplists:get_value(channel_pid, C)) || C <- rabbit_amqqueue:consumers_all(<<\"{}\">>)].",
        vhost.name
    ))
    .await
}

#[tokio::test]
async fn a_consumer_that_is_handed_nothing_for_long_is_made_anew() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let mut work = rig.consumer(Lane::Work, 1).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    next(&mut work).await.settle(Disposition::Ack).await.unwrap();
    let before = channels(&node, &vhost).await;
    until(async || {
        clock::forward(6).await;
        channels(&node, &vhost).await != before
    })
    .await;
    assert!(rig.queue.is_connected());
    let lost = rig.metrics.queue_reconnects.get(Reconnect::Lost).get();
    assert_eq!(lost, 0, "its connection is the same");
    // Not by our own publisher: its deadlines do not follow a clock that was moved.
    let (connection, channel) = raw_channel(&vhost).await;
    channel.confirm_select(Default::default()).await.unwrap();
    let properties = lapin::BasicProperties::default();
    let sent = channel.basic_publish("fr.in".into(), "work".into(), Default::default(), b"{}", properties);
    sent.await.unwrap().await.unwrap();
    until(async || rig.queue.depths().await.unwrap().work == 0).await;
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test]
async fn a_binding_that_went_away_is_made_again_once_something_missed_it() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let (connection, channel) = raw_channel(&vhost).await;
    channel.queue_unbind("fr.work".into(), "fr.in".into(), "work".into(), Default::default()).await.unwrap();
    let caught = message();
    rig.publish(Lane::Work, &caught).await.unwrap();
    until(async || {
        rig.publish(Lane::Work, &message()).await.unwrap();
        rig.queue.depths().await.unwrap().work > 0
    })
    .await;
    let dead = rig.queue.dead_letters(100).await.unwrap();
    assert!(dead.iter().any(|letter| id(&letter.message) == id(&caught)), "it waits for an operator");
    connection.close(200, "bye".into()).await.unwrap();
}
