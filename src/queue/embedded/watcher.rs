//! The thread that looks around: what other processes stored, which of them died or fell silent, how much waits.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, params};
use tokio_util::sync::DropGuard;

use super::{
    failure::{Moment, explain},
    hearing::{hear, see_to_listening},
    inbox::{WeakWriter, Writer},
    place::{index, moment, number, sql},
    reclaim::{Neighbours, Prune},
    state::State,
};
use crate::{message::Lane, queue::QueueError, time::EpochMs};

/// Between looks while a consumer waits and another process could bring it something.
const ALERT: Duration = Duration::from_millis(8);
/// Between looks while somebody listens to the notices of other processes.
const LISTENING: Duration = Duration::from_millis(25);
/// Between looks otherwise.
const CALM: Duration = Duration::from_millis(100);
const NEIGHBOURS: Duration = Duration::from_millis(250);
const COUNT: Duration = Duration::from_secs(1);
const PRUNE: Duration = Duration::from_secs(10);
/// A write-ahead log beyond this is emptied; eight times what SQLite does by itself when it gets the chance.
const LONG_LOG: u64 = 64 << 20;

/// What the thread needs.
pub(super) struct Watched {
    pub(super) directory: PathBuf,
    pub(super) file: PathBuf,
    pub(super) owner: i64,
}

/// Starts the thread. It ends once the queue was closed or is no longer used; then `ended` is dropped.
pub(super) fn spawn(
    connection: Connection,
    watched: Watched,
    state: &Arc<State>,
    writer: WeakWriter,
    ended: Arc<DropGuard>,
) -> io::Result<()> {
    let file_id = file_id(&watched.file);
    let watcher = Watcher {
        connection,
        owner: watched.owner,
        heard: None,
        neighbours: Neighbours::new(watched.directory, watched.owner),
        file: watched.file,
        file_id,
        state: Arc::clone(state),
        writer,
        seen: Default::default(),
        counted: Instant::now(),
    };
    let run = move || {
        let _ended = ended;
        watcher.run();
    };
    let handle = std::thread::Builder::new().name("queue-watcher".into()).spawn(run)?;
    let _ = state.watcher.set(handle.thread().clone());
    Ok(())
}

struct Watcher {
    connection: Connection,
    owner: i64,
    neighbours: Neighbours,
    /// The version of the file whose notices are all read.
    heard: Option<i64>,
    file: PathBuf,
    file_id: Option<(u64, u64)>,
    state: Arc<State>,
    writer: WeakWriter,
    seen: [Seen; 3],
    counted: Instant,
}

/// What was seen of a lane at the last look at it.
#[derive(Default)]
struct Seen {
    /// Of the file; it changes with every foreign commit.
    version: i64,
    /// When the next message is due.
    due: Option<EpochMs>,
}

/// Something to be done every so often.
struct Every(Duration, Instant);

impl Every {
    /// Due at once, then again each `span`.
    fn new(span: Duration, now: Instant) -> Self {
        Self(span, now)
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.1;
        if due {
            self.1 = now + self.0;
        }
        due
    }
}

impl Watcher {
    fn run(mut self) {
        let now = Instant::now();
        let (mut neighbours, mut count, mut prune) =
            (Every::new(NEIGHBOURS, now), Every::new(COUNT, now), Every::new(PRUNE, now));
        while !self.state.closed.is_cancelled() {
            let Some(writer) = self.writer.upgrade() else { return };
            let now = Instant::now();
            let count = count.is_due(now);
            if count {
                self.check_files();
            }
            let looked = self.look(&writer, neighbours.is_due(now), count);
            if let Err(QueueError::Unusable(why)) = looked.map_err(|error| explain(&error, Moment::Before)) {
                self.state.health.break_for_good(why);
            }
            if prune.is_due(now) {
                writer.offer(Box::new(Prune));
            }
            // The queue must not be held open by the one who looks after it.
            drop(writer);
            std::thread::park_timeout(self.pause());
        }
    }

    fn pause(&self) -> Duration {
        let awaited = Lane::ALL.into_iter().any(|lane| self.state.is_awaited(lane));
        match self.neighbours.are_there() {
            true if awaited => ALERT,
            true if self.state.hearing.listens() => LISTENING,
            _ => CALM,
        }
    }

    fn look(&mut self, writer: &Writer, neighbours: bool, count: bool) -> rusqlite::Result<()> {
        if self.state.health.is_beat_due() {
            self.state.nudge();
        }
        let version: i64 = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        self.wake_consumers(version)?;
        if neighbours {
            self.neighbours.look(&self.connection, writer)?;
            self.state.hearing.look_around(&self.connection, self.owner)?;
            see_to_listening(&self.connection, self.owner, &self.state, writer)?;
        }
        if self.state.hearing.listens() && self.heard != Some(version) {
            let more = hear(&self.connection, self.owner, &self.state)?;
            self.heard = (!more).then_some(version);
        }
        if count {
            self.count(writer)?;
        }
        Ok(())
    }

    /// Consumers hear of their own process's messages by themselves; this is for the others' ones.
    fn wake_consumers(&mut self, version: i64) -> rusqlite::Result<()> {
        let now = EpochMs::from(SystemTime::now());
        for lane in Lane::ALL.into_iter().filter(|lane| self.state.is_awaited(*lane)) {
            let seen = &mut self.seen[index(lane)];
            // By lane: what changed while nobody waited there is news to whoever waits now.
            if std::mem::replace(&mut seen.version, version) != version {
                seen.due = first_due(&self.connection, lane)?;
            }
            if seen.due.is_some_and(|due| due <= now) {
                seen.due = None;
                self.state.wake(lane);
            }
        }
        Ok(())
    }

    fn count(&mut self, writer: &Writer) -> rusqlite::Result<()> {
        let now = sql(SystemTime::now().into());
        let (ready, expires_at): (u32, Option<i64>) = self
            .connection
            .prepare_cached("SELECT count(*), min(expires_at) FROM ready WHERE lane = ?1 AND ready_at <= ?2")?
            .query_row(params![number(Lane::Work), now], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.state.backlog.counted(ready.into(), self.counted.elapsed());
        self.counted = Instant::now();
        if expires_at.is_some_and(|at| at <= now) {
            writer.offer(Box::new(super::reclaim::ExpireWork));
        }
        Ok(())
    }

    /// A file that was deleted or replaced takes everything stored in it along when the program ends.
    fn check_files(&self) {
        if self.file_id.is_some() && file_id(&self.file) != self.file_id {
            self.state.health.break_for_good(format!(
                "{} was removed or replaced while in use; put it back or restart the program",
                self.file.display()
            ));
        }
        if std::fs::metadata(self.file.with_extension("sqlite3-wal")).is_ok_and(|log| log.len() > LONG_LOG) {
            self.state.long_log.store(true, Ordering::Relaxed);
            self.state.nudge();
        }
    }
}

fn first_due(connection: &Connection, lane: Lane) -> rusqlite::Result<Option<EpochMs>> {
    connection
        .prepare_cached("SELECT min(ready_at) FROM ready WHERE lane = ?1")?
        .query_row([number(lane)], |row| row.get::<_, Option<i64>>(0))
        .map(|due| due.map(moment))
}

fn file_id(path: &std::path::Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
