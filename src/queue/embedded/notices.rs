//! Notices between the processes of one machine: rows of a table, written only while another process listens, and read by
//! the watcher.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{
    batch::Batch,
    inbox::{Change, WeakWriter, Writer},
    place::sql,
    state::State,
};
use crate::{
    metrics::labels::{Label as _, NoticeEnd, Topic},
    queue::{
        QueueError,
        notice::{LIFE, LONGEST_NOTICE, Notice, NoticeReader, Notices, WAITING},
    },
};

/// Notices read at one look.
const READ: u32 = 256;

pub(super) struct EmbeddedNotices {
    pub(super) state: Arc<State>,
    pub(super) writer: WeakWriter,
}

impl Notices for EmbeddedNotices {
    fn publish(&self, notice: Notice) {
        self.state.hub.spread(&notice);
        if !self.state.others_listen.load(Ordering::Relaxed) {
            return;
        }
        match self.writer.upgrade() {
            Some(writer) if notice.body.len() <= LONGEST_NOTICE => {
                writer.offer(Box::new(Tell { notice, state: Arc::clone(&self.state), told: false }));
            }
            _ => self.state.hub.count(NoticeEnd::Dropped),
        }
    }

    fn subscribe(&self, topics: &[Topic]) -> NoticeReader {
        let reader = self.state.hub.subscribe(topics);
        // It tells the others that we listen.
        if let Some(watcher) = self.state.watcher.get() {
            watcher.unpark();
        }
        reader
    }

    fn is_heard(&self, topic: Topic) -> Option<bool> {
        Some(self.state.hub.hears(topic) || self.state.others_listen.load(Ordering::Relaxed))
    }
}

/// Stores a notice with whatever else is to be stored. Dropped before, it counts as such.
struct Tell {
    notice: Notice,
    state: Arc<State>,
    told: bool,
}

impl Change for Tell {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        let Notice { topic, body } = &self.notice;
        batch
            .execute(
                "INSERT INTO notice (owner, at, topic, body) VALUES (?1, ?2, ?3, ?4)",
                params![batch.owner, sql(batch.now), topic.as_str(), &body[..]],
            )
            .map(drop)
    }

    fn answer(mut self: Box<Self>, end: Result<(), QueueError>, _: &Arc<State>) {
        self.told = end.is_ok();
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.state.hub.count(if self.told { NoticeEnd::Sent } else { NoticeEnd::Dropped });
    }
}

/// Says that this process listens, or no longer does.
struct Listen(bool);

impl Change for Listen {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        let change = if self.0 {
            "INSERT OR IGNORE INTO listener (owner) VALUES (?1)"
        } else {
            "DELETE FROM listener WHERE owner = ?1"
        };
        batch.execute(change, [batch.owner]).map(drop)
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, state: &Arc<State>) {
        if end.is_ok() {
            state.listens.store(self.0, Ordering::Relaxed);
        }
    }
}

/// Forgets notices that are too old or too many, and listeners that are gone.
pub(super) fn prune(batch: &Batch<'_>) -> rusqlite::Result<()> {
    batch.execute(
        "DELETE FROM notice WHERE id <= coalesce((SELECT max(id) FROM notice WHERE at < ?1), 0)
         OR id <= (SELECT max(id) FROM notice) - ?2",
        params![sql(batch.now.minus(LIFE)), WAITING],
    )?;
    batch.execute("DELETE FROM listener WHERE owner NOT IN (SELECT id FROM owner)", []).map(drop)
}

/// The watcher's part.
#[derive(Default)]
pub(super) struct Ear {
    /// The last notice that was there before we listened, or that we read.
    last: Option<i64>,
}

impl Ear {
    /// Looks who else listens, and says whether we do.
    pub(super) fn look_around(
        &mut self,
        connection: &Connection,
        owner: i64,
        state: &Arc<State>,
        writer: &Writer,
    ) -> rusqlite::Result<()> {
        let others: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM listener JOIN owner ON owner.id = listener.owner WHERE owner <> ?1)",
            )?
            .query_row([owner], |row| row.get(0))?;
        state.others_listen.store(others, Ordering::Relaxed);
        let heard = state.hub.is_heard();
        if heard != state.listens.load(Ordering::Relaxed) {
            writer.offer(Box::new(Listen(heard)));
        }
        if !heard {
            self.last = None;
        }
        Ok(())
    }

    /// Hands on what the others told since the last look; true if there may be more. Called when the file changed,
    /// while somebody listens.
    pub(super) fn hear(&mut self, connection: &Connection, owner: i64, state: &State) -> rusqlite::Result<bool> {
        let Some(last) = self.last else {
            let newest = "SELECT coalesce(max(id), 0) FROM notice";
            self.last = Some(connection.prepare_cached(newest)?.query_row([], |row| row.get(0))?);
            return Ok(false);
        };
        let mut statement = connection
            .prepare_cached("SELECT id, owner, topic, body FROM notice WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let mut rows = statement.query(params![last, READ])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            self.last = Some(row.get(0)?);
            let topic = row.get_ref(2)?.as_str().ok().and_then(named);
            if let Some(topic) = topic
                && row.get::<_, i64>(1)? != owner
            {
                state.hub.spread(&Notice { topic, body: Bytes::from(row.get::<_, Vec<u8>>(3)?) });
            }
        }
        Ok(read == READ)
    }
}

/// The topic of that name; another version may know more.
fn named(name: &str) -> Option<Topic> {
    Topic::ALL.iter().copied().find(|topic| topic.as_str() == name)
}
