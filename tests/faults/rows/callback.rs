//! The receiver of callbacks is down, slow or strange.

use super::{load, pause, sending, unsure, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Outside, Sink},
    processes::{Deployment, On},
};

pub(super) async fn down(on: On) -> Figures {
    recovers(on, 503, 5.0, &[]).await
}

pub(super) async fn answers_500() -> Figures {
    recovers(On::RabbitMq, 500, 5.0, &[]).await
}

/// Longer than the longest delay level, so every level is used, and as long as an outcome is tried unless told otherwise.
pub(super) async fn down_for_ten_minutes() -> Figures {
    recovers(On::RabbitMq, 503, 600.0, &[("CFR__PROFILES__DEFAULT__CALLBACK__MAX_AGE", "20m")]).await
}

async fn recovers(on: On, status: u16, seconds: f64, changes: &[(&str, &str)]) -> Figures {
    let outside = Outside::start().await;
    outside.sink(status, 0);
    let deployment = Deployment::start(on, &outside, 2, changes).await;
    let sent = load(&deployment, 500).send().await;
    pause(seconds).await;
    outside.sink(200, 0);
    outside.healed();
    let figures = settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    figures.noting(format!("{status} for {seconds:.0} s"))
}

/// The receiver writes it down and answers after 25 s, when nobody listens any more. Deciding goes on meanwhile.
pub(super) async fn slow() -> Figures {
    let outside = Outside::start().await;
    outside.sink(200, 25_000);
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 500)).await.unwrap();
    let count = sent.accepted.count();
    until("everything is decided while every post hangs", async || outside.calls() >= count).await;
    pause(15.0).await;
    outside.sink(200, 0);
    outside.healed();
    let unsure = sent.unsure();
    // Two workers, all slots, for as long as it was slow.
    let bounds = Bounds { duplicates: 3 * count, second_outcomes: unsure, extra_calls: unsure, ..Bounds::default() };
    settle(&sent.accepted, &outside, &deployment, bounds).await.noting("answers after 25 s")
}

/// An answer that will not change: the outcome waits for an operator.
pub(super) async fn refuses(status: u16) -> Figures {
    let outside = Outside::start().await;
    outside.sink(status, 0);
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = load(&deployment, 200).send().await;
    let bounds = Bounds { dead: sent.accepted.count() + sent.unsure(), ..unsure(&sent) };
    settle(&sent.accepted, &outside, &deployment, bounds).await
}

pub(super) async fn huge_answer() -> Figures {
    let outside = Outside::start().await;
    outside.sink_answers(Sink { status: 200, delay_ms: 0, size: 10_000_000 });
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = load(&deployment, 200).send().await;
    settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await
}
