//! Our own processes are killed, stopped and frozen.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::Rng;

use super::{Kills, SLOTS, load, pause, rng, scaled, sending, told, unsure, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
};

pub(super) async fn ingress_killed(on: On) -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(on, &outside, 2, &[]).await;
    let mut rng = rng();
    let sent = sending(load(&deployment, 3000));
    let mut kills = 0;
    while !sent.is_finished() {
        pause(rng.random_range(0.5..2.0)).await;
        outside.broken();
        deployment.renew_ingress(0).await;
        outside.healed();
        kills += 1;
    }
    let sent = sent.await.unwrap();
    // What was stored but not answered is sent again under the same id, and a new ingress does not know it.
    let figures = settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    figures.noting(format!("{kills} kills, {}", told(&sent)))
}

pub(super) async fn workers_killed(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 100));
    let mut deployment = Deployment::start(on, &outside, 3, &[]).await;
    let mut rng = rng();
    let sent = sending(load(&deployment, 4000));
    let mut kills = 0;
    while !sent.is_finished() {
        // Killed before it works, on a busy machine, none would have anything to lose.
        let asked = outside.calls() + 20;
        let _ = tokio::time::timeout(Duration::from_secs(20), async {
            while outside.calls() < asked && !sent.is_finished() {
                pause(0.05).await;
            }
        })
        .await;
        pause(rng.random_range(0.0..0.5)).await;
        outside.broken();
        deployment.renew_worker(outside.asker());
        outside.healed();
        kills += 1;
    }
    let sent = sent.await.unwrap();
    let bounds = Bounds::repeats(kills * SLOTS + sent.unsure());
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    let repeated = outside.calls().saturating_sub(figures.accepted);
    assert!(repeated > 0, "no kill took anything in hand: the row did not reach its window");
    figures.noting(format!("{kills} kills"))
}

pub(super) async fn workers_stopped(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 200));
    let mut deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 2000));
    let (mut stops, mut doubts) = (0, 0);
    while !sent.is_finished() {
        pause(1.0).await;
        let number = stops % 2;
        // What it is not sure of goes with it.
        doubts += deployment.doubts_of(number, true).await;
        deployment.stop_worker(number);
        deployment.start_worker(number);
        outside.healed();
        stops += 1;
    }
    let sent = sent.await.unwrap();
    let bounds = Bounds { doubts, ..unsure(&sent) };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    figures.noting(format!("{stops} stops, {}", told(&sent)))
}

/// Another worker gets the frozen one's deliveries; when it wakes it posts nothing that is no longer its own.
pub(super) async fn worker_frozen() -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 100));
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let sent = sending(load(&deployment, 2000));
    pause(1.0).await;
    deployment.signal_worker(0, Signal::SIGSTOP);
    let frozen = Instant::now();
    let sent = sent.await.unwrap();
    let others = async || outside.acknowledged().is_superset(&sent.accepted.ids());
    until("what the frozen worker held is decided by the other", others).await;
    let taken_over = frozen.elapsed().as_secs_f64();
    pause(90.0 - taken_over).await;
    deployment.signal_worker(0, Signal::SIGCONT);
    outside.healed();
    let figures = settle(&sent.accepted, &outside, &deployment, Bounds::repeats(2 * SLOTS)).await;
    figures.noting(format!("frozen for 90 s; all delivered by the other worker after {taken_over:.0} s"))
}

/// The sink has written the outcome; before it answers, the worker dies. The outcome is stored, so the next post repeats
/// its bytes.
pub(super) async fn worker_killed_at_the_callback(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.sink(200, 700);
    let mut arrived = outside.arrived();
    let mut deployment = Deployment::start(on, &outside, 1, &[("CFR__WORKER__SLOTS__OUTCOME", "8")]).await;
    let sent = load(&deployment, 200).send().await;
    let count = sent.accepted.count();
    let undecided = async || deployment.queue.depths().await.map_or(1, |depths| depths.work + depths.delayed);
    until("everything is decided", async || outside.calls() >= count && undecided().await == 0).await;
    // And stored, so that only the outcome lane has something to lose.
    pause(2.0).await;
    while arrived.try_recv().is_ok() {}
    for _ in 0..3 {
        arrived.recv().await.unwrap();
        deployment.renew_worker(0);
        // What the old one had posted is known to the sink already.
        while arrived.try_recv().is_ok() {}
    }
    outside.healed();
    outside.sink(200, 0);
    let unsure = sent.unsure();
    let bounds =
        Bounds { duplicates: 3 * 8 + unsure, second_outcomes: unsure, extra_calls: unsure, ..Bounds::default() };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    assert!(figures.duplicates.seen > 0, "no post was repeated: the row did not reach its window");
    figures.noting("3 kills between the sink's note and its answer")
}

/// Every request comes twice at once, and again after it was accepted.
pub(super) async fn sent_twice(on: On) -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let mut load = load(&deployment, 500);
    load.copies = 2;
    let sent = load.send().await;
    assert_eq!(sent.accepted.count(), scaled(500), "one trigger each");
    let figures = settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    figures.noting(format!("three requests each; {}", told(&sent)))
}

pub(super) async fn everything_at_random() -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 100));
    let mut deployment = Deployment::start(On::RabbitMq, &outside, 3, &[]).await;
    deployment.add_ingress().await;
    let mut rng = rng();
    let sent = sending(load(&deployment, 20_000));
    let mut kills = Kills::default();
    outside.broken();
    while !sent.is_finished() {
        pause(rng.random_range(1.0..4.0)).await;
        one_of_everything(&mut deployment, rng.random_range(0..10), rng.random_range(0..6), &mut kills).await;
    }
    let sent = sent.await.unwrap();
    let figures = settle(&sent.accepted, &outside, &deployment, kills.bounds(&sent)).await;
    figures.noting(format!("{kills}; {}", told(&sent)))
}

/// Kills the broker, one of two ingresses or one of three workers, and starts it again.
pub(super) async fn one_of_everything(deployment: &mut Deployment, what: usize, which: usize, kills: &mut Kills) {
    match what {
        0 => {
            deployment.node().kill().await;
            deployment.node().start().await;
            kills.brokers += 1;
        }
        1..=3 => {
            deployment.renew_ingress(which % 2).await;
            kills.ingresses += 1;
        }
        _ => {
            deployment.renew_worker(which % 3);
            kills.workers += 1;
        }
    }
}
