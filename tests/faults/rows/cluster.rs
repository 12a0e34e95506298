//! A cluster of three nodes loses one, two, or its breath.

use std::time::Duration;

use tokio::task::spawn_blocking;

use super::{broken_broker, load, pause, sending, told, until};
use crate::{
    cluster::Cluster,
    figures::Figures,
    ledger::settle,
    outside::Outside,
    processes::{Deployment, On},
    sender::Sent,
};

/// Nobody waits for an answer longer than for a channel, a confirm, and a busy machine.
const SLOWEST: Duration = Duration::from_secs(12);
/// Until a node that is gone is noticed, and another one connected to.
const NOTICED: f64 = 6.0;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Node {
    Leader,
    Follower,
}

/// The deployment on a cluster, with a load on its way.
struct Scene {
    outside: Outside,
    cluster: Cluster,
    deployment: Deployment,
    /// The node that led the work queue before the load, and one that did not.
    leader: u16,
    follower: u16,
    sent: tokio::task::JoinHandle<Sent>,
}

impl Scene {
    async fn begin(count: usize) -> Self {
        let (outside, cluster) = (Outside::start().await, Cluster::start().await);
        let mut deployment = Deployment::prepare_at(cluster.vhost(), &outside, &[]).await;
        deployment.add_ingress().await;
        deployment.add_workers(2).await;
        // Asked before: on a busy machine the answer takes longer than the load.
        let (leader, follower) = (cluster.one(true).await, cluster.one(false).await);
        // Slowly enough that the load lasts over the fault.
        let mut load = load(&deployment, count);
        load.rate = 100.0;
        let sent = sending(load);
        pause(2.0).await;
        Self { outside, cluster, deployment, leader, follower, sent }
    }

    async fn end(self, times: usize, refuses: bool, what: &str) -> Figures {
        let sent = self.sent.await.unwrap();
        assert!(sent.refused > 0 || !refuses, "nothing was refused meanwhile");
        assert!(sent.slowest < SLOWEST, "an answer took {:?}", sent.slowest);
        let bounds = broken_broker(times, &sent);
        let figures = settle(&sent.accepted, &self.outside, &self.deployment, bounds).await;
        drop(self.deployment);
        // Its nodes end before the next row begins.
        spawn_blocking(move || drop(self.cluster)).await.unwrap();
        figures.noting(format!("{what}, {}", told(&sent)))
    }
}

pub(super) async fn killed(which: Node) -> Figures {
    let scene = Scene::begin(3000).await;
    for _ in 0..2 {
        let node = if which == Node::Leader { scene.leader } else { scene.follower };
        scene.outside.broken();
        scene.cluster.command(format!("kill {node}")).await;
        pause(8.0).await;
        scene.cluster.command(format!("start {node}")).await;
        pause(3.0).await;
    }
    scene.end(2, false, "killed twice; the others go on").await
}

/// Two of three nodes are gone: nothing can be confirmed, so nothing is promised; and at once again when they are back.
pub(super) async fn majority_lost() -> Figures {
    let scene = Scene::begin(6000).await;
    let (first, second) = (scene.leader, scene.follower);
    scene.outside.broken();
    scene.cluster.command(format!("kill {first} {second}")).await;
    assert!(!scene.sent.is_finished(), "the load was over before the fault");
    pause(NOTICED).await;
    let promised = scene.outside.acknowledged().len();
    pause(10.0).await;
    let during = scene.outside.acknowledged().len() - promised;
    assert!(during < 200, "{during} triggers went through without a majority");
    scene.cluster.command(format!("start {first} {second}")).await;
    scene.outside.healed();
    scene.end(1, true, "2 of 3 killed for 16 s and more").await
}

pub(super) async fn rolling_restart() -> Figures {
    let scene = Scene::begin(4000).await;
    scene.outside.broken();
    for node in 1..=3 {
        scene.cluster.command(format!("stop {node}")).await;
        scene.cluster.command(format!("start {node}")).await;
        scene.cluster.whole().await;
    }
    scene.end(3, false, "each node stopped and started").await
}

pub(super) async fn leader_frozen(seconds: f64) -> Figures {
    let scene = Scene::begin(4000).await;
    let node = scene.leader;
    scene.outside.broken();
    scene.cluster.command(format!("pause {node}")).await;
    pause(seconds).await;
    scene.cluster.command(format!("resume {node}")).await;
    scene.end(2, false, &format!("frozen for {seconds} s")).await
}

/// The one node of a deployment without a cluster.
pub(super) async fn broker_frozen(seconds: f64) -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let mut load = load(&deployment, 2000);
    load.rate = 100.0;
    let sent = sending(load);
    pause(2.0).await;
    deployment.node().pause().await;
    pause(seconds).await;
    deployment.node().resume().await;
    outside.healed();
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0 && sent.slowest < SLOWEST, "an answer took {:?}", sent.slowest);
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(1, &sent)).await;
    figures.noting(format!("frozen for {seconds} s, {}", told(&sent)))
}

/// What RabbitMQ 3.10 holds, and how it is declared, taken over to 4: the same declarations fit, the same messages are
/// understood.
pub(super) async fn taken_over() -> Figures {
    let outside = Outside::start().await;
    let old = Cluster::single(None).await;
    let new = Cluster::single(crate::support::nodes::tree_of_environment()).await;
    let mut deployment = Deployment::prepare_at(old.vhost(), &outside, &[]).await;
    deployment.add_ingress().await;
    // Some become dead letters, some wait to be posted again, most are still work.
    outside.sink(410, 0);
    deployment.add_workers(1).await;
    let accepted = load(&deployment, 100).send().await;
    let dead = async || deployment.queue.depths().await.is_ok_and(|d| d.dead >= 100 && d.work + d.outcome == 0);
    until("the first are dead letters", dead).await;
    // So is what a busy machine has stored twice; and it shall not be delivered as well.
    until("nobody holds one of them", async || old.held().await == 0).await;
    outside.sink(503, 0);
    accepted.accepted.join(&load(&deployment, 100).send().await.accepted);
    until("the next wait", async || deployment.queue.depths().await.is_ok_and(|d| d.delayed >= 90)).await;
    let doubts = deployment.doubts(false).await;
    deployment.kill_worker(0);
    accepted.accepted.join(&load(&deployment, 300).send().await.accepted);
    deployment.kill_ingress(0);

    old.copy_to(&new).await;
    outside.sink(200, 0);
    deployment.move_to(new.vhost()).await;
    let inspection = deployment.queue.inspect().await.unwrap();
    assert!(inspection.drifted.is_empty(), "{:?}", inspection.drifted);
    deployment.start_ingress(0).await;
    deployment.start_worker(0);
    outside.healed();
    let (from, to) = (old.version().await, new.version().await);
    assert_ne!(from, to, "RABBITMQ_TREE names a tree with a newer RabbitMQ (tests/rabbitmq4)");
    let bounds = crate::ledger::Bounds { dead: 100, doubts, ..broken_broker(1, &accepted) };
    let figures = settle(&accepted.accepted, &outside, &deployment, bounds).await;
    drop(deployment);
    spawn_blocking(move || drop((old, new))).await.unwrap();
    figures.noting(format!("{from} to {to}, all declared alike"))
}
