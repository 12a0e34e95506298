//! The writer's transaction: storing messages and moving places. Siblings add leasing and ending to it.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, Params, params};

use super::{
    headers,
    place::{Place, index, number, sql},
};
use crate::{
    message::{Lane, Message, Reason},
    time::{EpochMs, work_until},
};

/// A message on its way into the file.
pub(super) struct NewMessage {
    lane: Lane,
    headers: String,
    body: Bytes,
    attempt: u32,
    reason: Option<Reason>,
    not_before: Option<EpochMs>,
    expires_at: Option<EpochMs>,
    accepted: Option<(uuid::Uuid, EpochMs)>,
}

impl NewMessage {
    /// # Errors
    /// When the headers cannot be written as JSON, which strings and numbers always can.
    pub(super) fn of(lane: Lane, message: &Message, reserve: Duration) -> Result<Self, serde_json::Error> {
        let envelope = &message.envelope;
        let work = lane == Lane::Work;
        Ok(Self {
            lane,
            headers: headers::encode(envelope)?,
            body: message.body.clone(),
            attempt: envelope.attempt,
            reason: envelope.reason,
            not_before: envelope.not_before,
            expires_at: work.then(|| work_until(envelope.accepted_at, envelope.deadline, reserve)),
            accepted: (work && envelope.attempt <= 1 && envelope.replay == 0)
                .then_some((envelope.trigger_id.0, envelope.accepted_at)),
        })
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }
}

/// One transaction of the writer, and what the process must know once it is committed.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) owner: i64,
    pub(super) now: EpochMs,
    /// Lanes that got something to take.
    pub(super) woken: [bool; 3],
    /// Why messages were dead-lettered.
    pub(super) died: Vec<Reason>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a Connection, owner: i64, now: EpochMs) -> Self {
        Self { connection, owner, now, woken: [false; 3], died: Vec::new() }
    }

    /// Runs one statement; how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(params)
    }

    /// Stores a message at the end of its lane.
    pub(super) fn insert(&mut self, new: &NewMessage) -> rusqlite::Result<()> {
        self.execute("INSERT INTO message (headers, body) VALUES (?1, ?2)", params![new.headers, &new.body[..]])?;
        self.make_ready(&Place {
            id: self.connection.last_insert_rowid(),
            lane: new.lane,
            ready_at: new.not_before.map_or(self.now, |moment| moment.max(self.now)),
            attempt: new.attempt,
            returns: 0,
            reason: new.reason,
            expires_at: new.expires_at,
        })?;
        let Some((trigger_id, accepted_at)) = new.accepted else { return Ok(()) };
        self.execute(
            "INSERT INTO accepted (trigger_id, accepted_at) VALUES (?1, ?2)",
            params![&trigger_id.as_bytes()[..], sql(accepted_at)],
        )
        .map(drop)
    }

    /// Lets a message be taken from `place.ready_at` on.
    pub(super) fn make_ready(&mut self, place: &Place) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO ready (lane, ready_at, id, attempt, returns, reason, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                number(place.lane),
                sql(place.ready_at),
                place.id,
                place.attempt,
                place.returns,
                place.reason.map(Reason::as_str),
                place.expires_at.map(sql)
            ],
        )?;
        self.woken[index(place.lane)] = true;
        Ok(())
    }

    /// Sends what left the work lane to the late lane.
    pub(super) fn make_late(&mut self, place: &Place, reason: Reason) -> rusqlite::Result<()> {
        self.make_ready(&Place {
            lane: Lane::Late,
            ready_at: self.now,
            returns: 0,
            reason: Some(reason),
            expires_at: None,
            ..*place
        })
    }
}
