//! What messages look like at the broker, and what becomes of the odd ones.

use std::time::Duration;

use cognigy_fallback_router::{
    message::{Disposition, Lane, Reason, Try},
    metrics::labels::{Reason as DeadReason, SettledAs},
    queue::Settled,
};
use lapin::{
    protocol::BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::{id, message, next, now, raw_channel, ready, until};
use crate::support::broker;

#[tokio::test]
async fn every_header_arrives_and_the_message_is_persistent_and_named() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let mut sent = message();
    sent.envelope.session_id = Some("s".into());
    sent.envelope.language = Some("de-CH".into());
    sent.envelope.stored_at = Some(now());
    sent.envelope.callback = Some("https://example.test/callback".into());
    sent.envelope.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    sent.envelope.replay = 2;
    rig.publish(Lane::Outcome, &sent).await.unwrap();
    rig.publish(Lane::Outcome, &sent).await.unwrap();

    let (connection, channel) = raw_channel(&vhost).await;
    let raw = channel.basic_get("fr.outcome".into(), Default::default()).await.unwrap().unwrap();
    assert_eq!(raw.properties.delivery_mode(), &Some(2));
    assert_eq!(raw.properties.message_id().as_ref().unwrap().as_str(), id(&sent).to_string());
    let headers = raw.properties.headers().as_ref().unwrap().inner();
    assert!(matches!(headers.get("fr-deadline-ms"), Some(AMQPValue::LongLongInt(_))));
    assert!(matches!(headers.get("fr-attempt"), Some(AMQPValue::LongInt(1))));
    assert!(matches!(headers.get("fr-profile"), Some(AMQPValue::LongString(_))));
    connection.close(200, "bye".into()).await.unwrap();

    let mut consumer = rig.consumer(Lane::Outcome, 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message.envelope, sent.envelope);
    assert_eq!(delivery.message.body, sent.body);
}

/// Headers cannot be parted over frames, as a body is: the longest ones that the ingress lets in fit into one.
#[tokio::test]
async fn the_longest_headers_and_body_arrive() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let longest = |characters| "\u{1f600}".repeat(characters);
    let mut sent = message();
    sent.envelope.conversation_id = longest(256);
    sent.envelope.user_id = longest(256);
    sent.envelope.session_id = Some(longest(256));
    sent.envelope.callback = Some(longest(2_048));
    for number in 0..16 {
        let ended = "x".repeat(32).into();
        sent.envelope.tries.note(Try { at: now(), lane: Lane::Outcome, number, ended, wait: Duration::from_secs(120) });
    }
    sent.body = vec![b'x'; 256 * 1024].into();
    rig.publish(Lane::Outcome, &sent).await.unwrap();
    let delivery = next(&mut rig.consumer(Lane::Outcome, 1).await).await;
    assert_eq!(delivery.message.envelope, sent.envelope);
    assert_eq!(delivery.message.body, sent.body);
}

#[tokio::test]
async fn work_whose_time_ran_out_arrives_late_as_expired() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    let mut sent = message();
    sent.envelope.deadline = sent.envelope.accepted_at.plus(Duration::from_millis(400));
    rig.publish(Lane::Work, &sent).await.unwrap();
    let delivery = next(&mut rig.consumer(Lane::Late, 1).await).await;
    assert_eq!(id(&delivery.message), id(&sent));
    assert_eq!(delivery.message.envelope.reason, Some(Reason::Expired));
}

#[tokio::test]
async fn work_that_comes_back_too_often_arrives_late_as_poison_and_then_among_the_dead() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    let sent = message();
    rig.publish(Lane::Work, &sent).await.unwrap();
    let (mut work, mut late) = (rig.consumer(Lane::Work, 1).await, rig.consumer(Lane::Late, 1).await);
    for returns in 0..=Lane::Work.delivery_limit() {
        let delivery = next(&mut work).await;
        assert_eq!(delivery.returns, returns);
    }
    for returns in 0..=Lane::Late.delivery_limit() {
        let delivery = next(&mut late).await;
        assert_eq!(delivery.message.envelope.reason, Some(Reason::Poison), "{returns}");
    }
    until(async || rig.queue.depths().await.unwrap().dead == 1).await;
    let dead = rig.queue.dead_letters(10).await.unwrap();
    assert_eq!((id(&dead[0].message), dead[0].reason), (id(&sent), Reason::Poison));
}

#[tokio::test]
async fn a_message_without_readable_headers_goes_to_the_dead_letters_and_looking_takes_nothing() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let (connection, channel) = raw_channel(&vhost).await;
    let mut ill_typed = FieldTable::default();
    ill_typed.insert("fr-version".into(), AMQPValue::LongString("one".into()));
    for headers in [FieldTable::default(), ill_typed] {
        let properties = BasicProperties::default().with_headers(headers).with_message_id("odd".into());
        channel
            .basic_publish("fr.in".into(), "work".into(), Default::default(), b"\0not ours", properties)
            .await
            .unwrap();
    }
    let mut consumer = rig.consumer(Lane::Work, 4).await;
    let sent = message();
    rig.publish(Lane::Work, &sent).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(id(&delivery.message), id(&sent), "the odd ones are not handed out");
    for _look in 0..3 {
        until(async || rig.queue.depths().await.unwrap().dead == 2).await;
        let dead = rig.queue.dead_letters(10).await.unwrap();
        assert_eq!(dead.len(), 2);
        assert!(dead.iter().all(|dead| dead.reason == Reason::Unreadable && dead.message.body == b"\0not ours"[..]));
    }
    assert_eq!(rig.metrics.dead_letters.get(DeadReason::Unreadable).get(), 2);
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_version_is_delivered_for_the_worker_to_decide() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    let mut sent = message();
    sent.envelope.version = 99;
    rig.publish(Lane::Work, &sent).await.unwrap();
    assert_eq!(next(&mut rig.consumer(Lane::Work, 1).await).await.message.envelope.version, 99);
}

#[tokio::test]
async fn a_delivery_before_its_time_waits_on_in_a_delay_level() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    let mut consumer = rig.consumer(Lane::Outcome, 4).await;
    let mut sent = message();
    let not_before = now().plus(Duration::from_millis(1_500));
    sent.envelope.not_before = Some(not_before);
    rig.publish(Lane::Outcome, &sent).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert!(now() >= not_before);
    assert_eq!(delivery.message.envelope.attempt, 1, "waiting is not an attempt");
    assert_eq!(delivery.returns, 0);
}

#[tokio::test]
async fn a_retry_is_a_new_attempt_after_the_wait_and_a_late_one_too() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    for lane in Lane::ALL {
        rig.publish(lane, &message()).await.unwrap();
        let mut consumer = rig.consumer(lane, 1).await;
        let began = now();
        let after = Duration::from_millis(700);
        let settled = next(&mut consumer).await.settle(Disposition::Retry { after }).await.unwrap();
        assert_eq!(settled, Settled::Done);
        let delivery = next(&mut consumer).await;
        assert!(now().since(began) >= after, "{lane:?}");
        assert_eq!((delivery.message.envelope.attempt, delivery.returns), (2, 0), "{lane:?}");
        assert_eq!(delivery.message.envelope.reason, None, "{lane:?}: a delay is no death");
        delivery.settle(Disposition::Ack).await.unwrap();
    }
    assert_eq!(rig.metrics.settled.get(SettledAs::Retry).get(), 3);
    assert_eq!(rig.queue.depths().await.unwrap(), Default::default());
}
