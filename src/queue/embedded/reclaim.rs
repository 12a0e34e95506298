//! Giving back what dead and silent processes hold, and forgetting what is too old to matter.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, params};

use super::{
    attendance,
    batch::Batch,
    health::SILENCE,
    inbox::{Change, Writer},
    notices,
    owner::{is_dead, lock_path},
    place::{moment, sql},
    state::State,
};
use crate::{queue::QueueError, time::EpochMs};

/// How long an accepted trigger is remembered, and how many at most (the contract's numbers).
const REMEMBERED: Duration = Duration::from_secs(600);
const REMEMBERED_COUNT: i64 = 100_000;
/// A look that comes this late means that we were frozen ourselves, or that the clock jumped: then the others' silence
/// is not judged until they had time to beat.
const ODD: Duration = Duration::from_secs(5);
const TIME_TO_BEAT: Duration = Duration::from_secs(10);

/// The other processes on the same file.
pub(super) struct Neighbours {
    directory: PathBuf,
    owner: i64,
    there: bool,
    looked_at: EpochMs,
    judge_from: Instant,
}

impl Neighbours {
    pub(super) fn new(directory: PathBuf, owner: i64) -> Self {
        let looked_at = SystemTime::now().into();
        Self { directory, owner, there: false, looked_at, judge_from: Instant::now() }
    }

    /// True if there were some at the last look.
    pub(super) fn are_there(&self) -> bool {
        self.there
    }

    /// Has the leases of the dead and the silent given back.
    pub(super) fn look(&mut self, connection: &Connection, writer: &Writer) -> rusqlite::Result<()> {
        let now = EpochMs::from(SystemTime::now());
        if now.since(self.looked_at) > ODD {
            self.judge_from = Instant::now() + TIME_TO_BEAT;
        }
        self.looked_at = now;
        let mut statement = connection.prepare_cached("SELECT id, name, beat FROM owner WHERE id <> ?1")?;
        let rows = statement.query_map([self.owner], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, moment(row.get(2)?)))
        })?;
        self.there = false;
        for row in rows {
            let (owner, name, beat) = row?;
            self.there = true;
            let dead = is_dead(&self.directory, &name);
            let silent = now.since(beat) > SILENCE && Instant::now() >= self.judge_from;
            if dead || silent {
                let lock = dead.then(|| lock_path(&self.directory, &name));
                writer.offer(Box::new(Reclaim { owner, beat, lock, given_back: 0 }));
            }
        }
        Ok(())
    }
}

/// Gives back what another process holds.
struct Reclaim {
    owner: i64,
    beat: EpochMs,
    /// The lock file of a dead one, to be removed with it.
    lock: Option<PathBuf>,
    given_back: usize,
}

impl Change for Reclaim {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        // Only if it was not heard of since; the lock is proof enough of a death.
        let still = batch
            .connection
            .prepare_cached("SELECT count(*) FROM owner WHERE id = ?1 AND beat = ?2")?
            .query_row(params![self.owner, sql(self.beat)], |row| row.get::<_, i64>(0))?;
        if still == 0 {
            return Ok(());
        }
        let (given_back, last_token) = batch.give_back_all(self.owner)?;
        self.given_back = given_back;
        if self.lock.is_some() {
            batch.execute("DELETE FROM owner WHERE id = ?1", [self.owner])?;
        } else if given_back > 0 {
            batch.execute("UPDATE owner SET lost_until = ?1 WHERE id = ?2", [last_token, self.owner])?;
        }
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), QueueError>, _: &Arc<State>) {
        if end.is_err() {
            return;
        }
        if let Some(lock) = &self.lock {
            let _ = fs::remove_file(lock);
        }
        if self.given_back > 0 {
            let (count, why) = (self.given_back, if self.lock.is_some() { "died" } else { "fell silent" });
            tracing::warn!(count, why, "gave back what another process held");
        }
    }
}

/// Moves work whose time ran out to the late lane, also when no work consumer has a free slot.
pub(super) struct ExpireWork;

impl Change for ExpireWork {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        batch.expire_work()
    }

    fn answer(self: Box<Self>, _: Result<(), QueueError>, _: &Arc<State>) {}
}

/// Forgets accepted triggers, and notices, that are too old or too many.
pub(super) struct Prune;

impl Change for Prune {
    fn apply(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        // The table is in order of time, so this looks at what it deletes and little more.
        batch.execute(
            "DELETE FROM accepted WHERE seq < coalesce(
                 (SELECT seq FROM accepted WHERE accepted_at >= ?1 ORDER BY seq LIMIT 1),
                 (SELECT max(seq) + 1 FROM accepted))
             OR seq <= (SELECT max(seq) FROM accepted) - ?2",
            params![sql(batch.now.minus(REMEMBERED)), REMEMBERED_COUNT],
        )?;
        attendance::prune(batch)?;
        notices::prune(batch)
    }

    fn answer(self: Box<Self>, _: Result<(), QueueError>, _: &Arc<State>) {}
}
