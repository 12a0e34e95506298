//! Dead letters in an operator's hands: held like leases, but giving them back neither counts nor changes their order.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::params;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    batch::Batch,
    headers,
    inbox::{Change, Patience, WeakWriter, Writer},
    lease::{Lease, LeaseSettlement},
    place::{LeaseKey, reason},
    state::State,
};
use crate::{
    message::{Message, Reason},
    queue::{DEAD_LETTERS_HELD, DeadDelivery, Delivery, QueueError},
};

/// Takes the oldest `limit` dead letters that nobody holds.
pub(super) async fn take(
    writer: &Writer,
    state: &Arc<State>,
    patience: Patience,
    limit: usize,
) -> Result<Vec<DeadDelivery>, QueueError> {
    let slots = Arc::new(Semaphore::new(limit.min(DEAD_LETTERS_HELD)));
    let whole = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
    let Ok(slots) = slots.try_acquire_many_owned(whole) else { return Ok(Vec::new()) };
    let weak = writer.downgrade();
    let (state, found) = (Arc::clone(state), Vec::new());
    writer.ask(patience, |reply| Box::new(Hold { state, slots, writer: weak, found, reply })).await
}

/// A dead letter that was taken.
struct HeldRow {
    key: LeaseKey,
    attempt: u32,
    reason: Reason,
    headers: String,
    body: Bytes,
}

/// Holds dead letters in the writer's transaction, as many as there are slots.
struct Hold {
    state: Arc<State>,
    slots: OwnedSemaphorePermit,
    writer: WeakWriter,
    found: Vec<HeldRow>,
    reply: oneshot::Sender<Result<Vec<DeadDelivery>, QueueError>>,
}

impl Change for Hold {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        if !self.reply.is_closed() {
            self.found = batch.hold_dead(self.slots.num_permits(), || self.state.next_token())?;
        }
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>) {
        let Self { mut slots, writer, found, reply, .. } = *self;
        let held = end.map(|()| {
            let deliveries = found.into_iter().filter_map(|row| {
                let mut lease = Lease::new(row.key, false, state, slots.split(1)?);
                lease.begin();
                let settlement = LeaseSettlement { lease, writer: writer.clone() };
                let envelope = headers::decode(&row.headers, row.attempt, Some(row.reason));
                let envelope = envelope.unwrap_or_else(headers::unreadable);
                let delivery = Delivery::new(Message { envelope, body: row.body }, 0, Box::new(settlement));
                Some(DeadDelivery::new(row.reason, delivery))
            });
            deliveries.collect()
        });
        // If nobody waits any more, dropping them gives them back.
        let _ = reply.send(held);
    }
}

impl Batch<'_> {
    fn hold_dead(&mut self, limit: usize, mut token: impl FnMut() -> i64) -> rusqlite::Result<Vec<HeldRow>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, attempt, reason, headers, body FROM dead JOIN message USING (id) ORDER BY died_at, id LIMIT ?1",
        )?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(HeldRow {
                key: LeaseKey { id: row.get(0)?, token: token() },
                attempt: row.get(1)?,
                reason: reason(row.get_ref(2)?).unwrap_or(Reason::Unreadable),
                headers: row.get(3)?,
                body: Bytes::from(row.get::<_, Vec<u8>>(4)?),
            })
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        for HeldRow { key, .. } in &rows {
            self.execute(
                "INSERT INTO held (id, owner, token, died_at, lane, attempt, reason)
                 SELECT id, ?2, ?3, died_at, lane, attempt, reason FROM dead WHERE id = ?1",
                params![key.id, self.owner, key.token],
            )?;
            self.execute("DELETE FROM dead WHERE id = ?1", [key.id])?;
        }
        Ok(rows)
    }

    /// Lets go of a dead letter that becomes something else; false if it is not held.
    pub(super) fn end_hold(&self, key: LeaseKey) -> rusqlite::Result<bool> {
        let ended = self.execute(
            "DELETE FROM held WHERE id = ?1 AND owner = ?2 AND token = ?3",
            params![key.id, self.owner, key.token],
        )?;
        Ok(ended > 0)
    }

    /// Puts a dead letter back where it was; false if it is not held.
    pub(super) fn give_back_dead(&self, key: LeaseKey) -> rusqlite::Result<bool> {
        self.execute(
            "INSERT INTO dead (id, died_at, lane, attempt, reason)
             SELECT id, died_at, lane, attempt, reason FROM held WHERE id = ?1 AND owner = ?2 AND token = ?3",
            params![key.id, self.owner, key.token],
        )?;
        self.end_hold(key)
    }

    /// Puts back all dead letters that `owner` holds; how many, and the highest token.
    pub(super) fn give_back_all_dead(&self, owner: i64) -> rusqlite::Result<(usize, i64)> {
        self.execute(
            "INSERT INTO dead (id, died_at, lane, attempt, reason)
             SELECT id, died_at, lane, attempt, reason FROM held WHERE owner = ?1",
            [owner],
        )?;
        let tokens: Vec<i64> = self
            .connection
            .prepare_cached("DELETE FROM held WHERE owner = ?1 RETURNING token")?
            .query_map([owner], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok((tokens.len(), tokens.into_iter().max().unwrap_or(0)))
    }
}
