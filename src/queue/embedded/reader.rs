//! Looking without taking: on a connection that cannot write.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::{task::spawn_blocking, time::timeout};
use uuid::Uuid;

use super::{
    attendance,
    failure::{Moment, explain},
    headers,
    place::{moment, number, reason, sql},
};
use crate::{
    message::{DeadLetter, Lane, Message, Reason},
    queue::{Depths, QueueError},
    time::EpochMs,
    trigger::TriggerId,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// A connection for questions; empty once the queue is closed.
pub(super) struct Reader(Arc<Mutex<Option<Connection>>>);

impl Reader {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(Some(connection))))
    }

    /// Waits for a question under way, and lets go of the file.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) async fn depths(&self) -> Result<Depths, QueueError> {
        self.ask(depths).await
    }

    pub(super) async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.ask(move |connection| dead_letters(connection, limit)).await
    }

    pub(super) async fn accepted_since(&self, since: EpochMs) -> Result<Vec<(TriggerId, EpochMs)>, QueueError> {
        self.ask(move |connection| accepted_since(connection, since)).await
    }

    /// Consumers of each lane, in the order of [`Lane::ALL`].
    pub(super) async fn consumers(&self, directory: PathBuf) -> Result<[u64; 3], QueueError> {
        self.ask(move |connection| attendance::count(connection, &directory)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let connection = Arc::clone(&self.0);
        let asked = spawn_blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let open = connection.as_ref().ok_or_else(|| QueueError::Unreachable("it is closed".into()))?;
            question(open).map_err(|error| explain(&error, Moment::Before))
        });
        match timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(QueueError::Unreachable("the question was cut short".into())),
            Err(_) => Err(QueueError::Unreachable(format!("no answer within {PATIENCE:?}"))),
        }
    }
}

fn depths(connection: &Connection) -> rusqlite::Result<Depths> {
    let now = sql(SystemTime::now().into());
    let count = |query: &str, lane| -> rusqlite::Result<u64> {
        let count: u32 = connection.prepare_cached(query)?.query_row(params![number(lane), now], |row| row.get(0))?;
        Ok(count.into())
    };
    let ready = |lane| count("SELECT count(*) FROM ready WHERE lane = ?1 AND ready_at <= ?2", lane);
    let delayed = |lane| count("SELECT count(*) FROM ready WHERE lane = ?1 AND ready_at > ?2", lane);
    let dead: u32 = connection.prepare_cached("SELECT count(*) FROM dead")?.query_row([], |row| row.get(0))?;
    Ok(Depths {
        work: ready(Lane::Work)?,
        late: ready(Lane::Late)?,
        outcome: ready(Lane::Outcome)?,
        delayed: delayed(Lane::Work)? + delayed(Lane::Late)? + delayed(Lane::Outcome)?,
        dead: dead.into(),
    })
}

fn dead_letters(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    connection
        .prepare_cached(
            "SELECT headers, body, attempt, reason FROM dead JOIN message USING (id) ORDER BY died_at, id LIMIT ?1",
        )?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            let reason = reason(row.get_ref(3)?).unwrap_or(Reason::Unreadable);
            let headers: String = row.get(0)?;
            let envelope = headers::decode(&headers, row.get(2)?, Some(reason)).unwrap_or_else(headers::unreadable);
            Ok(DeadLetter { message: Message { envelope, body: Bytes::from(row.get::<_, Vec<u8>>(1)?) }, reason })
        })?
        .collect()
}

fn accepted_since(connection: &Connection, since: EpochMs) -> rusqlite::Result<Vec<(TriggerId, EpochMs)>> {
    connection
        .prepare_cached(
            "SELECT trigger_id, min(accepted_at) AS first FROM accepted WHERE accepted_at >= ?1
             GROUP BY trigger_id ORDER BY first",
        )?
        .query_map([sql(since)], |row| Ok((TriggerId(Uuid::from_bytes(row.get(0)?)), moment(row.get(1)?))))?
        .collect()
}
