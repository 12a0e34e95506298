//! Storing messages, and saying beforehand whether they are welcome.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::oneshot, time::Instant};

use super::{
    batch::{Batch, NewMessage},
    inbox::{Change, Patience, Writer},
    state::State,
};
use crate::{
    message::{Lane, Message},
    metrics::{Metrics, labels::Published},
    queue::{Publisher, QueueError},
};

/// The ingress's own promise: no room is said within 250 ms, no confirmation within two seconds.
const PATIENCE: Patience = Patience { to_enter: Duration::from_millis(250), to_commit: Duration::from_millis(1_700) };
/// When a queue that blocks is worth another try.
const BLOCKED: Duration = Duration::from_secs(5);

pub(super) struct EmbeddedPublisher {
    pub(super) state: Arc<State>,
    pub(super) writer: Writer,
}

#[async_trait]
impl Publisher for EmbeddedPublisher {
    async fn publish(&self, lane: Lane, message: &Message) -> Result<(), QueueError> {
        self.state.health.usable()?;
        let new = NewMessage::of(lane, message, self.state.limits.reserve)?;
        let started = Instant::now();
        let stored = self.writer.ask(PATIENCE, |reply| Box::new(Store { new, reply })).await;
        count_publish(&self.state.metrics, started.elapsed(), stored.as_ref().err());
        stored
    }

    fn admit(&self) -> Result<(), QueueError> {
        if let Err(unusable) = self.state.health.usable() {
            return Err(QueueError::Unreachable(unusable.to_string()));
        }
        if self.state.closed.is_cancelled() {
            return Err(QueueError::Unreachable("it is closed".into()));
        }
        if !self.state.health.is_well() {
            return Err(QueueError::Refused { reason: "blocked", retry_after: Some(BLOCKED) });
        }
        match self.state.backlog.full_for(self.state.limits.soft_limit) {
            None => Ok(()),
            wait => Err(QueueError::Refused { reason: "full", retry_after: wait }),
        }
    }
}

/// Counts how a publish ended.
pub(super) fn count_publish(metrics: &Metrics, took: Duration, failed: Option<&QueueError>) {
    let ended = match failed {
        None => Published::Confirmed,
        Some(QueueError::Unknown(_)) => {
            metrics.publishes_unknown.inc();
            Published::Timeout
        }
        Some(_) => Published::Nacked,
    };
    metrics.publish_duration.get(ended).observe(took.as_secs_f64());
}

/// Stores a message in the writer's transaction.
struct Store {
    new: NewMessage,
    reply: oneshot::Sender<Result<(), QueueError>>,
}

impl Change for Store {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        // Nobody waits for it any more: the caller said "unknown", and not storing it spares a double.
        if self.reply.is_closed() { Ok(()) } else { batch.insert(&self.new) }
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>) {
        if end.is_ok() && self.new.lane() == Lane::Work {
            state.backlog.stored();
        }
        let _ = self.reply.send(end);
    }
}

impl From<serde_json::Error> for QueueError {
    /// Headers that cannot be written; the message is not named, its text even less.
    fn from(_: serde_json::Error) -> Self {
        Self::Refused { reason: "headers cannot be written", retry_after: None }
    }
}
