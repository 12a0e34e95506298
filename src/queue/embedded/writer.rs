//! The one thread of a process that writes: it takes what has come in, carries it out in one transaction, and answers
//! after the commit. So one fsync confirms many messages.

use std::{
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    batch::Batch,
    failure::{Moment, explain},
    owner::Owner,
    state::{Release, State},
};
use crate::{
    message::{Lane, Reason},
    metrics::labels::SettledAs,
    queue::QueueError,
};

/// At most so many changes in one transaction.
const BATCH: usize = 128;
/// At most so many wait for the next one.
const WAITING: usize = 1_024;

/// Something to be done in a transaction.
pub(super) trait Change: Send {
    /// Does it.
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;

    /// Tells whoever asked how the transaction ended.
    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>);
}

type Boxed = Box<dyn Change>;

/// Hands changes to the writer.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Boxed>);

/// Does not keep the writer alive.
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

    /// Has the writer make a transaction soon.
    pub(super) fn nudge(&self) {
        if let Some(writer) = self.upgrade() {
            writer.offer(Box::new(Nudge(None)));
        }
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

/// Starts the thread. It ends, and gives back what it holds, once the queue was closed or is no longer used.
pub(super) fn spawn(
    connection: Connection,
    owner: Owner,
    state: Arc<State>,
    changes: mpsc::Receiver<Boxed>,
) -> io::Result<JoinHandle<()>> {
    let thread = WriterThread { connection, owner, state, changes };
    std::thread::Builder::new().name("queue-writer".into()).spawn(move || thread.run())
}

struct WriterThread {
    connection: Connection,
    owner: Owner,
    state: Arc<State>,
    changes: mpsc::Receiver<Boxed>,
}

/// What a committed transaction did beside its changes.
#[derive(Default)]
struct Committed {
    woken: [bool; 3],
    died: Vec<Reason>,
    requeued: u64,
    lost_until: Option<i64>,
}

impl WriterThread {
    fn run(mut self) {
        let mut changes = Vec::with_capacity(BATCH);
        while self.changes.blocking_recv_many(&mut changes, BATCH) > 0 {
            self.carry_out(&mut changes);
            if self.state.closed.is_cancelled() {
                self.changes.close();
            }
        }
        self.finish();
    }

    fn carry_out(&mut self, changes: &mut Vec<Boxed>) {
        let releases = self.state.take_releases();
        self.state.health.begin();
        let end = self.commit(changes, &releases);
        let changed = self.state.health.end(end.as_ref().err());
        if changed {
            self.tell(end.as_ref().err());
        }
        match &end {
            Ok(committed) => self.spread(committed),
            Err(_) => self.state.keep_releases(releases),
        }
        let end = end.map(drop);
        for change in changes.drain(..) {
            change.answer(end.clone(), &self.state);
        }
    }

    fn commit(&mut self, changes: &mut [Boxed], releases: &[Release]) -> Result<Committed, QueueError> {
        let before = |error| explain(&error, Moment::Before);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(before)?;
        let mut batch = Batch::new(&transaction, self.owner.id(), SystemTime::now().into());
        let mut committed = Committed::default();
        if self.state.health.is_beat_due() {
            committed.lost_until = Some(self.owner.beat(&batch, self.state.last_token()).map_err(before)?);
        }
        for release in releases {
            let back = batch.give_back(release.key, release.begun).map_err(before)?;
            committed.requeued += u64::from(back && release.begun);
        }
        for change in changes {
            change.apply(&mut batch).map_err(before)?;
        }
        (committed.woken, committed.died) = (batch.woken, batch.died);
        transaction.commit().map_err(|error| explain(&error, Moment::Commit))?;
        Ok(committed)
    }

    fn spread(&self, committed: &Committed) {
        let metrics = &self.state.metrics;
        if let Some(lost_until) = committed.lost_until {
            self.state.health.beaten(lost_until);
        }
        for (lane, _) in Lane::ALL.into_iter().zip(committed.woken).filter(|(_, woken)| *woken) {
            self.state.wake(lane);
        }
        for reason in &committed.died {
            metrics.dead_letters.get(*reason).inc();
        }
        metrics.settled.get(SettledAs::Requeue).inc_by(committed.requeued);
    }

    fn tell(&self, failed: Option<&QueueError>) {
        self.state.metrics.queue_connected.set(i64::from(failed.is_none()));
        match failed {
            Some(error) => tracing::error!(%error, "the queue cannot write"),
            None => tracing::info!("the queue writes again"),
        }
    }

    /// Gives back what was not settled, and leaves.
    fn finish(mut self) {
        let releases = self.state.take_releases();
        let left = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
            let mut batch = Batch::new(&transaction, self.owner.id(), SystemTime::now().into());
            for release in &releases {
                batch.give_back(release.key, release.begun)?;
            }
            batch.give_back_all(self.owner.id())?;
            batch.execute("DELETE FROM owner WHERE id = ?1", [self.owner.id()])?;
            transaction.commit()
        });
        // Otherwise the lock, which ends with the process, tells the others.
        if left.is_ok() {
            self.owner.leave();
        }
    }
}
