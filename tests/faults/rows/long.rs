//! The long run: a steady flow while everything is killed at random.
//!
//! `TRIGGERS` (200,000) within `MINUTES` (30).

use std::time::Instant;

use rand::Rng;

use super::{Kills, pause, processes::one_of_everything, rng, sending, setting, told};
use crate::{
    figures::Figures,
    ledger::settle,
    outside::{Model, Outside},
    processes::{Deployment, On},
    sender::Load,
};

pub(super) async fn run() -> Figures {
    let (triggers, minutes) = (setting("TRIGGERS", 200_000), setting("MINUTES", 30.0));
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 100));
    let mut deployment = Deployment::start(On::RabbitMq, &outside, 3, &[]).await;
    deployment.add_ingress().await;
    let mut rng = rng();
    let mut load = Load::new(deployment.webhooks(), triggers);
    (load.senders, load.rate) = (64, triggers as f64 / (minutes * 60.0));
    let (began, sent) = (Instant::now(), sending(load));
    let mut kills = Kills::default();
    outside.broken();
    while !sent.is_finished() {
        pause(rng.random_range(1.0..6.0)).await;
        // The broker once in a minute or two: while it is away nothing else can be seen to break.
        let what = if rng.random_range(0..4) == 0 { rng.random_range(0..4) } else { rng.random_range(1..10) };
        one_of_everything(&mut deployment, what, rng.random_range(0..6), &mut kills).await;
        if kills.all().is_multiple_of(50) {
            let (delivered, seconds) = (outside.acknowledged().len(), began.elapsed().as_secs());
            println!("      {seconds} s: {delivered} delivered, {kills}");
        }
    }
    let sent = sent.await.unwrap();
    let figures = settle(&sent.accepted, &outside, &deployment, kills.bounds(&sent)).await;
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    figures.noting(format!("{minutes:.0} min; {kills}; {}", told(&sent)))
}
