//! The broker goes away, freezes, or turns us out.

use std::time::Duration;

use super::{SLOTS, broken_broker, load, pause, sending, told, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
};

pub(super) async fn killed() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 4000));
    let mut kills = 0;
    while !sent.is_finished() && kills < 5 {
        pause(2.0).await;
        deployment.node().kill().await;
        deployment.node().start().await;
        outside.healed();
        kills += 1;
    }
    let sent = sent.await.unwrap();
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(kills, &sent)).await;
    figures.noting(format!("{kills} kills, {}", told(&sent)))
}

pub(super) async fn restarted() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 3000));
    pause(2.0).await;
    deployment.node().stop().await;
    deployment.node().start().await;
    outside.healed();
    let sent = sent.await.unwrap();
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(1, &sent)).await;
    figures.noting(told(&sent))
}

pub(super) async fn frozen() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 2000));
    pause(2.0).await;
    deployment.node().pause().await;
    pause(25.0).await;
    deployment.node().resume().await;
    outside.healed();
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0, "nothing was refused while the broker was frozen");
    assert!(sent.slowest < Duration::from_secs(14), "an answer took {:?}", sent.slowest);
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(1, &sent)).await;
    figures.noting(format!("frozen for 25 s, {}", told(&sent)))
}

pub(super) async fn connections_closed() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 3000));
    for _ in 0..3 {
        pause(1.0).await;
        deployment.node().close_connections().await;
        outside.healed();
    }
    let sent = sent.await.unwrap();
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(3, &sent)).await;
    figures.noting(format!("3 times, {}", told(&sent)))
}

/// The broker closes the channel of a consumer that holds a delivery for too long. What that one decides afterwards is no
/// longer its own; the delivery goes to somebody else, and there is one outcome.
pub(super) async fn consumer_timeout() -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 150_000));
    let settings = [("CFR__PROFILES__DEFAULT__LLM__ATTEMPT_TIMEOUT", "200s")];
    let mut deployment = Deployment::prepare(On::RabbitMq, &outside, &settings).await;
    // A channel keeps what it found when it was opened, and looks at it once a minute.
    deployment.node().eval("application:set_env(rabbit, consumer_timeout, 10000).").await;
    deployment.add_ingress().await;
    deployment.add_workers(1).await;
    let sent = load(&deployment, 20).send().await;
    let asked = outside.calls();
    until("the model is asked", async || outside.calls() >= asked.max(20)).await;
    outside.model(Model::Answers(200, 20));
    until("the broker takes them back", async || outside.outcomes("success") >= 20).await;
    outside.healed();
    deployment.node().eval("application:set_env(rabbit, consumer_timeout, 1800000).").await;
    // The first answers come.
    pause(60.0).await;
    let bounds = Bounds { extra_calls: 2 * SLOTS, ..Bounds::default() };
    settle(&sent.accepted, &outside, &deployment, bounds).await.noting("consumer timeout of 10 s")
}
