//! The one thread of a process that writes: it takes what has come in, carries it out in one transaction, and answers
//! after the commit. So one fsync confirms many messages.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::{
    batch::Batch,
    failure::{self, Moment, explain},
    inbox::Boxed,
    owner::Owner,
    schema::{BUSY, wait_for_others},
    state::{Release, State},
};
use crate::{
    message::{Lane, Reason},
    metrics::labels::SettledAs,
    queue::QueueError,
};

/// At most so many changes in one transaction.
const BATCH: usize = 128;
/// How long emptying the log waits for those who read it.
const EMPTYING: Duration = Duration::from_millis(100);

/// Starts the thread. It ends, and gives back what it holds, once the queue was closed or is no longer used; then
/// `ended` is dropped.
pub(super) fn spawn(
    connection: Connection,
    owner: Owner,
    state: Arc<State>,
    changes: mpsc::Receiver<Boxed>,
    ended: Arc<DropGuard>,
) -> io::Result<()> {
    let thread = WriterThread { connection, owner, state, changes };
    let run = move || {
        let _ended = ended;
        let state = Arc::clone(&thread.state);
        if catch_unwind(AssertUnwindSafe(|| thread.run())).is_err() {
            state.health.break_for_good("its writer failed; restart the program".into());
        }
    };
    std::thread::Builder::new().name("queue-writer".into()).spawn(run).map(drop)
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
    /// When the transaction began, and up to which token our leases were lost by then.
    beat: Option<(Instant, i64)>,
}

impl WriterThread {
    fn run(mut self) {
        let mut changes = Vec::with_capacity(BATCH);
        while self.changes.blocking_recv_many(&mut changes, BATCH) > 0 {
            self.carry_out(&mut changes);
            if self.state.long_log.swap(false, Ordering::Relaxed) {
                self.empty_log();
            }
            if self.state.closed.is_cancelled() {
                self.changes.close();
            }
        }
        self.finish();
    }

    fn carry_out(&mut self, changes: &mut Vec<Boxed>) {
        self.state.nudge_heard();
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

    /// While several processes write without a pause, SQLite never finds the moment to start its log anew by itself.
    fn empty_log(&mut self) {
        // One who reads without an end, or is frozen in the middle of it, must not hold up the others each time.
        let emptied = wait_for_others(&mut self.connection, EMPTYING)
            .and_then(|()| self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
            .and(wait_for_others(&mut self.connection, BUSY));
        if let Err(error) = emptied {
            tracing::warn!(code = failure::name(error.sqlite_error_code()), "the queue's log could not be emptied");
        }
    }

    fn commit(&mut self, changes: &mut [Boxed], releases: &[Release]) -> Result<Committed, QueueError> {
        let before = |error| explain(&error, Moment::Before);
        let began = Instant::now();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(before)?;
        let mut batch = Batch::new(&transaction, self.owner.id(), SystemTime::now().into());
        let mut committed = Committed::default();
        if self.state.health.is_beat_due() {
            let lost_until = self.owner.beat(&batch, self.state.last_token()).map_err(before)?;
            committed.beat = Some((began, lost_until));
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
        if let Some((began, lost_until)) = committed.beat {
            self.state.health.beaten(began.elapsed(), lost_until);
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
