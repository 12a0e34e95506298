//! The broker is short of disk, memory or room.

use super::{broken_broker, load, pause, scaled, sending, setting, told, unsure, until};
use crate::{
    figures::Figures,
    ledger::{Accepted, Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
    raw::Raw,
};

/// What the broker is short of.
#[derive(Clone, Copy)]
pub(super) enum Alarm {
    Disk,
    Memory,
}

impl Alarm {
    async fn set(self, deployment: &Deployment) {
        match self {
            Self::Disk => deployment.node().set_alarm().await,
            Self::Memory => watermark(deployment, "0.000001").await,
        }
    }

    async fn clear(self, deployment: &Deployment) {
        match self {
            Self::Disk => deployment.node().clear_alarm().await,
            Self::Memory => watermark(deployment, "{absolute, 1000000000}").await,
        }
    }
}

async fn watermark(deployment: &Deployment, limit: &str) {
    deployment.node().eval(format!("vm_memory_monitor:set_vm_memory_high_watermark({limit}).")).await;
}

/// Nothing is promised under the alarm, and nothing lost.
pub(super) async fn alarm(alarm: Alarm) -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    // The alarm is there before the first trigger: how long rabbitmqctl takes does not matter then.
    alarm.set(&deployment).await;
    let sent = sending(load(&deployment, 2000));
    let seconds = f64::max(30.0 * setting("SCALE", 1.0), 8.0);
    pause(seconds).await;
    assert!(outside.calls() < 200, "{} triggers were worked on under the alarm", outside.calls());
    alarm.clear(&deployment).await;
    outside.healed();
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0, "nothing was refused under the alarm");
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(1, &sent)).await;
    figures.noting(format!("alarm of {seconds:.0} s, {}", told(&sent)))
}

/// An alarm stops who publishes; what is in flight is finished and acknowledged all the same.
pub(super) async fn settling_under_an_alarm() -> Figures {
    let outside = Outside::start().await;
    outside.sink(503, 0);
    let deployment = Deployment::start(On::RabbitMq, &outside, 1, &[]).await;
    let sent = load(&deployment, 60).send().await;
    let count = sent.accepted.count();
    let tried = || outside.arrivals().values().filter(|arrivals| arrivals.len() >= 3).count();
    let delayed = async || deployment.queue.depths().await.map_or(0, |depths| depths.delayed as usize);
    until("all wait for their fourth try", async || tried() == count && delayed().await == count).await;
    // There are thirty seconds until then.
    Alarm::Disk.set(&deployment).await;
    outside.sink(200, 0);
    until("all are posted under the alarm", async || outside.acknowledged().len() == count).await;
    let raw = Raw::open(&deployment).await;
    until("their deliveries are acknowledged under the alarm", async || {
        raw.unsettled(&deployment, "fr.outcome").await == 0
    })
    .await;
    Alarm::Disk.clear(&deployment).await;
    outside.healed();
    let figures = settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    figures.noting("acknowledged while the alarm was on")
}

/// More waits than the broker has memory for, if it were let in: the ingress stops before the broker must.
pub(super) async fn memory_pressure() -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 0));
    let settings = [("CFR__QUEUE__SOFT_LIMIT", "10000")];
    let mut deployment = Deployment::start(On::RabbitMq, &outside, 0, &settings).await;
    watermark(&deployment, "{absolute, 314572800}").await;
    let mut load = load(&deployment, 100_000);
    (load.padding, load.senders) = (2048, 32);
    let sent = sending(load);
    // A small run never comes to the limit.
    let limit = scaled(100_000).min(10_000) as u64;
    until("the backlog stands", async || deployment.queue.depths().await.is_ok_and(|d| d.work >= limit)).await;
    pause(10.0).await;
    let depth = deployment.queue.depths().await.unwrap().work;
    let alarms = deployment.node().eval("rabbit_alarm:get_alarms().").await;
    assert_eq!(alarms.trim(), "[]", "the broker had to stop us at a depth of {depth}");
    deployment.add_workers(3).await;
    let sent = sent.await.unwrap();
    outside.healed();
    let figures = settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    watermark(&deployment, "{absolute, 1000000000}").await;
    figures.noting(format!("triggers of 2 KiB, watermark 300 MiB, depth {depth}; {}", told(&sent)))
}

pub(super) async fn backlog() -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(On::RabbitMq, &outside, 0, &[("CFR__QUEUE__SOFT_LIMIT", "500")]).await;
    let mut load = load(&deployment, 1500);
    load.count = load.count.max(1000);
    let sent = sending(load);
    until("the backlog stands", async || deployment.queue.depths().await.unwrap().work >= 500).await;
    // The depth is looked at each second: what is accepted until then is the overshoot.
    pause(3.0).await;
    let depth = deployment.queue.depths().await.unwrap().work;
    pause(2.0).await;
    assert_eq!(deployment.queue.depths().await.unwrap().work, depth, "more was accepted past the limit");
    deployment.add_workers(1).await;
    outside.healed();
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0);
    let figures = settle(&sent.accepted, &outside, &deployment, Bounds::default()).await;
    figures.noting(format!("soft limit 500, depth {depth}; {}", told(&sent)))
}

/// The operator's cap on the work lane is reached while retries wait: nothing is promised beyond it, and the retries
/// come in when there is room.
pub(super) async fn hard_cap() -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(On::RabbitMq, &outside, 0, &[]).await;
    let vhost = deployment.vhost.clone().unwrap();
    deployment.node().limit_queue(&vhost, "^fr.work$", 100).await;
    let retries = Accepted::default();
    let raw = Raw::open(&deployment).await;
    for _ in 0..100 {
        retries.add(raw.trigger("fr.in", "retry.work.5s").await);
    }
    let mut load = load(&deployment, 600);
    load.count = load.count.max(300);
    let sent = sending(load);
    let waiting = async || deployment.queue.depths().await.unwrap();
    until("the cap is reached", async || waiting().await.work >= 100).await;
    // The waits pass, and the lane takes none of them.
    pause(8.0).await;
    let depth = waiting().await.work;
    deployment.add_workers(1).await;
    outside.healed();
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0, "nothing was refused beyond the cap");
    sent.accepted.join(&retries);
    let figures = settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    figures.noting(format!("cap 100, depth {depth}, 100 retries waiting; {}", told(&sent)))
}
