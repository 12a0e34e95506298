//! Who hears notices: this process, as a row tells the others, and the others, as their rows tell us.
//!
//! Whoever listens and then stores a trigger hears what is told of it: its row is written first, and a process looks for
//! such rows in the very transaction that takes a trigger.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::{
    batch::Batch,
    inbox::{Change, Writer},
    state::State,
};
use crate::{
    metrics::labels::{Label as _, Topic},
    queue::{QueueError, notice::Notice},
};

/// Notices read at one look.
const READ: u32 = 256;

/// What one open queue knows of it.
#[derive(Default)]
pub(super) struct Hearing {
    others: AtomicBool,
    /// So that what was read later is also stored later.
    looking: Mutex<()>,
    /// The file says that this process listens.
    listens: AtomicBool,
    /// The last notice that was there before it did, or that was read since.
    read_up_to: AtomicI64,
}

impl Hearing {
    /// Another process listens, as of the last look.
    pub(super) fn others_listen(&self) -> bool {
        self.others.load(Ordering::Relaxed)
    }

    /// This process listens, and the others can know it.
    pub(super) fn listens(&self) -> bool {
        self.listens.load(Ordering::Acquire)
    }

    /// Looks whether others listen.
    pub(super) fn look_around(&self, connection: &Connection, owner: i64) -> rusqlite::Result<()> {
        let _turn = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let others = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM listener JOIN owner ON owner.id = listener.owner WHERE owner <> ?1)",
            )?
            .query_row([owner], |row| row.get(0))?;
        self.others.store(others, Ordering::Relaxed);
        Ok(())
    }
}

/// Has the file say whether this process listens.
pub(super) struct Listen {
    state: Arc<State>,
    heard: bool,
    newest: i64,
}

impl Listen {
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self { state: Arc::clone(state), heard: false, newest: 0 }
    }
}

impl Change for Listen {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        self.heard = self.state.hub.is_heard();
        if !self.heard {
            return batch.execute("DELETE FROM listener WHERE owner = ?1", [batch.owner]).map(drop);
        }
        batch.execute("INSERT OR IGNORE INTO listener (owner) VALUES (?1)", [batch.owner])?;
        let newest = "SELECT coalesce(max(id), 0) FROM notice";
        self.newest = batch.connection.prepare_cached(newest)?.query_row([], |row| row.get(0))?;
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, _: &Arc<State>) {
        if end.is_err() {
            return;
        }
        let hearing = &self.state.hearing;
        if self.heard && !hearing.listens() {
            hearing.read_up_to.store(self.newest, Ordering::Relaxed);
        }
        hearing.listens.store(self.heard, Ordering::Release);
    }
}

/// Has the file say what is so, should it say something else: we began or stopped to listen, or were thought dead.
pub(super) fn see_to_listening(
    connection: &Connection,
    owner: i64,
    state: &Arc<State>,
    writer: &Writer,
) -> rusqlite::Result<()> {
    let known: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM listener WHERE owner = ?1)")?
        .query_row([owner], |row| row.get(0))?;
    if known != state.hub.is_heard() {
        writer.offer(Box::new(Listen::new(state)));
    }
    Ok(())
}

/// Hands on what the others told since the last look; true if there may be more. Called when the file changed, while this
/// process listens.
pub(super) fn hear(connection: &Connection, owner: i64, state: &State) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT id, owner, topic, body FROM notice WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![state.hearing.read_up_to.load(Ordering::Relaxed), READ])?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        read += 1;
        state.hearing.read_up_to.store(row.get(0)?, Ordering::Relaxed);
        let topic = row.get_ref(2)?.as_str().ok().and_then(named);
        if let Some(topic) = topic
            && row.get::<_, i64>(1)? != owner
        {
            state.hub.spread(&Notice { topic, body: Bytes::from(row.get::<_, Vec<u8>>(3)?) });
        }
    }
    Ok(read == READ)
}

/// The topic of that name; another version may know more.
fn named(name: &str) -> Option<Topic> {
    Topic::ALL.iter().copied().find(|topic| topic.as_str() == name)
}
