//! How changes get to the writer, and answers back.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{batch::Batch, state::State};
use crate::queue::QueueError;

/// At most so many wait for the next one.
const WAITING: usize = 1_024;

/// Something to be done in a transaction.
pub(super) trait Change: Send {
    /// Does it.
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;

    /// Tells whoever asked how the transaction ended.
    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>);
}

pub(super) type Boxed = Box<dyn Change>;

/// Hands changes to the writer.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Boxed>);

/// Does not keep the writer alive.
#[derive(Clone)]
pub(super) struct WeakWriter(mpsc::WeakSender<Boxed>);

/// How long a caller waits.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For a place among the waiting changes; not having got one is certain: nothing was stored.
    pub(super) to_enter: Duration,
    /// For the commit after that; not having heard of it leaves everything open.
    pub(super) to_commit: Duration,
}

impl Writer {
    /// Has a change carried out and waits for its answer. Once it has a place it is carried out even if the caller
    /// goes away.
    pub(super) async fn ask<T>(
        &self,
        patience: Patience,
        change: impl FnOnce(oneshot::Sender<Result<T, QueueError>>) -> Boxed,
    ) -> Result<T, QueueError> {
        let place = match timeout(patience.to_enter, self.0.reserve()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(QueueError::Unreachable("it is closed".into())),
            Err(_) => return Err(QueueError::Refused { reason: "blocked", retry_after: None }),
        };
        let (reply, answer) = oneshot::channel();
        place.send(change(reply));
        match timeout(patience.to_commit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(QueueError::Unknown("it was closed meanwhile".into())),
            Err(_) => Err(QueueError::Unknown(format!("no commit within {:?}", patience.to_commit))),
        }
    }

    /// Waits for a place and gives the change to the writer, without waiting for its answer. Cancel-safe.
    pub(super) async fn enter(&self, change: impl FnOnce() -> Boxed) -> Result<(), QueueError> {
        let place = self.0.reserve().await.map_err(|_| QueueError::Unreachable("it is closed".into()))?;
        place.send(change());
        Ok(())
    }

    /// Gives the change to the writer if there is a place right now.
    pub(super) fn offer(&self, change: Boxed) {
        // A full channel drops it: whoever offers a change can do without it, or has a guard in it.
        let _ = self.0.try_send(change);
    }

    pub(super) fn downgrade(&self) -> WeakWriter {
        WeakWriter(self.0.downgrade())
    }
}

impl WeakWriter {
    /// The writer, unless nobody uses the queue any more.
    pub(super) fn upgrade(&self) -> Option<Writer> {
        self.0.upgrade().map(Writer)
    }
}

/// Changes nothing: what the writer does with every transaction happens.
pub(super) struct Nudge(pub(super) Option<oneshot::Sender<Result<(), QueueError>>>);

impl Change for Nudge {
    fn apply(&mut self, _: &mut Batch<'_>) -> rusqlite::Result<()> {
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, _: &Arc<State>) {
        if let Some(reply) = self.0 {
            let _ = reply.send(end);
        }
    }
}

/// Changes on their way to the writer.
pub(super) fn channel() -> (Writer, mpsc::Receiver<Boxed>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Writer(sender), receiver)
}
