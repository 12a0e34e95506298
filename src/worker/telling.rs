//! What a worker tells whoever listens just now, such as the operators' console: best effort, and never in the way.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    Worker,
    record::{Frozen, Record},
};
use crate::{
    callback::CallbackError,
    dead_letters::shown::hashed,
    message::{Envelope, Lane},
    metrics::{
        Metrics,
        labels::{CallbackEnd, Label as _, OutcomeStatus, Status, Upstream},
    },
    pipeline,
    queue::notice::{LONGEST_NOTICE, Notice, Notices, Topic},
    redaction::RedactionRules,
    story::{CallbackTry, Heartbeat, Slots, Story, Telling},
    time::EpochMs,
};

/// How often a worker lets itself be heard.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Tells for one worker.
pub struct Teller {
    notices: Arc<dyn Notices>,
    /// Whether stories are told although nobody is known to listen.
    always: bool,
    name: String,
    started_at: EpochMs,
}

impl Teller {
    /// A teller; with `always`, stories are told to a queue that cannot say whether anybody listens.
    #[must_use]
    pub fn new(notices: Arc<dyn Notices>, always: bool) -> Self {
        Self { notices, always, name: name(), started_at: SystemTime::now().into() }
    }

    /// True if a story would be heard.
    fn is_heard(&self) -> bool {
        self.notices.is_heard(Topic::Story).unwrap_or(self.always)
    }

    fn tell(&self, topic: Topic, telling: &Telling) -> bool {
        let body = serde_json::to_vec(telling).unwrap_or_default();
        let fits = body.len() <= LONGEST_NOTICE;
        if fits {
            self.notices.publish(Notice { topic, body: Bytes::from(body) });
        }
        fits
    }
}

/// Host and process, and four digits that tell workers of one process apart.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("worker").to_owned();
    format!("{host}-{}-{:04x}", std::process::id(), rand::random::<u16>())
}

impl Worker {
    /// True if it shall be told how a trigger is decided.
    pub(super) fn tells_stories(&self) -> bool {
        self.teller.as_ref().is_some_and(Teller::is_heard)
    }

    /// Tells how a trigger was decided.
    pub(super) fn tell_decided(&self, trigger: &Envelope, outcome: &Frozen) {
        let Some(teller) = self.teller.as_ref().filter(|teller| teller.is_heard()) else { return };
        let Some(mut story) = story(trigger, outcome) else { return };
        if let Some(profile) = self.profile(&trigger.profile) {
            story.outcome = redacted(&story.outcome, &profile.pipeline.redaction);
        }
        let mut telling = Telling::Decided(Box::new(story));
        if !teller.tell(Topic::Story, &telling)
            && let Telling::Decided(story) = &mut telling
        {
            story.told = None;
            teller.tell(Topic::Story, &telling);
        }
    }

    /// Tells how a callback was answered; `end` if it was the last try.
    pub(super) fn tell_tried(
        &self,
        outcome: &Envelope,
        result: &Result<(), CallbackError>,
        took: Duration,
        end: Option<CallbackEnd>,
    ) {
        let Some(teller) = self.teller.as_ref().filter(|teller| teller.is_heard()) else { return };
        let tried = CallbackTry {
            trigger_id: outcome.trigger_id.to_string(),
            attempt: outcome.attempt,
            at: SystemTime::now().into(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            error: result.as_ref().err().map(ToString::to_string),
            end: end.map(|end| end.as_str().to_owned()),
        };
        teller.tell(Topic::Story, &Telling::Tried(tried));
    }
}

/// Lets a worker be heard until it is stopped.
pub(super) async fn beat(worker: Arc<Worker>, stop: CancellationToken) {
    let Some(teller) = &worker.teller else { return };
    loop {
        teller.tell(Topic::Heartbeat, &Telling::Alive(heartbeat(teller, &worker.metrics)));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
    }
}

fn heartbeat(teller: &Teller, metrics: &Metrics) -> Heartbeat {
    let small = |number: i64| u32::try_from(number).unwrap_or_default();
    let slots = |lane| Slots {
        in_flight: small(metrics.in_flight.get(lane).get()),
        most: small(metrics.slots.get(lane).get()),
    };
    let circuits = |(upstream, states): (Upstream, [usize; 3])| {
        (upstream.as_str().to_owned(), states.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    };
    let stored =
        |status: &Status| (status.as_str().to_owned(), metrics.outcomes.get(OutcomeStatus::Stored(*status)).get());
    Heartbeat {
        worker: teller.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: teller.started_at,
        draining: metrics.draining.get() > 0,
        lanes: Lane::ALL.map(slots),
        circuits: metrics.circuits.counts().into_iter().map(circuits).collect(),
        outcomes: Status::ALL.iter().map(stored).collect(),
    }
}

/// An outcome may have values in it again that were masked before a model saw them; they are for its receiver alone.
fn redacted(outcome: &str, rules: &RedactionRules) -> String {
    let mut value = serde_json::from_str(outcome).unwrap_or_default();
    pipeline::redact(&mut value, rules);
    value.to_string()
}

fn story(trigger: &Envelope, outcome: &Frozen) -> Option<Story> {
    let record: Record<'_> = serde_json::from_slice(&outcome.message.body).ok()?;
    let (figures, stages) = (&record.figures, &record.figures.stages);
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let waited = Duration::from_millis(figures.decided_ms).saturating_sub(stages.total);
    let times = [
        ("queue", waited),
        ("history", stages.history),
        ("prompt", stages.prompt),
        ("llm", stages.llm),
        ("decision", stages.decision),
    ];
    Some(Story {
        trigger_id: trigger.trigger_id.to_string(),
        profile: trigger.profile.clone(),
        conversation: hashed(&trigger.conversation_id),
        accepted_at: trigger.accepted_at,
        decided_at: trigger.accepted_at.plus(Duration::from_millis(figures.decided_ms)),
        status: record.status,
        error: record.error.map(str::to_owned),
        stages: times.map(|(name, span)| (name.to_owned(), micros(span))).into(),
        llm_calls: figures.llm_calls,
        work_attempts: figures.work_attempts,
        tokens: figures.prompt_tokens.zip(figures.completion_tokens),
        cost_usd: figures.cost_usd,
        outcome: record.outcome.get().to_owned(),
        told: outcome.told.as_deref().cloned(),
    })
}
