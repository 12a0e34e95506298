//! The same processes for a long time, with a fault every now and then: what they hold does not grow.
//!
//! `MINUTES` (120), a fault each `EVERY` seconds (60).

use std::time::{Duration, Instant};

use super::{SLOTS, pause, sending, setting, told, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
    sender::Load,
};

/// Faults of a round. The first round is for getting warm: caches, pools and allocators have grown by then.
const ROUND: usize = 5;
/// Channels of a process beside its publishers' pool: the pulse, notices told and heard, three lanes, one look.
const CHANNELS_BESIDE: usize = 7;
/// The publishers' pool, by default; the suite's own queue has as many.
const POOL: usize = 8;

/// What one process, or the broker, holds between two faults.
#[derive(Clone, Copy, Debug)]
struct Held {
    files: usize,
    kilobytes: usize,
}

pub(super) async fn run() -> Figures {
    let (minutes, every) = (setting("MINUTES", 120.0), setting("EVERY", 60.0));
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::RabbitMq, &outside, 2, &[]).await;
    let mut load = Load::new(deployment.webhooks(), (minutes * 60.0 * 20.0) as usize);
    load.rate = 20.0;
    let (began, sent) = (Instant::now(), sending(load));
    let (mut faults, mut samples, mut most_channels) = (0, Vec::new(), 0);
    while !sent.is_finished() {
        fault(faults % ROUND, &deployment, &outside).await;
        faults += 1;
        outside.healed();
        let next = began + Duration::from_secs_f64(faults as f64 * every);
        tokio::time::sleep_until(next.into()).await;
        until("nothing waits", async || deployment.queue.depths().await.is_ok_and(|depths| depths.work < 100)).await;
        samples.push(held(&deployment));
        let channels = deployment.node().eval("length(rabbit_channel:list()).").await;
        most_channels = most_channels.max(channels.trim().parse().unwrap());
    }
    let sent = sent.await.unwrap();
    let processes = deployment.pids().len();
    assert!(faults >= 3 * ROUND, "too short: {faults} faults");
    let (early, late) = (&samples[ROUND - 1..2 * ROUND], &samples[samples.len() - ROUND..]);
    let mut grown = Vec::new();
    for process in 0..processes {
        let most =
            |samples: &[Vec<Held>], of: fn(&Held) -> usize| samples.iter().map(|all| of(&all[process])).max().unwrap();
        let files = [most(early, |held| held.files), most(late, |held| held.files)];
        let memory = [most(early, |held| held.kilobytes), most(late, |held| held.kilobytes)];
        assert!(files[1] <= files[0] + 16, "process {process} had {} open files and has {}", files[0], files[1]);
        assert!(memory[1] <= memory[0] * 5 / 4 + 8192, "process {process} had {} kB and has {}", memory[0], memory[1]);
        grown.push(format!("{}→{} files, {}→{} MB", files[0], files[1], memory[0] / 1024, memory[1] / 1024));
    }
    let allowed = (processes + 1) * (POOL + CHANNELS_BESIDE);
    assert!(most_channels <= allowed, "{most_channels} channels, {allowed} allowed");
    let bounds = Bounds::repeats(faults * 4 * SLOTS + sent.unsure());
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    let grown = grown.join("; ");
    figures
        .noting(format!("{faults} faults in {minutes} min; {grown}; {most_channels} channels at most; {}", told(&sent)))
}

async fn fault(number: usize, deployment: &Deployment, outside: &Outside) {
    match number {
        0 => deployment.node().close_connections().await,
        1 => {
            outside.sink(503, 0);
            pause(3.0).await;
            outside.sink(200, 0);
        }
        2 => {
            deployment.node().kill().await;
            deployment.node().start().await;
        }
        3 => {
            outside.model(Model::Answers(503, 5));
            pause(3.0).await;
            outside.model(Model::Answers(200, 20));
        }
        _ => {
            deployment.node().set_alarm().await;
            pause(3.0).await;
            deployment.node().clear_alarm().await;
        }
    }
}

/// Of each process, the ingress first.
fn held(deployment: &Deployment) -> Vec<Held> {
    let of = |pid: u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Held { files, kilobytes: line.trim().trim_end_matches(" kB").parse().unwrap() }
    };
    deployment.pids().into_iter().map(of).collect()
}
