//! An operator looks at dead letters and replays them.

use std::process::Output;

use super::{load, scaled, unsure, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::Outside,
    processes::{Deployment, On},
};

/// Runs `cfr` until the broker answers it: where it does not in time, on a busy machine, `cfr` says so and nothing more.
async fn cfr(deployment: &Deployment, arguments: &[&str], unanswered: &mut usize) -> Output {
    loop {
        let output = deployment.cfr(arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return output;
        }
        assert!(said.contains("no answer in time") && *unanswered < 10, "{said}");
        *unanswered += 1;
    }
}

/// A thousand outcomes were refused. They are listed fifty times and shown fifty times, and replayed by a program that is killed in
/// the middle and run twice again.
pub(super) async fn replayed(on: On) -> Figures {
    let outside = Outside::start().await;
    outside.sink(410, 0);
    let deployment = Deployment::start(on, &outside, 2, &[]).await;
    let sent = load(&deployment, 1000).send().await;
    let bounds = Bounds { dead: sent.accepted.count() + sent.unsure(), ..unsure(&sent) };
    let dead = settle(&sent.accepted, &outside, &deployment, bounds).await.dead.seen as u64;
    let one = sent.accepted.ids().into_iter().next().unwrap();
    let mut unanswered = 0;
    let looks = scaled(50);
    for _ in 0..looks {
        let listed = cfr(&deployment, &["dead-letters", "list", "--json"], &mut unanswered).await;
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
        assert!(listed.len() as u64 <= dead, "{} of {dead} were listed", listed.len());
        cfr(&deployment, &["dead-letters", "show", &one], &mut unanswered).await;
    }
    assert_eq!(deployment.queue.depths().await.unwrap().dead, dead, "looking took some");
    outside.sink(200, 0);
    outside.healed();
    let mut replay = deployment.cfr(&["dead-letters", "replay"]).spawn().unwrap();
    until("a part is replayed", async || outside.acknowledged().len() > 50).await;
    replay.kill().await.unwrap();
    let first = outside.acknowledged().len();
    for _ in 0..2 {
        cfr(&deployment, &["dead-letters", "replay"], &mut unanswered).await;
    }
    // On RabbitMQ the one in hand when the program was killed can be both replayed and dead.
    let bounds = Bounds { duplicates: 1 + sent.unsure(), ..unsure(&sent) };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    figures.noting(format!(
        "{dead} dead letters, listed and shown {looks} times each; the first replay was killed after {first}; {unanswered} \
         commands without an answer of the broker in time"
    ))
}
