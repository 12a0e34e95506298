//! The worker: takes deliveries from the three lanes, each with its own slots, and settles every one of them.
//!
//! A lane's slots are its prefetch and its permits alike, so that hardly anything waits here that another worker could do:
//! of the work lane a quarter more is taken, which is stored or waits for a slot, no longer than its deadline allows.

mod decide;
mod decided;
mod deliver;
mod disposition;
#[cfg(fuzzing)]
pub mod fuzz;
mod lane;
mod late;
mod newer;
mod posted;
mod progress;
mod record;
mod skew;
mod slots;
mod telling;
mod thinking;

pub use self::{
    record::{Figures, Record},
    telling::Teller,
};

use std::{
    collections::HashMap,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    callback::{Callback, ReplyTo},
    message::Lane,
    metrics::Metrics,
    outcome::Outcome,
    pipeline::Pipeline,
    profiles::Profiles,
    queue::{
        Queue, QueueError,
        notice::{Notices, Topic},
    },
    shutdown::Shutdown,
    telemetry::spans::Tracer,
    trigger::TriggerBody,
};

use self::{decided::DecidedOutcomes, newer::NewerTriggers, posted::PostedOutcomes, skew::Skew};

/// Settings of the worker.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Deliveries worked on at once, by lane.
    pub slots: Slots,
    /// How long before a deadline work ends, so that the safe answer still leaves in time; at most a quarter of the
    /// whole.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub reserve: Duration,
    /// How long deliveries in flight may take after the stop signal; what is left then goes back to the queue.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub drain_timeout: Duration,
}

/// Slots of the lanes.
#[derive(Clone, Copy, Debug, Deserialize, schemars::JsonSchema)]
pub struct Slots {
    /// Triggers being decided; each may hold a model call. Up to a quarter more are taken from the queue: they are being
    /// stored, or are next.
    pub work: NonZeroU16,
    /// Triggers being answered without a model.
    pub late: NonZeroU16,
    /// Callbacks being posted.
    pub outcome: NonZeroU16,
}

impl Slots {
    fn of(self, lane: Lane) -> NonZeroU16 {
        match lane {
            Lane::Work => self.work,
            Lane::Late => self.late,
            Lane::Outcome => self.outcome,
        }
    }
}

/// What the worker knows of one bot.
pub struct Profile {
    /// Decides its triggers.
    pub pipeline: Pipeline,
    /// Posts its outcomes; none in mode `none`.
    pub callback: Option<Arc<dyn Callback>>,
    /// From storing an outcome until it is given up.
    pub callback_max_age: Duration,
    /// Its outcomes can be waited for and asked for, so they are told to every ingress.
    pub poll: bool,
    /// A pending trigger is given up when its customer writes again.
    pub supersede: bool,
}

impl Profile {
    fn reply_to(&self, trigger: Option<&TriggerBody>, outcome: &Outcome) -> ReplyTo {
        self.callback.as_ref().map(|callback| callback.reply_to(trigger, outcome)).unwrap_or_default()
    }
}

/// The parts that the lanes share.
pub struct Worker {
    profiles: Profiles<Profile>,
    metrics: Arc<Metrics>,
    decided: DecidedOutcomes,
    posted: PostedOutcomes,
    tracer: Tracer,
    skew: Skew,
    teller: Option<Teller>,
    notices: Option<Arc<dyn Notices>>,
    newer: Arc<NewerTriggers>,
    /// True once it hears of newer triggers.
    hearing: AtomicBool,
}

impl Worker {
    /// Puts the parts together.
    #[must_use]
    pub fn new(profiles: HashMap<String, Profile>, metrics: Arc<Metrics>) -> Self {
        Self {
            profiles: Profiles::new(profiles),
            metrics,
            decided: DecidedOutcomes::default(),
            posted: PostedOutcomes::default(),
            tracer: Tracer::default(),
            skew: Skew::default(),
            teller: None,
            notices: None,
            newer: Arc::default(),
            hearing: AtomicBool::new(false),
        }
    }

    /// Lets it tell how it fares and what it decides.
    #[must_use]
    pub fn telling(self, teller: Teller) -> Self {
        Self { teller: Some(teller), ..self }
    }

    /// Has it tell how far triggers are, and hear of newer ones where a profile wants it. Has to be called within a tokio
    /// runtime.
    #[must_use]
    pub fn with_notices(mut self, notices: Arc<dyn Notices>) -> Self {
        self.notices = Some(notices);
        self.hear_of_newer();
        self
    }

    /// Begins to hear of newer triggers, once, when a profile wants it.
    fn hear_of_newer(&self) {
        let Some(notices) = &self.notices else { return };
        let wanted = self.profiles.any(|profile| profile.supersede);
        if wanted && !self.hearing.swap(true, Ordering::Relaxed) {
            let (newer, reader) = (Arc::clone(&self.newer), notices.subscribe(&[Topic::Accepted]));
            // It ends when the queue is closed.
            tokio::spawn(async move { newer.listen(reader).await });
        }
    }

    /// Has its deliveries traced.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// The bot of that name, as it is now: whoever holds it finishes with it, whatever a reload brings.
    fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        self.profiles.get(name)
    }

    /// True for a bot whose outcomes are posted to nobody, and reach whoever asks for them.
    fn is_only_asked_for(&self, name: &str) -> bool {
        self.profile(name).is_some_and(|profile| profile.poll && profile.callback.is_none())
    }

    /// Takes the bots that changed, and forgets those that are not among `names`.
    /// Has to be called within a tokio runtime.
    pub fn replace_profiles(&self, changed: HashMap<String, Arc<Profile>>, names: &[&str]) {
        self.profiles.replace(changed, names);
        self.hear_of_newer();
    }
}

/// Works on all lanes until the shutdown has run its course. Returns true when every delivery in flight was finished.
///
/// # Errors
/// When a lane cannot be consumed at all.
pub async fn run(
    worker: Arc<Worker>,
    queue: Arc<dyn Queue>,
    config: &Config,
    shutdown: Shutdown,
) -> Result<bool, QueueError> {
    let mut lanes = tokio::task::JoinSet::new();
    let silent = CancellationToken::new();
    let _silent = silent.clone().drop_guard();
    tokio::spawn(telling::beat(Arc::clone(&worker), silent));
    for lane in Lane::ALL {
        let slots = config.slots.of(lane);
        let consumer = queue.consumer(lane, slots::taken(lane, slots)).await?;
        lanes.spawn(lane::run(lane, consumer, slots, Arc::clone(&worker), shutdown.clone(), config.drain_timeout));
    }
    let mut finished = true;
    let mut failure = None;
    while let Some(ended) = lanes.join_next().await {
        match ended {
            Ok(Ok(all)) => finished &= all,
            // One lane that cannot go on ends the others in good order; the process then fails and is restarted.
            Ok(Err(error)) => {
                failure.get_or_insert(error);
                shutdown.drain.cancel();
            }
            Err(_) => {
                failure.get_or_insert(QueueError::Unusable("a lane panicked".to_owned()));
                shutdown.drain.cancel();
            }
        }
    }
    failure.map_or(Ok(finished), Err)
}

/// The moment a drain that begins now must be over.
fn drain_end(limit: Duration) -> Instant {
    Instant::now() + limit
}
