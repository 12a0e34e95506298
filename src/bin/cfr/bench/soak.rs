//! A steady load for long: what ingress and workers hold must not grow.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    children::{Holding, Process},
    stage::Stage,
};
use crate::bar::bar;

/// How often is looked, at most; a short run is looked at a hundred times.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_secs(10);
/// Requests under way at once; what would be more is left out, and the load is as much lighter.
const UNDER_WAY: usize = 256;
/// What the last third of a run may hold more than the second: a share of memory and beside it MiB, and files.
const GROWTH: (f64, f64, usize) = (1.05, 4.0, 16);

/// What one process held, look by look.
pub(super) struct Course {
    pub(super) name: String,
    pub(super) held: Vec<Holding>,
}

/// How a steady load went.
pub(super) struct Soaked {
    pub(super) took: Duration,
    pub(super) accepted: u64,
    /// Answered with 503: to be sent again.
    pub(super) refused: u64,
    pub(super) courses: Vec<Course>,
}

impl Stage<'_> {
    /// Sends at `rate` a second for so long, and waits for every callback.
    pub(super) async fn soak(&mut self, length: Duration, rate: f64) -> anyhow::Result<Soaked> {
        let mut courses = self.courses();
        let looking = LOOK.min(length / LOOKS);
        let (begun, mut look) = (Instant::now(), interval(looking));
        let mut beat = interval(Duration::from_secs_f64(1.0 / rate.max(1.0)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let bar = bar("soaking", length.as_secs());
        let (places, mut senders, before) = (Arc::new(Semaphore::new(UNDER_WAY)), JoinSet::new(), self.accepted);
        let mut refused = 0;
        while begun.elapsed() < length {
            tokio::select! {
                _ = beat.tick() => if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    let sender = self.sender.clone();
                    senders.spawn(async move {
                        let sent = sender.once().await;
                        drop(place);
                        sent
                    });
                },
                Some(sent) = senders.join_next() => if sent?? { self.accepted += 1 } else { refused += 1 },
                _ = look.tick() => {
                    self.look(&mut courses);
                    bar.set_position(begun.elapsed().as_secs());
                }
            }
        }
        while let Some(sent) = senders.join_next().await {
            if sent?? {
                self.accepted += 1;
            } else {
                refused += 1;
            }
        }
        let took = begun.elapsed();
        while self.simulators.cognigy.received_in_all() < self.accepted {
            sleep(looking).await;
        }
        Ok(Soaked { took, accepted: self.accepted - before, refused, courses })
    }

    fn courses(&self) -> Vec<Course> {
        let workers = (1..=self.workers.len()).map(|number| format!("worker {number}"));
        let names = std::iter::once("ingress".to_owned()).chain(workers);
        names.map(|name| Course { name, held: Vec::new() }).collect()
    }

    fn look(&self, courses: &mut [Course]) {
        let processes = std::iter::once(&self.ingress).chain(&self.workers);
        for (course, process) in courses.iter_mut().zip(processes) {
            course.held.extend(Process::holds(process));
        }
    }
}

impl Course {
    /// The most that was held in the second and in the last third; the first one warms up.
    pub(super) fn thirds(&self) -> [Holding; 2] {
        let third = self.held.len() / 3;
        [&self.held[third..2 * third], &self.held[2 * third..]].map(|part| Holding {
            rss_mib: part.iter().map(|held| held.rss_mib).fold(0.0, f64::max),
            files: part.iter().map(|held| held.files).max().unwrap_or_default(),
        })
    }

    /// What grew, in words; `None` if nothing did.
    pub(super) fn growth(&self) -> Option<String> {
        let [earlier, later] = self.thirds();
        let (share, mib, files) = GROWTH;
        if later.rss_mib > earlier.rss_mib * share + mib {
            return Some(format!(
                "the memory of {} grew from {:.1} to {:.1} MiB",
                self.name, earlier.rss_mib, later.rss_mib
            ));
        }
        if later.files > earlier.files + files {
            return Some(format!("the open files of {} grew from {} to {}", self.name, earlier.files, later.files));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(held: impl Iterator<Item = (f64, usize)>) -> Course {
        let held = held.map(|(rss_mib, files)| Holding { rss_mib, files }).collect();
        Course { name: "worker 1".to_owned(), held }
    }

    #[test]
    fn what_warms_up_does_not_count_as_growth_and_a_leak_does() {
        let warming = course((0..90).map(|look| (f64::from(look.min(30)) + 20.0, 40)));
        assert_eq!(warming.growth(), None);
        let leaking = course((0..90).map(|look| (f64::from(look) + 20.0, 40)));
        assert_eq!(leaking.growth().unwrap(), "the memory of worker 1 grew from 79.0 to 109.0 MiB");
        let open = course((0..90).map(|look| (20.0, look)));
        assert_eq!(open.growth().unwrap(), "the open files of worker 1 grew from 59 to 89");
        assert_eq!(course(std::iter::empty()).growth(), None);
    }
}
