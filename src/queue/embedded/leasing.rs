//! Leasing: messages pass from `ready` to the process that works on them.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::{
    batch::Batch,
    place::{LeasedRow, Place, moment, number, sql},
};
use crate::{
    message::{Lane, Reason},
    time::EpochMs,
};

/// At most so many rows are looked at to find messages that may be leased.
const SCAN: usize = 2_000;
/// At most so many expired messages are moved at once.
const EXPIRE: usize = 256;
/// When suspects had to be passed over, a look is worth it again after this.
const SUSPECT_WAIT: Duration = Duration::from_millis(100);

/// What a lease may take.
pub(super) struct Wanted {
    pub(super) lane: Lane,
    pub(super) limit: usize,
    /// How many suspects may be among it.
    pub(super) suspects: usize,
}

/// What a lease found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<LeasedRow>,
    /// If nothing: when a look is worth it again, should nothing happen before.
    pub(super) again_at: Option<EpochMs>,
}

/// What a look at the lane's head picked.
#[derive(Default)]
struct Picked {
    chosen: Vec<Place>,
    expired: Vec<Place>,
    passed_over: bool,
}

impl Batch<'_> {
    /// Leases messages, oldest first; `token` numbers the leases. Expired work goes to the late lane.
    pub(super) fn lease(&mut self, wanted: &Wanted, mut token: impl FnMut() -> i64) -> rusqlite::Result<Found> {
        let picked = self.pick(wanted)?;
        for place in &picked.expired {
            self.expire(place)?;
        }
        let mut rows = Vec::with_capacity(picked.chosen.len());
        for place in &picked.chosen {
            rows.extend(self.take(place, token())?);
        }
        let again_at = if rows.is_empty() { self.next_look(wanted.lane, &picked)? } else { None };
        Ok(Found { rows, again_at })
    }

    fn pick(&self, wanted: &Wanted) -> rusqlite::Result<Picked> {
        let mut picked = Picked::default();
        let mut suspects = wanted.suspects;
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {} FROM ready WHERE lane = ?1 AND ready_at <= ?2 ORDER BY ready_at, id LIMIT {SCAN}",
            Place::COLUMNS
        ))?;
        let mut rows = statement.query(params![number(wanted.lane), sql(self.now)])?;
        while picked.chosen.len() < wanted.limit && picked.expired.len() < EXPIRE {
            let Some(row) = rows.next()? else { break };
            let place = Place::read(row)?;
            if place.is_expired(self.now) {
                picked.expired.push(place);
            } else if place.is_suspect() && suspects == 0 {
                picked.passed_over = true;
            } else {
                suspects -= usize::from(place.is_suspect());
                picked.chosen.push(place);
            }
        }
        Ok(picked)
    }

    fn take(&self, place: &Place, token: i64) -> rusqlite::Result<Option<LeasedRow>> {
        self.leave_ready(place)?;
        let content = self
            .connection
            .prepare_cached("SELECT headers, body FROM message WHERE id = ?1")?
            .query_row([place.id], |row| Ok((row.get::<_, String>(0)?, Bytes::from(row.get::<_, Vec<u8>>(1)?))))
            .optional()?;
        // A place without a message is damage; going on without it keeps the lane alive.
        let Some((headers, body)) = content else { return Ok(None) };
        self.execute(
            "INSERT INTO leased (id, owner, token, lane, ready_at, attempt, returns, reason, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                place.id,
                self.owner,
                token,
                number(place.lane),
                sql(place.ready_at),
                place.attempt,
                place.returns,
                place.reason.map(Reason::as_str),
                place.expires_at.map(sql)
            ],
        )?;
        Ok(Some(LeasedRow { token, place: *place, headers, body }))
    }

    fn next_look(&self, lane: Lane, picked: &Picked) -> rusqlite::Result<Option<EpochMs>> {
        if picked.expired.len() == EXPIRE {
            return Ok(Some(self.now));
        }
        if picked.passed_over {
            return Ok(Some(self.now.plus(SUSPECT_WAIT)));
        }
        self.connection
            .prepare_cached("SELECT min(ready_at) FROM ready WHERE lane = ?1 AND ready_at > ?2")?
            .query_row(params![number(lane), sql(self.now)], |row| row.get::<_, Option<i64>>(0))
            .map(|at| at.map(moment))
    }

    /// Moves work whose time ran out to the late lane, up to a bound; the rest waits for the next call.
    pub(super) fn expire_work(&mut self) -> rusqlite::Result<()> {
        let expired: Vec<_> = self
            .connection
            .prepare_cached(&format!(
                "SELECT {} FROM ready WHERE lane = ?1 AND expires_at <= ?2 LIMIT {EXPIRE}",
                Place::COLUMNS
            ))?
            .query_map(params![number(Lane::Work), sql(self.now)], Place::read)?
            .collect::<Result<_, _>>()?;
        expired.iter().try_for_each(|place| self.expire(place))
    }

    fn expire(&mut self, place: &Place) -> rusqlite::Result<()> {
        self.leave_ready(place)?;
        self.make_late(place, Reason::Expired)
    }

    fn leave_ready(&self, place: &Place) -> rusqlite::Result<()> {
        self.execute(
            "DELETE FROM ready WHERE lane = ?1 AND ready_at = ?2 AND id = ?3",
            params![number(place.lane), sql(place.ready_at), place.id],
        )
        .map(drop)
    }
}
