//! Somebody deletes what we declared, while the programs run.

use std::{sync::Arc, time::Duration};

use cognigy_fallback_router::{
    message::Lane,
    metrics::Metrics,
    queue::{self, Limits, QueueError},
};
use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeleteOptions},
    types::FieldTable,
};

use super::{broken_broker, load, pause, scaled, sending, told, until};
use crate::{
    figures::Figures,
    ledger::settle,
    outside::Outside,
    processes::{Deployment, On},
    raw::Raw,
};

/// Until triggers are delivered again after queues were deleted: that of a machine that is busy with much else.
const RECOVERY: Duration = Duration::from_secs(15);

/// Empty queues are deleted: what was in them would be the operator's loss. Consumers are cancelled, the worker is not
/// ready until it consumes again, and nothing is promised that has no queue.
pub(super) async fn queues_deleted() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let first = load(&deployment, 200).send().await;
    settle(&first.accepted, &outside, &deployment, broken_broker(1, &first)).await;
    let raw = Raw::open(&deployment).await;
    for name in ["fr.work", "fr.outcome", "fr.late", "fr.retry.outcome.1s"] {
        raw.channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
    }
    outside.healed();
    let sent = load(&deployment, 1000).send().await;
    sent.accepted.join(&first.accepted);
    until("the workers are ready", async || {
        let ready = [deployment.worker_says(0, "/readyz").await, deployment.worker_says(1, "/readyz").await];
        ready.into_iter().all(|answer| answer.is_some_and(|(status, _)| status == 200))
    })
    .await;
    // Until they are declared again the alternate exchange catches what comes.
    let caught = replay_what_was_caught(&deployment).await;
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(1, &sent)).await;
    let recovery = figures.recovery.unwrap_or_default();
    assert!(recovery < RECOVERY, "a consumer of a deleted queue was handed nothing for {recovery:?}");
    figures.noting(format!("4 queues deleted; {caught} caught and replayed; {}", told(&sent)))
}

/// The alternate exchange catches what no queue is bound for; the bindings are made again, and the operator replays what
/// was caught.
pub(super) async fn bindings_removed() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 1500));
    let raw = Raw::open(&deployment).await;
    for _ in 0..3 {
        pause(0.5).await;
        for key in ["work", "outcome"] {
            let queue = format!("fr.{key}");
            raw.channel
                .queue_unbind(queue.as_str().into(), "fr.in".into(), key.into(), FieldTable::default())
                .await
                .unwrap();
        }
    }
    let sent = sent.await.unwrap();
    // What comes now goes the whole way: the bindings are there again.
    let healed = async || {
        let before = outside.acknowledged().len();
        let one = load(&deployment, 1).send().await;
        sent.accepted.join(&one.accepted);
        pause(1.0).await;
        outside.acknowledged().len() >= before + one.accepted.count()
    };
    until("the bindings are made again", healed).await;
    outside.healed();
    let caught = replay_what_was_caught(&deployment).await;
    assert!(caught > 0, "nothing was caught");
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(3, &sent)).await;
    figures.noting(format!("3 times; {caught} caught and replayed; {}", told(&sent)))
}

/// The operator's part: what came while a binding was missing.
async fn replay_what_was_caught(deployment: &Deployment) -> u64 {
    let caught = deployment.queue.depths().await.unwrap().dead;
    let replay = deployment.cfr(&["dead-letters", "replay"]).output().await.unwrap();
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    caught
}

/// A new exchange has no bindings for a moment: what comes then is caught as well.
pub(super) async fn exchanges_deleted() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 2000));
    let raw = Raw::open(&deployment).await;
    for name in ["fr.in", "fr.dlx", "fr.probe"] {
        pause(1.0).await;
        raw.channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await.unwrap();
        outside.healed();
    }
    let sent = sent.await.unwrap();
    pause(3.0).await;
    let caught = replay_what_was_caught(&deployment).await;
    let figures = settle(&sent.accepted, &outside, &deployment, broken_broker(3, &sent)).await;
    figures.noting(format!("fr.in, fr.dlx, fr.probe; {caught} caught and replayed; {}", told(&sent)))
}

/// Many publishes at once, every second one to nowhere: none of these may be told that it is stored, and all that are told
/// so are stored. (On a channel that publishes share, the client library confuses them.) There is no deployment here; the queue is used directly.
pub(super) async fn unroutable_mix() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::prepare(On::RabbitMq, &outside, &[]).await;
    let raw = Raw::open(&deployment).await;
    let delete = raw.channel.exchange_delete("fr.in".into(), ExchangeDeleteOptions::default());
    delete.await.unwrap();
    // Without an alternate exchange, and without a binding for outcomes.
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declare = raw.channel.exchange_declare("fr.in".into(), ExchangeKind::Direct, options, FieldTable::default());
    declare.await.unwrap();
    let bind = raw.channel.queue_bind(
        "fr.work".into(),
        "fr.in".into(),
        "work".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bind.await.unwrap();
    let mut config = deployment.vhost.as_ref().unwrap().config();
    (config.declare, config.channels) = (false, 64);
    (config.channel_timeout, config.confirm_timeout) = (super::PATIENT, super::PATIENT);
    let limits = Limits { soft_limit: 1_000_000, reserve: Duration::from_secs(2) };
    let queue = queue::rabbitmq::connect(&config, limits, Arc::new(Metrics::new("faults").unwrap())).unwrap();
    queue.ready().await.unwrap();
    let publisher = queue.publisher();
    let publishers: Vec<_> = (0..64)
        .map(|_| {
            let publisher = Arc::clone(&publisher);
            tokio::spawn(async move {
                let (mut stored, mut unknown, mut wrong) = (0, 0, 0);
                for number in 0..scaled(60) {
                    let lane = if number % 2 == 0 { Lane::Work } else { Lane::Outcome };
                    match (lane, publisher.publish(lane, &crate::raw::message()).await) {
                        (Lane::Work, Ok(())) => stored += 1,
                        (Lane::Outcome, Err(QueueError::Refused { reason: "unroutable", .. })) => {}
                        (_, Err(QueueError::Unknown(_))) => unknown += 1,
                        _ => wrong += 1,
                    }
                }
                (stored, unknown, wrong)
            })
        })
        .collect();
    let (mut stored, mut unknown, mut wrong) = (0, 0, 0);
    for publisher in publishers {
        let counts = publisher.await.unwrap();
        stored += counts.0;
        unknown += counts.1;
        wrong += counts.2;
    }
    assert_eq!(wrong, 0, "so many publishes were told the fate of another");
    let depth = deployment.queue.depths().await.unwrap().work;
    assert!((stored..=stored + unknown).contains(&depth), "{depth} are stored, {stored} told so, {unknown} unknown");
    queue.close().await;
    Figures::of_a_queue(stored as usize).noting(format!(
        "publishes instead of triggers; as many to nowhere: none was told to be stored, {unknown} of all learned nothing"
    ))
}
