//! Who consumes which lane, for an operator to see. It steers nothing: leases alone say who holds what.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, params};

use super::{
    batch::Batch,
    inbox::{Change, WeakWriter, Writer},
    owner::is_dead,
    place::number,
    state::State,
};
use crate::{message::Lane, queue::QueueError};

/// A consumer that is there until this is dropped.
pub(super) struct Attendance {
    lane: Lane,
    writer: WeakWriter,
}

impl Attendance {
    pub(super) fn begin(lane: Lane, writer: &Writer) -> Self {
        writer.offer(Box::new(Attend { lane, more: 1 }));
        Self { lane, writer: writer.downgrade() }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        // A process that ends forgets its rows anyway.
        if let Some(writer) = self.writer.upgrade() {
            writer.offer(Box::new(Attend { lane: self.lane, more: -1 }));
        }
    }
}

struct Attend {
    lane: Lane,
    more: i64,
}

impl Change for Attend {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        batch
            .execute(
                "INSERT INTO consumer (owner, lane, count) VALUES (?1, ?2, max(0, ?3))
                 ON CONFLICT (owner, lane) DO UPDATE SET count = max(0, count + ?3)",
                params![batch.owner, number(self.lane), self.more],
            )
            .map(drop)
    }

    fn answer(self: Box<Self>, _: Result<(), QueueError>, _: &Arc<State>) {}
}

/// Consumers of each lane, in the order of [`Lane::ALL`], of the processes that live.
pub(super) fn count(connection: &Connection, directory: &Path) -> rusqlite::Result<[u64; 3]> {
    let mut statement = connection.prepare_cached(
        "SELECT owner.name, lane, count FROM consumer JOIN owner ON owner.id = consumer.owner WHERE count > 0",
    )?;
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u8>(1)?, row.get::<_, u32>(2)?)))?;
    let mut counts = [0; 3];
    for row in rows {
        let (owner, lane, count) = row?;
        let place = Lane::ALL.into_iter().position(|known| number(known) == lane);
        if let Some(place) = place.filter(|_| !is_dead(directory, &owner)) {
            counts[place] += u64::from(count);
        }
    }
    Ok(counts)
}

/// Forgets the consumers of processes that are gone.
pub(super) fn prune(batch: &Batch<'_>) -> rusqlite::Result<()> {
    batch.execute("DELETE FROM consumer WHERE owner NOT IN (SELECT id FROM owner)", []).map(drop)
}
