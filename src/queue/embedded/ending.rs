//! How a lease ends: acknowledged, retried, dead-lettered, or given back.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::{
    batch::Batch,
    place::{LeaseKey, Place, number, sql},
};
use crate::message::{Lane, Reason};

/// All of these do nothing and say `false` when the lease is over: the message is somebody else's by then.
impl Batch<'_> {
    /// Forgets the message, leased or a dead letter that is held.
    pub(super) fn ack(&mut self, key: LeaseKey) -> rusqlite::Result<bool> {
        if self.end_lease(key)?.is_none() && !self.end_hold(key)? {
            return Ok(false);
        }
        self.execute("DELETE FROM message WHERE id = ?1", [key.id])?;
        Ok(true)
    }

    /// Puts the message back with one more attempt, to come no sooner than `after`.
    pub(super) fn retry(&mut self, key: LeaseKey, after: Duration) -> rusqlite::Result<bool> {
        let Some(place) = self.end_lease(key)? else { return Ok(false) };
        let attempt = place.attempt.saturating_add(1);
        self.make_ready(&Place { ready_at: self.now.plus(after), attempt, returns: 0, ..place })?;
        Ok(true)
    }

    /// Puts the message where an operator sees it.
    pub(super) fn dead_letter(&mut self, key: LeaseKey, reason: Reason) -> rusqlite::Result<bool> {
        let Some(place) = self.end_lease(key)? else { return Ok(false) };
        self.bury(&place, reason)?;
        Ok(true)
    }

    /// Replaces the headers of a message that stays.
    pub(super) fn rewrite(&mut self, id: i64, headers: &str) -> rusqlite::Result<()> {
        self.execute("UPDATE message SET headers = ?2 WHERE id = ?1", params![id, headers]).map(drop)
    }

    /// Gives the message back to its lane; a `counted` return beyond the lane's limit takes it out.
    pub(super) fn give_back(&mut self, key: LeaseKey, counted: bool) -> rusqlite::Result<bool> {
        let Some(place) = self.end_lease(key)? else { return self.give_back_dead(key) };
        self.return_to_lane(&place, counted)?;
        Ok(true)
    }

    /// Gives back everything that `owner` holds, each as a counted return; how many, and the highest token.
    pub(super) fn give_back_all(&mut self, owner: i64) -> rusqlite::Result<(usize, i64)> {
        let leases: Vec<(Place, i64)> = self
            .connection
            .prepare_cached(&format!("DELETE FROM leased WHERE owner = ?1 RETURNING {}, token", Place::COLUMNS))?
            .query_map([owner], |row| Ok((Place::read(row)?, row.get(7)?)))?
            .collect::<Result<_, _>>()?;
        for (place, _) in &leases {
            self.return_to_lane(place, true)?;
        }
        let (dead, last_dead) = self.give_back_all_dead(owner)?;
        Ok((leases.len() + dead, leases.iter().map(|(_, token)| *token).max().unwrap_or(0).max(last_dead)))
    }

    fn return_to_lane(&mut self, place: &Place, counted: bool) -> rusqlite::Result<()> {
        let returns = place.returns.saturating_add(u32::from(counted));
        if returns <= place.lane.delivery_limit() {
            return self.make_ready(&Place { returns, ..*place });
        }
        match place.lane {
            Lane::Work => self.make_late(place, Reason::Poison),
            Lane::Late | Lane::Outcome => self.bury(place, Reason::Poison),
        }
    }

    fn bury(&mut self, place: &Place, reason: Reason) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO dead (id, died_at, lane, attempt, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![place.id, sql(self.now), number(place.lane), place.attempt, reason.as_str()],
        )?;
        self.died.push(reason);
        Ok(())
    }

    fn end_lease(&self, key: LeaseKey) -> rusqlite::Result<Option<Place>> {
        self.connection
            .prepare_cached(&format!(
                "DELETE FROM leased WHERE id = ?1 AND owner = ?2 AND token = ?3 RETURNING {}",
                Place::COLUMNS
            ))?
            .query_row(params![key.id, self.owner, key.token], Place::read)
            .optional()
    }
}
