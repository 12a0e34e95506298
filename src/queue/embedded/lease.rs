//! What a consumer holds of a message, and how it lets go of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    batch::{Batch, NewMessage},
    headers,
    inbox::{Change, Patience, WeakWriter},
    place::LeaseKey,
    publisher::count_publish,
    state::{Release, State},
};
use crate::{
    message::{Disposition, Lane, Message, Reason},
    metrics::labels::SettledAs,
    queue::{QueueError, Settled, Settlement, Settling},
};

/// A settlement is never refused for lack of room before this; a commit takes milliseconds.
const PATIENCE: Patience = Patience { to_enter: Duration::from_secs(5), to_commit: Duration::from_secs(10) };

/// A leased message. Dropped, it goes back to its lane.
pub(super) struct Lease {
    key: LeaseKey,
    suspect: bool,
    begun: bool,
    /// Whether it is still to be ended.
    open: bool,
    state: Arc<State>,
    /// Free again when the lease is over.
    _slot: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn new(key: LeaseKey, suspect: bool, state: &Arc<State>, slot: OwnedSemaphorePermit) -> Self {
        state.suspects.fetch_add(usize::from(suspect), Ordering::Relaxed);
        Self { key, suspect, begun: false, open: true, state: Arc::clone(state), _slot: slot }
    }

    /// It is handed out: from now on giving it back counts as a return.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// The file knows that it is over.
    fn ended(mut self) {
        self.open = false;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.state.suspects.fetch_sub(usize::from(self.suspect), Ordering::Relaxed);
        if self.open {
            self.state.release(Release { key: self.key, begun: self.begun });
        }
    }
}

/// The embedded half of a delivery.
pub(super) struct LeaseSettlement {
    pub(super) lease: Lease,
    /// Weak: a delivery in somebody's hands does not keep the queue open.
    pub(super) writer: WeakWriter,
}

impl LeaseSettlement {
    async fn end(self, how: Ending) -> Result<Settled, QueueError> {
        let Self { lease, writer } = self;
        let state = Arc::clone(&lease.state);
        let settled = match writer.upgrade() {
            Some(writer) => {
                writer.ask(PATIENCE, |reply| Box::new(Settle { lease, how, held: false, reply: Some(reply) })).await
            }
            None => Ok(Settled::WillReturn),
        };
        if settled != Ok(Settled::Done) {
            state.metrics.acks_lost.inc();
        }
        settled
    }
}

#[async_trait]
impl Settlement for LeaseSettlement {
    async fn settle(self: Box<Self>, disposition: Disposition, message: &Message) -> Result<Settled, QueueError> {
        let tries = &message.envelope.tries;
        // Only the record of its tries can have changed.
        let headers = match disposition {
            Disposition::Ack => None,
            Disposition::Retry { .. } | Disposition::DeadLetter { .. } if tries.is_empty() => None,
            Disposition::Retry { .. } | Disposition::DeadLetter { .. } => headers::encode(&message.envelope).ok(),
        };
        self.end(Ending::Disposed { disposition, headers }).await
    }

    /// One transaction: where the lease is over, `message` is not stored either, and that is an error.
    async fn hand_over(self: Box<Self>, lane: Lane, message: &Message) -> Result<Settling, QueueError> {
        let state = Arc::clone(&self.lease.state);
        let new = NewMessage::of(lane, message, state.limits.reserve)?;
        let started = tokio::time::Instant::now();
        let settled = self.end(Ending::HandedOver(new)).await;
        if settled == Ok(Settled::WillReturn) {
            return Err(QueueError::Unreachable("the delivery was lost with its lease".into()));
        }
        count_publish(&state.metrics, started.elapsed(), settled.as_ref().err());
        settled.map(Settling::from)
    }

    fn is_live(&self) -> bool {
        let state = &self.lease.state;
        !state.closed.is_cancelled() && state.health.holds(self.lease.key.token)
    }
}

/// How a lease ends.
pub(super) enum Ending {
    Disposed {
        disposition: Disposition,
        /// New headers for what stays.
        headers: Option<String>,
    },
    HandedOver(NewMessage),
}

impl Ending {
    fn label(&self) -> SettledAs {
        match self {
            Self::Disposed { disposition: Disposition::Ack, .. } | Self::HandedOver(_) => SettledAs::Ack,
            Self::Disposed { disposition: Disposition::Retry { .. }, .. } => SettledAs::Retry,
            Self::Disposed { disposition: Disposition::DeadLetter { .. }, .. } => SettledAs::DeadLetter,
        }
    }
}

/// Ends a lease in the writer's transaction.
pub(super) struct Settle {
    lease: Lease,
    how: Ending,
    held: bool,
    reply: Option<oneshot::Sender<Result<Settled, QueueError>>>,
}

impl Settle {
    /// A leased message that this program cannot read waits for an operator.
    pub(super) fn unreadable(lease: Lease) -> Self {
        let disposition = Disposition::DeadLetter { reason: Reason::Unreadable };
        let how = Ending::Disposed { disposition, headers: None };
        Self { lease, how, held: false, reply: None }
    }
}

impl Change for Settle {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        let key = self.lease.key;
        self.held = match &self.how {
            Ending::Disposed { disposition, headers } => {
                let held = match disposition {
                    Disposition::Ack => batch.ack(key)?,
                    Disposition::Retry { after } => batch.retry(key, *after)?,
                    Disposition::DeadLetter { reason } => batch.dead_letter(key, *reason)?,
                };
                if let Some(headers) = headers.as_ref().filter(|_| held) {
                    batch.rewrite(key.id, headers)?;
                }
                held
            }
            Ending::HandedOver(new) => {
                let held = batch.ack(key)?;
                if held {
                    batch.insert(new)?;
                }
                held
            }
        };
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>) {
        let Self { lease, how, held, reply } = *self;
        let settled = end.map(|()| if held { Settled::Done } else { Settled::WillReturn });
        // After a failure the lease is dropped and so given back; if it was ended after all, that finds nothing.
        if settled.is_ok() {
            lease.ended();
        }
        if settled == Ok(Settled::Done) {
            state.metrics.settled.get(how.label()).inc();
        }
        if let Some(reply) = reply {
            let _ = reply.send(settled);
        }
    }
}
