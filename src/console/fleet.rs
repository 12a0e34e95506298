//! The workers that were heard of, and how many outcomes they decided in the last minute.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{outcome::Status, story::Heartbeat};

/// How often a worker lets itself be heard.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

/// Silent for longer, it is not well.
const SILENT: Duration = Duration::from_secs(7);

/// Silent for longer, it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Workers known at once; those beyond are not shown.
const MOST_WORKERS: usize = 200;

/// What the rate looks back on, in steps of a [`HEARTBEAT`].
pub(super) const STEPS: usize = 30;

/// Outcomes of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Decided.
    pub(super) good: u64,
    /// Safe answers.
    pub(super) safe: u64,
}

/// A worker.
pub(super) struct Seen {
    pub(super) heartbeat: Heartbeat,
    pub(super) at: Instant,
}

/// All of them, by name.
pub(super) struct Fleet {
    workers: BTreeMap<String, Seen>,
    steps: VecDeque<Step>,
    step_began: Instant,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { workers: BTreeMap::new(), steps: vec![Step::default(); STEPS].into(), step_began: Instant::now() }
    }
}

impl Seen {
    /// True while it lets itself be heard.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        now.duration_since(self.at) < SILENT
    }
}

impl Fleet {
    pub(super) fn hear(&mut self, heartbeat: Heartbeat, now: Instant) {
        self.turn(now);
        let name = heartbeat.worker.clone();
        if let Some(before) = self.workers.get(&name).filter(|seen| seen.heartbeat.started_at == heartbeat.started_at) {
            let (before, after) = (decided(&before.heartbeat), decided(&heartbeat));
            if let Some(step) = self.steps.back_mut() {
                step.good += after.good.saturating_sub(before.good);
                step.safe += after.safe.saturating_sub(before.safe);
            }
        }
        if self.workers.contains_key(&name) || self.workers.len() < MOST_WORKERS {
            self.workers.insert(name, Seen { heartbeat, at: now });
        }
    }

    /// The workers, by name.
    pub(super) fn workers(&mut self, now: Instant) -> impl Iterator<Item = &Seen> {
        self.workers.retain(|_, seen| now.duration_since(seen.at) < FORGOTTEN);
        self.workers.values()
    }

    /// The last minute, oldest step first.
    pub(super) fn steps(&mut self, now: Instant) -> Vec<Step> {
        self.turn(now);
        self.steps.iter().copied().collect()
    }

    /// Begins as many steps as have passed.
    fn turn(&mut self, now: Instant) {
        let passed = now.duration_since(self.step_began).as_secs() / HEARTBEAT.as_secs();
        for _ in 0..passed.min(STEPS as u64) {
            self.steps.pop_front();
            self.steps.push_back(Step::default());
        }
        self.step_began += HEARTBEAT * u32::try_from(passed).unwrap_or(u32::MAX);
    }
}

fn decided(heartbeat: &Heartbeat) -> Step {
    let good = heartbeat.outcomes.get(Status::Success.as_str()).copied().unwrap_or_default();
    Step { good, safe: heartbeat.outcomes.values().sum::<u64>() - good }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::EpochMs;

    fn beat(worker: &str, success: u64, expired: u64) -> Heartbeat {
        Heartbeat {
            worker: worker.to_owned(),
            version: "1".to_owned(),
            started_at: EpochMs(1),
            draining: false,
            lanes: Default::default(),
            circuits: BTreeMap::new(),
            outcomes: [("success".to_owned(), success), ("expired".to_owned(), expired)].into(),
        }
    }

    #[test]
    fn a_rate_counts_what_came_since_the_last_heartbeat_and_forgets_after_a_minute() {
        let mut fleet = Fleet::default();
        let start = fleet.step_began;
        let at = |seconds| start + Duration::from_secs(seconds);
        fleet.hear(beat("a", 100, 5), at(0));
        fleet.hear(beat("a", 103, 6), at(2));
        fleet.hear(beat("b", 7, 0), at(2));
        fleet.hear(beat("b", 9, 0), at(4));
        let total = |fleet: &mut Fleet, now| {
            fleet.steps(now).iter().fold((0, 0), |sum, step| (sum.0 + step.good, sum.1 + step.safe))
        };
        assert_eq!(total(&mut fleet, at(5)), (5, 1));
        assert_eq!(fleet.workers(at(5)).filter(|seen| seen.is_heard(at(5))).count(), 2);
        assert_eq!(fleet.workers(at(10)).filter(|seen| seen.is_heard(at(10))).count(), 1);
        assert_eq!(total(&mut fleet, at(66)), (0, 0));
        assert_eq!(fleet.workers(at(66)).count(), 0);
    }

    #[test]
    fn a_restarted_worker_counts_from_nought() {
        let mut fleet = Fleet::default();
        let now = Instant::now();
        fleet.hear(beat("a", 100, 0), now);
        fleet.hear(Heartbeat { started_at: EpochMs(2), ..beat("a", 1, 0) }, now);
        assert!(fleet.steps(now).iter().all(|step| *step == Step::default()));
    }
}
