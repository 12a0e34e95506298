//! An operator looks at dead letters and replays them.

use super::{load, scaled, unsure, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::Outside,
    processes::{Deployment, On},
};

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
    for _ in 0..scaled(50) {
        for arguments in [&["dead-letters", "list", "--json"][..], &["dead-letters", "show", &one]] {
            let looked = deployment.cfr(arguments).output().await.unwrap();
            assert!(looked.status.success(), "{}", String::from_utf8_lossy(&looked.stderr));
        }
    }
    assert_eq!(deployment.queue.depths().await.unwrap().dead, dead, "looking took some");
    outside.sink(200, 0);
    outside.healed();
    let mut replay = deployment.cfr(&["dead-letters", "replay"]).spawn().unwrap();
    until("a part is replayed", async || outside.acknowledged().len() > 50).await;
    replay.kill().await.unwrap();
    let first = outside.acknowledged().len();
    for _ in 0..2 {
        let replay = deployment.cfr(&["dead-letters", "replay"]).output().await.unwrap();
        assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    }
    // On RabbitMQ the one in hand when the program was killed can be both replayed and dead.
    let bounds = Bounds { duplicates: 1 + sent.unsure(), ..unsure(&sent) };
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    figures.noting(format!(
        "{dead} dead letters, listed and shown 50 times each; the first replay was killed after {first}"
    ))
}
