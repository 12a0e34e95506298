//! A message's place: the small row that moves while the message's bytes stay where they are.

use bytes::Bytes;
use rusqlite::{Row, types::ValueRef};

use crate::{
    message::{Lane, Reason},
    time::EpochMs,
};

/// Work that came back this often may be what kills its workers: it is leased one at a time, so that it takes no
/// innocent message with it.
const SUSPECT_AFTER: u32 = 3;

/// A row of `ready` or `leased`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) id: i64,
    pub(super) lane: Lane,
    pub(super) ready_at: EpochMs,
    pub(super) attempt: u32,
    pub(super) returns: u32,
    pub(super) reason: Option<Reason>,
    pub(super) expires_at: Option<EpochMs>,
}

impl Place {
    /// The columns that [`Place::read`] expects first.
    pub(super) const COLUMNS: &'static str = "id, lane, ready_at, attempt, returns, reason, expires_at";

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            lane: lane(row.get(1)?),
            ready_at: moment(row.get(2)?),
            attempt: row.get(3)?,
            returns: row.get(4)?,
            reason: reason(row.get_ref(5)?),
            expires_at: row.get::<_, Option<i64>>(6)?.map(moment),
        })
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.lane == Lane::Work && self.returns >= SUSPECT_AFTER
    }

    pub(super) fn is_expired(&self, now: EpochMs) -> bool {
        self.lane == Lane::Work && self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Which lease holds a message: a settlement counts only with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseKey {
    pub(super) id: i64,
    pub(super) token: i64,
}

/// A message as its lease found it.
pub(super) struct LeasedRow {
    pub(super) token: i64,
    pub(super) place: Place,
    pub(super) headers: String,
    pub(super) body: Bytes,
}

/// The lane's number in the file.
pub(super) fn number(lane: Lane) -> u8 {
    match lane {
        Lane::Work => 0,
        Lane::Late => 1,
        Lane::Outcome => 2,
    }
}

/// The lane's place in arrays.
pub(super) fn index(lane: Lane) -> usize {
    usize::from(number(lane))
}

fn lane(index: i64) -> Lane {
    match index {
        0 => Lane::Work,
        1 => Lane::Late,
        _ => Lane::Outcome,
    }
}

/// A reason's column; one that this version does not know counts as none.
pub(super) fn reason(value: ValueRef<'_>) -> Option<Reason> {
    value.as_str().ok().and_then(Reason::from_name)
}

/// A moment as SQLite's signed integer.
pub(super) fn sql(moment: EpochMs) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}

/// A moment from SQLite's signed integer.
pub(super) fn moment(value: i64) -> EpochMs {
    EpochMs(u64::try_from(value).unwrap_or(0))
}
