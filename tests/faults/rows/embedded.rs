//! What can befall the embedded queue's directory, and the processes that share it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rand::Rng;
use tempfile::TempDir;

use super::{SLOTS, load, pause, rng, sending, told, until};
use crate::{
    figures::Figures,
    ledger::{Bounds, settle},
    outside::{Model, Outside},
    processes::{Deployment, On},
};

/// Two ingresses and three workers share one directory; each is killed at random.
pub(super) async fn everything_killed() -> Figures {
    let outside = Outside::start().await;
    outside.model(Model::Answers(200, 50));
    let mut deployment = Deployment::start(On::Embedded, &outside, 3, &[]).await;
    deployment.add_ingress().await;
    let mut rng = rng();
    let sent = sending(load(&deployment, 20_000));
    let mut kills = 0;
    while !sent.is_finished() {
        pause(rng.random_range(0.3..2.0)).await;
        match rng.random_range(0..5) {
            number @ 0..2 => deployment.renew_ingress(number).await,
            number => deployment.renew_worker(number - 2),
        }
        outside.healed();
        kills += 1;
    }
    let sent = sent.await.unwrap();
    let bounds = Bounds::repeats(kills * 2 * SLOTS + sent.unsure());
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    figures.noting(format!("2 ingresses, 3 workers, {kills} kills, {}", told(&sent)))
}

/// A file system of its own, unmounted when dropped.
struct Mounted(TempDir);

impl Mounted {
    fn small() -> Self {
        let directory = TempDir::new().unwrap();
        let run = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(run.success(), "this row mounts a small tmpfs, which needs root");
        Self(directory)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The disk is full: nothing is promised, what was promised stays; then there is room again.
pub(super) async fn disk_full() -> Figures {
    let disk = Mounted::small();
    let outside = Outside::start().await;
    let directory = TempDir::new_in(disk.0.path()).unwrap();
    let mut deployment = Deployment::prepare_in(directory, On::Embedded, &outside, &[]).await;
    deployment.add_ingress().await;
    let mut large = load(&deployment, 4000);
    large.padding = 2048;
    large.until = Some(std::time::Instant::now() + std::time::Duration::from_secs(15));
    let filled = large.send().await;
    assert!(filled.refused > 0, "the disk was not filled");
    let run = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk.0.path()).status().unwrap();
    assert!(run.success());
    outside.healed();
    deployment.add_workers(2).await;
    let sent = sending(load(&deployment, 500)).await.unwrap();
    let stored = filled.accepted.count();
    sent.accepted.join(&filled.accepted);
    let bounds = Bounds::repeats(filled.unsure() + sent.unsure());
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    drop(deployment);
    figures.noting(format!("6 MB full after {stored} triggers of 2 KiB; {}", told(&filled)))
}

/// The queue's file and its log, which nobody can write until this is dropped, whoever has them open. (A file system that is
/// written to cannot be made read-only as a whole. Its shared index is left out: who writes to that by memory would be killed
/// by the kernel, which is another fault.)
struct Unwritable(Vec<PathBuf>);

impl Unwritable {
    fn make(place: &Path) -> Self {
        let unwritable = Self(["queue.sqlite3", "queue.sqlite3-wal"].map(|name| place.join(name)).into());
        assert!(unwritable.change("+i"), "this row makes files immutable, which needs root and ext4 under {place:?}");
        unwritable
    }

    fn change(&self, flag: &str) -> bool {
        Command::new("chattr").arg(flag).args(&self.0).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Unwritable {
    fn drop(&mut self) {
        self.change("-i");
    }
}

/// Under ingress and workers that have them open, the queue's files cannot be written for a while, three times.
pub(super) async fn unwritable() -> Figures {
    let outside = Outside::start().await;
    let deployment = Deployment::start(On::Embedded, &outside, 2, &[]).await;
    let place = PathBuf::from(&deployment.environment["CFR__QUEUE__EMBEDDED__DIRECTORY"]);
    // One that only starts would end with its reason.
    until("the workers are ready", async || {
        let ready = [deployment.worker_says(0, "/readyz").await, deployment.worker_says(1, "/readyz").await];
        ready.into_iter().all(|answer| answer.is_some_and(|(status, _)| status == 200))
    })
    .await;
    let sent = sending(load(&deployment, 3000));
    let (mut times, mut delivered) = (0, 0);
    while times < 3 && !sent.is_finished() {
        pause(1.0).await;
        let unwritable = Unwritable::make(&place);
        // What was stored just before is answered.
        pause(0.5).await;
        let before = outside.acknowledged().len();
        pause(3.0).await;
        delivered += outside.acknowledged().len() - before;
        drop(unwritable);
        outside.healed();
        times += 1;
    }
    let sent = sent.await.unwrap();
    assert!(sent.refused > 0, "everything was promised although nothing could be written");
    let bounds = Bounds::repeats(times * 2 * 2 * SLOTS + sent.unsure());
    let figures = settle(&sent.accepted, &outside, &deployment, bounds).await;
    figures.noting(format!("{times} times for 3.5 s; {delivered} delivered meanwhile; {}", told(&sent)))
}
