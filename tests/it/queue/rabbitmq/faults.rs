//! The broker stops, dies, freezes, starves and hangs up. These tests have the node alone.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cognigy_fallback_router::{
    message::{Disposition, Lane},
    metrics::labels::Reconnect,
    queue::{QueueError, Settled},
    secret::Secret,
    trigger::TriggerId,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Rig, id, message, next, open, ready, until, within};
use crate::support::broker;

/// Publishes and consumes all the time, and remembers what was confirmed and what came.
struct Traffic {
    rig: Arc<Rig>,
    stop: CancellationToken,
    confirmed: Arc<Mutex<BTreeSet<TriggerId>>>,
    came: Arc<Mutex<BTreeSet<TriggerId>>>,
    publishers: Vec<JoinHandle<()>>,
}

impl Traffic {
    async fn start(rig: Arc<Rig>) -> Self {
        let mut traffic = Self {
            rig,
            stop: CancellationToken::new(),
            confirmed: Arc::default(),
            came: Arc::default(),
            publishers: Vec::new(),
        };
        traffic.publishers = (0..4).map(|_| tokio::spawn(traffic.publish())).collect();
        tokio::spawn(traffic.consume());
        traffic
    }

    fn publish(&self) -> impl Future<Output = ()> + Send + 'static {
        let (rig, stop, confirmed) = (Arc::clone(&self.rig), self.stop.clone(), Arc::clone(&self.confirmed));
        async move {
            while !stop.is_cancelled() {
                let sent = message();
                match rig.publish(Lane::Work, &sent).await {
                    Ok(()) => _ = confirmed.lock().unwrap().insert(id(&sent)),
                    Err(QueueError::Unusable(why)) => panic!("{why}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
    }

    fn consume(&self) -> impl Future<Output = ()> + Send + 'static {
        let (rig, came) = (Arc::clone(&self.rig), Arc::clone(&self.came));
        async move {
            let mut consumer = rig.consumer(Lane::Work, 20).await;
            while let Some(delivery) = consumer.next().await.unwrap() {
                let id = id(&delivery.message);
                if delivery.settle(Disposition::Ack).await.unwrap() == Settled::Done {
                    came.lock().unwrap().insert(id);
                }
            }
        }
    }

    fn confirmed(&self) -> usize {
        self.confirmed.lock().unwrap().len()
    }

    /// Waits until publishes are confirmed, from now on.
    async fn flows(&self) {
        let before = self.confirmed();
        until(async || self.confirmed() > before + 50).await;
    }

    /// Ends the publishing, and waits until everything that was confirmed has come.
    async fn end(self) {
        self.stop.cancel();
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
        let confirmed = self.confirmed.lock().unwrap().clone();
        until(async || confirmed.is_subset(&self.came.lock().unwrap())).await;
        self.rig.queue.close().await;
    }
}

/// Under traffic, with one delivery held over the fault: nothing that was confirmed is lost, and the held one is known
/// to be lost to us.
async fn traffic_survives(fault: impl AsyncFnOnce(&broker::Alone)) -> Arc<Rig> {
    let node = broker::alone().await;
    let rig = Arc::new(ready(&node.vhost().await).await);
    let traffic = Traffic::start(Arc::clone(&rig)).await;
    let mut holder = rig.consumer(Lane::Outcome, 1).await;
    let held = message();
    rig.publish(Lane::Outcome, &held).await.unwrap();
    let delivery = next(&mut holder).await;
    traffic.flows().await;
    assert!(rig.queue.is_connected());

    fault(&node).await;

    until(async || !delivery.is_live()).await;
    traffic.flows().await;
    assert_eq!(delivery.settle(Disposition::Ack).await.unwrap(), Settled::WillReturn);
    let again = next(&mut holder).await;
    assert_eq!((id(&again.message), again.returns), (id(&held), 1));
    again.settle(Disposition::Ack).await.unwrap();
    until(async || rig.queue.is_connected() && rig.metrics.queue_connected.get() == 1).await;
    assert!(rig.metrics.acks_lost.get() >= 1);
    assert!(rig.metrics.queue_reconnects.get(Reconnect::Lost).get() >= 2, "both connections");
    traffic.end().await;
    rig
}

#[tokio::test]
async fn a_graceful_restart_under_traffic_loses_nothing() {
    traffic_survives(async |node| {
        node.stop().await;
        node.start().await;
    })
    .await;
}

#[tokio::test]
async fn a_broker_killed_under_traffic_loses_nothing_that_it_confirmed() {
    traffic_survives(async |node| {
        node.kill().await;
        node.start().await;
    })
    .await;
}

#[tokio::test]
async fn connections_closed_by_the_broker_under_traffic_are_made_again() {
    traffic_survives(async |node| node.close_connections().await).await;
}

#[tokio::test]
async fn while_the_broker_is_away_publishes_fail_at_once_and_consumers_wait() {
    let node = broker::alone().await;
    let rig = ready(&node.vhost().await).await;
    let mut consumer = rig.consumer(Lane::Work, 1).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    next(&mut consumer).await.settle(Disposition::Ack).await.unwrap();
    node.stop().await;
    until(async || !rig.queue.is_connected()).await;
    assert!(matches!(rig.publish(Lane::Work, &message()).await, Err(QueueError::Unreachable(_))));
    assert!(matches!(rig.queue.publisher().admit(), Err(QueueError::Unreachable(_))));
    assert!(rig.queue.depths().await.is_err());
    assert_eq!(rig.metrics.queue_connected.get(), 0);
    let waiting = tokio::spawn(async move { next(&mut consumer).await.message });
    node.start().await;
    let sent = message();
    until(async || rig.publish(Lane::Work, &sent).await.is_ok()).await;
    assert_eq!(id(&within(waiting).await.unwrap()), id(&sent));
}

#[tokio::test]
async fn an_alarm_refuses_publishes_while_settling_goes_on_and_a_result_waits_for_its_end() {
    let node = broker::alone().await;
    let rig = Arc::new(ready(&node.vhost().await).await);
    let mut consumer = rig.consumer(Lane::Work, 4).await;
    let sent = [message(), message(), message(), message()];
    for message in &sent {
        rig.publish(Lane::Work, message).await.unwrap();
    }
    let (done, becoming) = (next(&mut consumer).await, next(&mut consumer).await);

    node.set_alarm().await;
    until(async || matches!(rig.queue.publisher().admit(), Err(QueueError::Refused { reason: "blocked", .. }))).await;
    let began = Instant::now();
    let refused = rig.publish(Lane::Work, &message()).await;
    assert!(matches!(refused, Err(QueueError::Refused { reason: "blocked", .. })), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "it is known, so it is not waited for");
    assert_eq!(within(done.settle(Disposition::Ack)).await.unwrap(), Settled::Done);
    let outcome = message();
    let handed = tokio::spawn({
        let outcome = outcome.clone();
        async move { becoming.hand_over(Lane::Outcome, &outcome).await }
    });
    // One was on its way before the alarm; no other is begun whose result could not be stored.
    next(&mut consumer).await.settle(Disposition::Ack).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(1), consumer.next()).await.is_err());

    node.clear_alarm().await;
    until(async || rig.queue.publisher().admit().is_ok()).await;
    assert_eq!(within(handed).await.unwrap().unwrap(), Settled::Done);
    let arrived = next(&mut rig.consumer(Lane::Outcome, 1).await).await;
    assert_eq!(id(&arrived.message), id(&outcome));
    let last = next(&mut consumer).await;
    assert_eq!((id(&last.message), last.returns), (id(&sent[3]), 0));
    last.settle(Disposition::Ack).await.unwrap();
    assert_eq!(rig.queue.depths().await.unwrap().work, 0);
}

#[tokio::test]
async fn a_frozen_broker_costs_a_publisher_its_limits_and_no_more() {
    let node = broker::alone().await;
    let vhost = node.vhost().await;
    let rig = ready(&vhost).await;
    rig.publish(Lane::Work, &message()).await.unwrap();
    node.pause().await;
    let limit = vhost.config().confirm_timeout * 2 + Duration::from_secs(1);
    let unknown = tokio::time::timeout(limit, rig.publish(Lane::Work, &message())).await.expect("a limit");
    assert!(matches!(unknown, Err(QueueError::Unknown(_))), "{unknown:?}");
    assert_eq!(rig.metrics.publishes_unknown.get(), 1);
    until(async || matches!(rig.queue.publisher().admit(), Err(QueueError::Unreachable(_)))).await;
    node.resume().await;
    until(async || rig.publish(Lane::Work, &message()).await.is_ok()).await;
}

#[tokio::test]
async fn a_silent_peer_is_given_up_and_the_next_broker_tried() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = vhost.config();
    config.connect_timeout = Duration::from_millis(300);
    config.urls = vec![Secret::new(format!("amqp://guest:secret@{}/", silent.local_addr().unwrap()))];
    let rig = open(&config);
    let (_kept_open, _) = within(silent.accept()).await.unwrap();
    until(async || rig.metrics.queue_reconnects.get(Reconnect::Connect).get() > 1).await;
    let Err(QueueError::Unreachable(why)) = rig.publish(Lane::Work, &message()).await else { panic!("to whom?") };
    assert!(why.contains("127.0.0.1") && !why.contains("secret"), "{why}");

    config.connect_timeout = Duration::from_secs(2);
    config.urls.push(Secret::new(vhost.url.clone()));
    let rig = open(&config);
    within(rig.queue.ready()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_virtual_host_need_an_operator_and_are_not_printed() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    for (right, wrong) in [("guest:guest", "guest:hunter2"), (vhost.name.as_str(), "nowhere")] {
        let mut config = vhost.config();
        config.urls = vec![Secret::new(vhost.url.replace(right, wrong))];
        let rig = open(&config);
        let Err(QueueError::Unusable(why)) = within(rig.queue.ready()).await else { panic!("{wrong}") };
        assert!(!why.contains("hunter2"), "{why}");
    }
}
