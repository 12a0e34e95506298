//! Taking messages: leased a handful at a time, handed out one by one.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    attendance::Attendance,
    batch::Batch,
    headers,
    inbox::{Change, Nudge, Patience, Writer},
    lease::{Lease, LeaseSettlement, Settle},
    leasing::{Found, Wanted},
    place::{LeaseKey, LeasedRow},
    state::State,
};
use crate::{
    message::{Lane, Message},
    metrics::labels::Redelivered,
    queue::{Consumer, Delivery, QueueError},
    time::EpochMs,
};

/// At most so many messages by one lease.
const PREFETCH: usize = 64;
/// Without any sign of something new, a look is taken after this all the same.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// After a lease that failed.
const BACK_OFF: Duration = Duration::from_millis(200);
/// How long [`Consumer::stop`] waits for what it gave back to be given back.
const STOP: Patience = Patience { to_enter: Duration::from_secs(1), to_commit: Duration::from_secs(1) };

type Answer = oneshot::Receiver<Result<Taken, QueueError>>;

pub(super) struct EmbeddedConsumer {
    lane: Lane,
    state: Arc<State>,
    writer: Writer,
    slots: Arc<Semaphore>,
    /// Changes when the lane may have something new.
    changed: watch::Receiver<()>,
    prefetched: VecDeque<(Lease, LeasedRow)>,
    /// A lease that was asked for; it outlives the future that asked.
    pending: Option<Answer>,
    stopped: bool,
    _attendance: Attendance,
}

impl EmbeddedConsumer {
    pub(super) fn new(lane: Lane, slots: u16, state: Arc<State>, writer: Writer) -> Self {
        let changed = state.listen(lane);
        let (slots, _attendance) = (Arc::new(Semaphore::new(usize::from(slots))), Attendance::begin(lane, &writer));
        Self {
            lane,
            state,
            writer,
            slots,
            changed,
            prefetched: VecDeque::new(),
            pending: None,
            stopped: false,
            _attendance,
        }
    }

    fn is_over(&self) -> bool {
        self.stopped || self.state.closed.is_cancelled()
    }

    /// Gets at least one message into `prefetched`, or waits for a reason to try again.
    async fn refill(&mut self) -> Result<(), QueueError> {
        if self.pending.is_none() {
            let slots = free_slots(&self.slots).await.map_err(|_| closed())?;
            let (reply, answer) = oneshot::channel();
            let (lane, state) = (self.lane, Arc::clone(&self.state));
            self.changed.mark_unchanged();
            self.writer.enter(|| Box::new(Take { lane, state, slots, found: Found::default(), reply })).await?;
            self.pending = Some(answer);
        }
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let taken = pending.await;
        self.pending = None;
        match taken.map_err(|_| closed())? {
            Ok(Taken { leases, again_at }) if leases.is_empty() => self.wait(again_at).await,
            Ok(taken) => self.prefetched = taken.leases,
            Err(unusable @ QueueError::Unusable(_)) => return Err(unusable),
            Err(_) => sleep(BACK_OFF).await,
        }
        Ok(())
    }

    async fn wait(&mut self, again_at: Option<EpochMs>) {
        let _waiting = self.state.wait(self.lane);
        let until = again_at.map_or(IDLE_LOOK, |at| at.since(SystemTime::now().into()).min(IDLE_LOOK));
        // Running out is as good a reason to look as a sign.
        let _ = timeout(until, self.changed.changed()).await;
    }

    fn hand_out(&self, (mut lease, row): (Lease, LeasedRow)) -> Option<Delivery> {
        let LeasedRow { place, headers, body, .. } = row;
        let Some(envelope) = headers::decode(&headers, place.attempt, place.reason) else {
            self.writer.offer(Box::new(Settle::unreadable(lease)));
            return None;
        };
        lease.begin();
        let again = if place.returns > 0 { Redelivered::Yes } else { Redelivered::No };
        self.state.metrics.consumed.get(again).inc();
        let settlement = LeaseSettlement { lease, writer: self.writer.downgrade() };
        Some(Delivery::new(Message { envelope, body }, place.returns, Box::new(settlement)))
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, QueueError> {
        let closed = self.state.closed.clone();
        loop {
            if self.is_over() {
                self.prefetched.clear();
                return Ok(None);
            }
            self.state.health.usable()?;
            if let Some(taken) = self.prefetched.pop_front() {
                match self.hand_out(taken) {
                    Some(delivery) => return Ok(Some(delivery)),
                    None => continue,
                }
            }
            tokio::select! {
                () = closed.cancelled() => {}
                refilled = self.refill() => match refilled {
                    Err(QueueError::Unusable(why)) if !self.state.closed.is_cancelled() => {
                        return Err(QueueError::Unusable(why));
                    }
                    Err(_) | Ok(()) => {}
                }
            }
        }
    }

    async fn stop(&mut self) {
        self.stopped = true;
        self.pending = None;
        self.prefetched.clear();
        // Whatever the answer, the leases go back at the latest when this process ends.
        let _ = self.writer.ask(STOP, |reply| Box::new(Nudge(Some(reply)))).await;
    }
}

fn closed() -> QueueError {
    QueueError::Unusable("its writer ended; restart the program".into())
}

/// Waits for one free slot, and takes the others that are free as well.
async fn free_slots(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, AcquireError> {
    let mut taken = Arc::clone(slots).acquire_owned().await?;
    while taken.num_permits() < PREFETCH {
        let Ok(more) = Arc::clone(slots).try_acquire_owned() else { break };
        taken.merge(more);
    }
    Ok(taken)
}

/// What a lease brought.
struct Taken {
    leases: VecDeque<(Lease, LeasedRow)>,
    again_at: Option<EpochMs>,
}

/// Leases messages in the writer's transaction, as many as there are slots in it.
struct Take {
    lane: Lane,
    state: Arc<State>,
    slots: OwnedSemaphorePermit,
    found: Found,
    reply: oneshot::Sender<Result<Taken, QueueError>>,
}

impl Change for Take {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        if self.reply.is_closed() {
            return Ok(());
        }
        let suspects = usize::from(self.state.suspects.load(Ordering::Relaxed) == 0);
        let wanted = Wanted { lane: self.lane, limit: self.slots.num_permits(), suspects };
        self.found = batch.lease(&wanted, || self.state.next_token())?;
        // Whoever stored these may wait to hear what becomes of them.
        self.state.hearing.look_around(batch.connection, batch.owner)
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>) {
        let Self { lane, mut slots, found, reply, .. } = *self;
        let taken = end.map(|()| {
            if lane == Lane::Work {
                state.backlog.taken(found.rows.len());
            }
            let leases = found.rows.into_iter().filter_map(|row| {
                let slot = slots.split(1)?;
                let key = LeaseKey { id: row.place.id, token: row.token };
                Some((Lease::new(key, row.place.is_suspect(), state, slot), row))
            });
            Taken { leases: leases.collect(), again_at: found.again_at }
        });
        // If the consumer is gone, dropping the leases gives them back.
        let _ = reply.send(taken);
    }
}
