//! Time passes, or clocks disagree.

use super::{load, pause, unsure};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::Outside,
    processes::{Deployment, On},
};

/// Debian's package `faketime` puts it there.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Whose clock is wrong.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Who {
    Ingress,
    Worker,
}

pub(super) async fn deadline_passed(on: On) -> Figures {
    let outside = Outside::start().await;
    let mut deployment = Deployment::start(on, &outside, 0, &[]).await;
    let mut load = load(&deployment, 500);
    load.deadline_ms = Some(1500);
    let sent = load.send().await;
    pause(3.0).await;
    deployment.add_workers(1).await;
    outside.healed();
    let figures = settle(&sent.accepted, &outside, &deployment, Bounds::default()).await;
    assert_eq!(outside.calls(), 0, "the model was asked after the deadline");
    figures
}

/// A clock that is wrong makes answers safe too early, never late, never lost: the broker takes what is too old out of
/// the lane by its own clock, and no budget is longer than the whole time from acceptance to deadline.
pub(super) async fn skewed(who: Who, seconds: i32) -> Figures {
    assert!(std::path::Path::new(FAKETIME).exists(), "{FAKETIME} is missing: apt-get install faketime");
    let outside = Outside::start().await;
    let mut deployment = Deployment::prepare(On::RabbitMq, &outside, &[]).await;
    let skewed = match who {
        Who::Ingress => &mut deployment.ingress_environment,
        Who::Worker => &mut deployment.worker_environment,
    };
    for (name, value) in [
        ("LD_PRELOAD", FAKETIME.to_owned()),
        ("FAKETIME", format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ] {
        skewed.insert(name.to_owned(), value);
    }
    deployment.add_ingress().await;
    deployment.add_workers(1).await;
    let mut in_time = load(&deployment, 200);
    in_time.deadline_ms = Some(30_000);
    let sent = in_time.clone().send().await;
    settle(&sent.accepted, &outside, &deployment, unsure(&sent)).await;
    let (_, metrics) = deployment.worker_says(0, "/metrics").await.unwrap();
    let seen: f64 = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cfr_clock_skew_seconds "))
        .and_then(|value| value.parse().ok())
        .unwrap();
    let expected = f64::from(seconds) * if who == Who::Worker { 1.0 } else { -1.0 };
    assert!((seen - expected).abs() < 60.0, "a skew of {expected} s was seen as {seen} s");
    // Too late for the model, by every true clock.
    deployment.kill_worker(0);
    let mut too_late = in_time;
    too_late.deadline_ms = Some(1500);
    let late = too_late.send().await;
    pause(5.0).await;
    deployment.start_worker(0);
    sent.accepted.join(&late.accepted);
    let bounds = Bounds::repeats(sent.unsure() + late.unsure());
    settle(&sent.accepted, &outside, &deployment, bounds).await.noting(format!("seen by the worker as {seen:.0} s"))
}
