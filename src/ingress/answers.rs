//! What this process knows of the triggers that may be asked for: bounded in time, number and bytes, and gone with a
//! restart. Workers tell how far they are by notices, so every replica knows the outcomes of all.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    json,
    message::Progress,
    metrics::{InFlight, Metrics, labels::Dropped},
    queue::notice::NoticeReader,
    trigger::TriggerId,
};

/// How long after a trigger's deadline its outcome may still be under way although nothing is lost: our own failures are
/// tried again after 1 s and 5 s, and the queue has 2 s to confirm each of what is stored before and after them. Later,
/// whatever is last known of a trigger without an outcome is no longer known to be so.
const GRACE: Duration = Duration::from_secs(10);

/// How much is kept, and how many requests are held open.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
pub struct AnswerLimits {
    /// How long an outcome can be asked for.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub kept_for: Duration,
    /// How many triggers are known at once; the oldest are forgotten first.
    pub most: usize,
    /// How many bytes their outcomes may have together.
    pub bytes: usize,
    /// Requests held open at once; more are answered at once, as if they had not asked to wait.
    pub held: usize,
}

/// A trigger of a profile whose outcomes may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    profile: usize,
    id: TriggerId,
}

/// How far a trigger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progressed {
    /// Not known here, or no longer.
    Unknown,
    /// In the queue.
    Accepted,
    /// A worker has it.
    Running,
    /// The outcome's JSON.
    Done(Bytes),
}

/// What is known of triggers.
pub struct Answers {
    limits: AnswerLimits,
    /// Only ever longer: what is known is kept by its place in this list.
    profiles: RwLock<Vec<String>>,
    known: Mutex<Known>,
    places: Semaphore,
    draining: CancellationToken,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Known {
    triggers: HashMap<Asked, Entry>,
    /// In the order in which they are forgotten. An entry that changed since has a place further behind.
    order: VecDeque<(Asked, u64, Instant)>,
    turns: u64,
    bytes: usize,
    waited_for: HashMap<Asked, watch::Sender<Option<Bytes>>>,
}

struct Entry {
    progressed: Progressed,
    /// Until when that holds, if it is not the outcome.
    until: Instant,
    turn: u64,
}

impl Answers {
    /// Knows nothing yet, and of no profile. Once `draining`, nobody is kept waiting.
    #[must_use]
    pub fn new(limits: AnswerLimits, draining: CancellationToken, metrics: Arc<Metrics>) -> Arc<Self> {
        let places = Semaphore::new(limits.held.min(Semaphore::MAX_PERMITS));
        Arc::new(Self { limits, profiles: RwLock::default(), known: Mutex::default(), places, draining, metrics })
    }

    /// Lets the outcomes of these profiles be asked for.
    pub(super) fn admit(&self, names: Vec<String>) {
        let mut profiles = self.profiles.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if !profiles.contains(&name) {
                profiles.push(name);
            }
        }
    }

    /// Listens to what workers tell, until the queue is closed.
    pub async fn listen(self: Arc<Self>, mut notices: NoticeReader) {
        while let Some(notice) = notices.next().await {
            self.hear(&notice.body);
        }
    }

    /// The trigger, if its profile lets it be asked for.
    pub(super) fn asked(&self, profile: &str, id: TriggerId) -> Option<Asked> {
        let profiles = self.profiles.read().unwrap_or_else(PoisonError::into_inner);
        let profile = profiles.iter().position(|known| known == profile)?;
        Some(Asked { profile, id })
    }

    /// Notes that a trigger is in the queue, with so long until its deadline.
    pub(super) fn accepted(&self, asked: Asked, left: Duration) {
        let mut known = self.lock();
        if !known.triggers.contains_key(&asked) {
            self.keep(&mut known, asked, Progressed::Accepted, Instant::now() + left + GRACE);
        }
    }

    /// How far a trigger is.
    pub(super) fn progress_of(&self, asked: Asked) -> Progressed {
        let mut known = self.lock();
        self.forget(&mut known);
        known.triggers.get(&asked).map_or(Progressed::Unknown, Entry::now)
    }

    /// Waits for an outcome: it, if it came within `limit`. `Err` says that there was no place to wait.
    pub(super) async fn outcome_of(&self, asked: Asked, limit: Duration) -> Result<Option<Bytes>, NoPlace> {
        let _place = self.places.try_acquire().map_err(|_| NoPlace)?;
        let _held = InFlight::count(&self.metrics.held);
        let mut waiting = match self.watch(asked) {
            Ok(waiting) => waiting,
            Err(outcome) => return Ok(Some(outcome)),
        };
        let told = async {
            let outcome = waiting.receiver.wait_for(Option::is_some).await;
            outcome.ok().and_then(|outcome| outcome.clone())
        };
        tokio::select! {
            told = timeout(limit, told) => Ok(told.ok().flatten()),
            () = self.draining.cancelled() => Ok(None),
        }
    }

    fn watch(&self, asked: Asked) -> Result<Waiting<'_>, Bytes> {
        let mut known = self.lock();
        if let Some(Entry { progressed: Progressed::Done(outcome), .. }) = known.triggers.get(&asked) {
            return Err(outcome.clone());
        }
        let receiver = known.waited_for.entry(asked).or_insert_with(|| watch::Sender::new(None)).subscribe();
        Ok(Waiting { answers: self, asked, receiver })
    }

    fn hear(&self, notice: &Bytes) {
        // Another version's notice that this one cannot read only leaves the trigger unknown.
        let Ok(progress) = json::read::<Progress<'_>>(notice) else { return };
        let Some(asked) = self.asked(&progress.profile, progress.trigger_id) else { return };
        let mut known = self.lock();
        match progress.outcome {
            None => {
                // Only who accepted it says so: a replica that hears of it midway may hear nothing more.
                if let Some(entry) = known.triggers.get_mut(&asked)
                    && entry.progressed == Progressed::Accepted
                {
                    entry.progressed = Progressed::Running;
                }
            }
            Some(outcome) => {
                let outcome = notice.slice_ref(outcome.get().as_bytes());
                if let Some(waiting) = known.waited_for.remove(&asked) {
                    waiting.send_replace(Some(outcome.clone()));
                }
                // The first outcome of a trigger stays; another one has the same id and is the receiver's to drop.
                let done = matches!(known.triggers.get(&asked), Some(Entry { progressed: Progressed::Done(_), .. }));
                if !done {
                    self.keep(&mut known, asked, Progressed::Done(outcome), Instant::now());
                }
            }
        }
    }

    fn keep(&self, known: &mut Known, asked: Asked, progressed: Progressed, until: Instant) {
        known.turns += 1;
        let turn = known.turns;
        known.bytes += progressed.bytes();
        if let Some(before) = known.triggers.insert(asked, Entry { progressed, until, turn }) {
            known.bytes -= before.progressed.bytes();
        }
        known.order.push_back((asked, turn, Instant::now()));
        self.forget(known);
    }

    /// Forgets what is too old, and the oldest where there is too much. An outcome that nobody was posted is gone with that.
    fn forget(&self, known: &mut Known) {
        while let Some((asked, turn, since)) = known.order.front().copied() {
            let full = known.triggers.len() > self.limits.most || known.bytes > self.limits.bytes;
            let current = known.triggers.get(&asked).is_some_and(|entry| entry.turn == turn);
            let old = since.elapsed() >= self.limits.kept_for;
            if current && !full && !old {
                return;
            }
            known.order.pop_front();
            if current && let Some(entry) = known.triggers.remove(&asked) {
                known.bytes -= entry.progressed.bytes();
                if let Progressed::Done(_) = entry.progressed {
                    self.metrics.outcomes_dropped.get(if old { Dropped::Age } else { Dropped::Room }).inc();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Too many requests are held open already.
#[derive(Debug)]
pub(super) struct NoPlace;

/// A request that waits. Dropped, with its connection for instance, it leaves nothing behind.
struct Waiting<'a> {
    answers: &'a Answers,
    asked: Asked,
    receiver: watch::Receiver<Option<Bytes>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut known = self.answers.lock();
        // One receiver is left: ours.
        if known.waited_for.get(&self.asked).is_some_and(|waiting| waiting.receiver_count() <= 1) {
            known.waited_for.remove(&self.asked);
        }
    }
}

impl Entry {
    /// What is known now: a notice may have been lost, and then no other one comes.
    fn now(&self) -> Progressed {
        let lost = !matches!(self.progressed, Progressed::Done(_)) && self.until <= Instant::now();
        if lost { Progressed::Unknown } else { self.progressed.clone() }
    }
}

impl Progressed {
    fn bytes(&self) -> usize {
        if let Self::Done(outcome) = self { outcome.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests;
