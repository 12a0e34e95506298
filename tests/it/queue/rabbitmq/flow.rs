//! Many at once: the pool's confirms, the bounds of consumers, admission.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    metrics::labels::Published,
    queue::{Delivery, QueueError, Settled},
    trigger::TriggerId,
};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::task::JoinSet;

use super::{id, message, next, open, ready, take_all, until, within};
use crate::support::broker;

/// lapin attributes confirms and returned messages wrongly on a channel that several publishes share: here one in seven
/// goes to a queue that is full, from 64 tasks, and every answer has to be the right one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_many_publishers_learns_what_became_of_its_own_message() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let mut config = vhost.config();
    config.channels = 64;
    config.channel_timeout = Duration::from_secs(30);
    config.confirm_timeout = Duration::from_secs(30);
    let rig = Arc::new(open(&config));
    rig.queue.ready().await.unwrap();
    node.limit_queue(&vhost, "^fr.outcome$", 1).await;

    let publishers: Vec<_> = (0..64)
        .map(|publisher| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                let mut stored = [BTreeSet::new(), BTreeSet::new()];
                for number in 0..40 {
                    let full = (publisher + number) % 7 == 0;
                    let lane = if full { Lane::Outcome } else { Lane::Work };
                    let sent = message();
                    match rig.publish(lane, &sent).await {
                        Ok(()) => _ = stored[usize::from(full)].insert(id(&sent)),
                        Err(QueueError::Unknown(_)) if full => {}
                        Err(error) => panic!("{lane:?}: {error}"),
                    }
                }
                stored
            })
        })
        .collect();
    let mut stored: [BTreeSet<TriggerId>; 2] = Default::default();
    for publisher in publishers {
        for (all, own) in stored.iter_mut().zip(publisher.await.unwrap()) {
            all.extend(own);
        }
    }

    let refused = rig.metrics.publish_duration.get(Published::Nacked).get_sample_count();
    assert!(refused > 100, "the full queue refused only {refused}");
    let depths = rig.queue.depths().await.unwrap();
    assert_eq!((depths.work, depths.outcome), (stored[0].len() as u64, stored[1].len() as u64));
    for (lane, stored) in [Lane::Work, Lane::Outcome].into_iter().zip(&stored) {
        assert_eq!(&take_all(&mut rig.consumer(lane, 200).await, stored).await, stored, "{lane:?}");
    }
}

#[tokio::test]
async fn a_consumer_holds_no_more_than_its_slots_and_gives_the_others_back() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    for _ in 0..10 {
        rig.publish(Lane::Work, &message()).await.unwrap();
    }
    let mut consumer = rig.consumer(Lane::Work, 4).await;
    let first = next(&mut consumer).await;
    until(async || rig.queue.depths().await.unwrap().work == 6).await;
    within(consumer.stop()).await;
    until(async || rig.queue.depths().await.unwrap().work == 9).await;
    assert!(first.is_live());
    first.settle(Disposition::Ack).await.unwrap();
    assert!(within(consumer.next()).await.unwrap().is_none());
    assert_eq!(rig.queue.depths().await.unwrap().work, 9);
}

/// Acks are gathered, and one stands for all before it: none may stand for a delivery that is still worked on.
#[tokio::test]
async fn in_whatever_order_deliveries_end_exactly_those_that_were_not_acknowledged_come_back() {
    const HELD: u16 = 80;
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    let (mut random, mut kept) = (StdRng::seed_from_u64(1), BTreeSet::new());
    for round in 0..10 {
        let mut consumer = rig.consumer(Lane::Work, HELD).await;
        let mut held = Vec::new();
        while held.len() < usize::from(HELD) {
            if kept.len() + held.len() < usize::from(HELD) {
                rig.publish(Lane::Work, &message()).await.unwrap();
            }
            held.push(next(&mut consumer).await);
        }
        held.shuffle(&mut random);
        // Who came back twice would be a suspect.
        held.sort_by_key(|delivery| delivery.returns);
        let done = held.split_off(usize::from(HELD / 4));
        let left = held;
        let mut settling: JoinSet<_> = done.into_iter().map(|delivery| delivery.settle(Disposition::Ack)).collect();
        while let Some(settled) = settling.join_next().await {
            assert_eq!(settled.unwrap(), Ok(Settled::Done));
        }
        kept = left.iter().map(|delivery| id(&delivery.message)).collect();
        assert!(left.iter().all(Delivery::is_live), "round {round}");
        drop(left);
        within(consumer.stop()).await;
        until(async || rig.queue.depths().await.unwrap().work == kept.len() as u64).await;
    }
    assert_eq!(take_all(&mut rig.consumer(Lane::Work, HELD).await, &kept).await, kept);
    assert_eq!((rig.queue.depths().await.unwrap().work, rig.metrics.acks_lost.get()), (0, 0));
}

#[tokio::test]
async fn acks_that_come_together_are_told_together() {
    const HELD: u16 = 80;
    /// Bytes of a `basic.ack`, by AMQP 0-9-1: a frame's 8, 4 of class and method, 8 of the tag, 1 of `multiple`.
    const ACK: u64 = 21;
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    for _ in 0..HELD {
        rig.publish(Lane::Work, &message()).await.unwrap();
    }
    let mut consumer = rig.consumer(Lane::Work, HELD).await;
    let mut held = Vec::new();
    while held.len() < usize::from(HELD) {
        held.push(next(&mut consumer).await);
    }
    let received = format!(
        "lists:sum([O || C <- rabbit_networking:connections(), [{{vhost, <<\"{}\">>}}, {{recv_oct, O}}, {{_, P}}] <- \
         [rabbit_reader:info(C, [vhost, recv_oct, client_properties])], {{<<\"connection_name\">>, _, N}} <- P, \
         binary:match(N, <<\" consume \">>) =/= nomatch]).",
        vhost.name
    );
    let received = async || node.eval(received.clone()).await.trim().parse::<u64>().unwrap();
    let before = received().await;
    let mut settling: JoinSet<_> = held.into_iter().map(|delivery| delivery.settle(Disposition::Ack)).collect();
    while let Some(settled) = settling.join_next().await {
        assert_eq!(settled.unwrap(), Ok(Settled::Done));
    }
    until(async || received().await > before).await;
    let told = received().await - before;
    assert!(told < u64::from(HELD / 2) * ACK, "{told} bytes");
}

#[tokio::test]
async fn a_delivery_whose_result_was_not_confirmed_comes_back() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    node.limit_queue(&vhost, "^fr.outcome$", 1).await;
    let full = async |lane| rig.publish(lane, &message()).await.is_err();
    until(async || full(Lane::Outcome).await).await;
    let sent = message();
    rig.publish(Lane::Work, &sent).await.unwrap();
    let mut consumer = rig.consumer(Lane::Work, 1).await;
    let handed = next(&mut consumer).await.hand_over(Lane::Outcome, &message()).await;
    assert!(matches!(handed, Err(QueueError::Unknown(_))), "{handed:?}");
    let again = next(&mut consumer).await;
    assert_eq!((id(&again.message), again.returns), (id(&sent), 1));
}

#[tokio::test]
async fn a_caller_that_gives_up_costs_no_channel() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let mut config = vhost.config();
    config.channels = 1;
    let rig = open(&config);
    rig.queue.ready().await.unwrap();
    rig.publish(Lane::Work, &message()).await.unwrap();
    let ours = format!("[{{vhost, <<\"{}\">>}}, {{confirm, true}}]", vhost.name);
    let list = format!("[C || C <- rabbit_channel:list(), rabbit_channel:info(C, [vhost, confirm]) =:= {ours}].");
    let channels = || node.eval(list.clone());
    let before = channels().await;
    for _ in 0..50 {
        let sent = message();
        // Polled once, so that the publish is on its way, then dropped.
        let _ = tokio::time::timeout(Duration::ZERO, rig.publish(Lane::Work, &sent)).await;
        rig.publish(Lane::Work, &message()).await.unwrap();
    }
    assert_eq!(channels().await, before);
    assert_eq!(rig.metrics.publishes_unknown.get(), 0);
}

#[tokio::test]
async fn triggers_are_refused_while_the_work_lane_is_over_its_soft_limit() {
    let node = broker::shared().await;
    let rig = ready(&node.vhost().await).await;
    let admit = || rig.queue.publisher().admit();
    assert_eq!(admit(), Ok(()));
    let mut sent = BTreeSet::new();
    for _ in 0..60 {
        let message = message();
        rig.publish(Lane::Work, &message).await.unwrap();
        sent.insert(id(&message));
    }
    until(async || matches!(admit(), Err(QueueError::Refused { reason: "full", retry_after: Some(_) }))).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    take_all(&mut rig.consumer(Lane::Work, 50).await, &sent).await;
    until(async || admit().is_ok()).await;
}

#[tokio::test]
async fn closing_ends_consumers_and_refuses_publishes_and_everything_unsettled_goes_back() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    let mut consumer = rig.consumer(Lane::Work, 1).await;
    let delivery = next(&mut consumer).await;
    until(async || rig.queue.is_connected()).await;
    within(rig.queue.close()).await;
    assert!(!rig.queue.is_connected());
    assert!(!delivery.is_live());
    assert!(within(consumer.next()).await.unwrap().is_none());
    assert!(matches!(rig.publish(Lane::Work, &message()).await, Err(QueueError::Unreachable(_))));
    assert!(matches!(rig.queue.publisher().admit(), Err(QueueError::Unreachable(_))));
    let other = ready(&vhost).await;
    assert_eq!(next(&mut other.consumer(Lane::Work, 1).await).await.returns, 1);
}
