//! The embedded queue: one SQLite file in a directory, for one machine.
//!
//! Any number of processes may share the directory (an ingress, some workers, or `serve` alone); it must be on a local
//! disk, as SQLite's log and file locks do not work across machines.
//!
//! * **Durable**: write-ahead log with `synchronous=FULL`; an answer is given after the commit's fsync. One thread a
//!   process writes (`writer`), so that one fsync confirms whatever came in meanwhile.
//! * **Leased** (`leasing`, `ending`): a delivery belongs to the process that took it, by owner and token. A process
//!   holds a file lock while it lives (`owner`): when it dies, its leases go back within a quarter of a second; when
//!   it is frozen, after 30 s (`reclaim`). A process that wakes from that can settle only what it still holds.
//! * **Exact**: a retry waits as long as asked, a hand-over is one transaction.
//!
//! A process that is frozen in the middle of a transaction blocks the others until it goes on or is killed: they refuse
//! new triggers and go on by themselves.
//!
//! Metrics: this backend counts publishes (a hand-over is one, and an acknowledgement), deliveries taken and settled,
//! settlements lost, dead letters, and whether it can write; the worker counts none of these.

mod attendance;
mod backlog;
mod batch;
mod consumer;
mod dead;
mod ending;
mod failure;
#[cfg(fuzzing)]
pub mod fuzz;
mod headers;
mod health;
mod hearing;
mod inbox;
mod lease;
mod leasing;
mod notices;
mod owner;
mod place;
mod publisher;
mod reader;
mod reclaim;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod watcher;
mod writer;

use std::{
    io,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;
use serde::Deserialize;
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    consumer::EmbeddedConsumer,
    inbox::{Nudge, Patience, Writer},
    notices::EmbeddedNotices,
    owner::{Opening, Owner},
    publisher::EmbeddedPublisher,
    reader::Reader,
    state::State,
    watcher::Watched,
};
use super::{Consumer, DeadDelivery, Depths, Inspection, Limits, Publisher, Queue, QueueError, notice::Notices};
use crate::{
    message::{DeadLetter, Lane},
    metrics::Metrics,
    time::EpochMs,
    trigger::TriggerId,
};

/// The name of its file in the directory.
pub const FILE: &str = "queue.sqlite3";
/// How long closing waits for the writer to finish what it has.
const CLOSING: Duration = Duration::from_secs(10);
const PATIENCE: Patience = Patience { to_enter: Duration::from_secs(5), to_commit: Duration::from_secs(5) };

/// Settings of the embedded queue.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Where its files are, on a local disk; made if missing, readable only by its owner.
    pub directory: PathBuf,
}

/// Opens (and where missing, makes) the queue.
///
/// # Errors
/// `Unusable` for a directory that cannot be written, a foreign or corrupted file, or a newer schema.
pub async fn connect(config: &Config, limits: Limits, metrics: Arc<Metrics>) -> Result<Arc<dyn Queue>, QueueError> {
    let directory = config.directory.clone();
    let open = spawn_blocking(move || EmbeddedQueue::open(&directory, limits, metrics));
    match open.await {
        Ok(queue) => Ok(Arc::new(queue?)),
        Err(_) => Err(QueueError::Unusable("opening it was cut short; start again".into())),
    }
}

struct EmbeddedQueue {
    directory: PathBuf,
    state: Arc<State>,
    writer: Writer,
    reader: Reader,
    /// Once both threads have left.
    ended: CancellationToken,
}

/// The connections of one open queue, and who it is.
struct Opened {
    writing: Connection,
    watching: Connection,
    reading: Connection,
    owner: Owner,
}

impl EmbeddedQueue {
    fn open(directory: &Path, limits: Limits, metrics: Arc<Metrics>) -> Result<Self, QueueError> {
        let file = directory.join(FILE);
        let opened = open_files(directory, &file)?;
        Self::start(directory.into(), file, opened, limits, metrics)
    }

    fn start(
        directory: PathBuf,
        file: PathBuf,
        opened: Opened,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, QueueError> {
        let Opened { writing, watching, reading, owner } = opened;
        let (writer, changes) = inbox::channel();
        let state = State::new(limits, metrics, writer.downgrade());
        let watched = Watched { directory: directory.clone(), file, owner: owner.id() };
        let ended = CancellationToken::new();
        let left = Arc::new(ended.clone().drop_guard());
        writer::spawn(writing, owner, Arc::clone(&state), changes, Arc::clone(&left))
            .map_err(|error| no_thread(&error))?;
        watcher::spawn(watching, watched, &state, writer.downgrade(), left).map_err(|error| no_thread(&error))?;
        state.metrics.queue_connected.set(1);
        Ok(Self { directory, state, writer, reader: Reader::new(reading), ended })
    }
}

fn open_files(directory: &Path, file: &Path) -> Result<Opened, QueueError> {
    let _turn = Opening::begin(directory)?;
    let writing = schema::open_writer(file)?;
    owner::sweep(&writing, directory).map_err(|error| schema::cannot_open(file, &error))?;
    let owner = Owner::register(&writing, directory)?;
    Ok(Opened { watching: schema::open_reader(file)?, reading: schema::open_reader(file)?, writing, owner })
}

fn no_thread(error: &io::Error) -> QueueError {
    QueueError::Unusable(format!("no thread could be started ({}); raise the process limit", error.kind()))
}

#[async_trait]
impl Queue for EmbeddedQueue {
    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(EmbeddedPublisher { state: Arc::clone(&self.state), writer: self.writer.clone() })
    }

    fn notices(&self) -> Arc<dyn Notices> {
        Arc::new(EmbeddedNotices { state: Arc::clone(&self.state), writer: self.writer.downgrade() })
    }

    async fn consumer(&self, lane: Lane, slots: NonZeroU16) -> Result<Box<dyn Consumer>, QueueError> {
        self.state.health.usable()?;
        Ok(Box::new(EmbeddedConsumer::new(lane, slots.get(), Arc::clone(&self.state), self.writer.clone())))
    }

    fn is_connected(&self) -> bool {
        !self.state.closed.is_cancelled() && self.state.health.is_well()
    }

    async fn ready(&self) -> Result<(), QueueError> {
        self.state.health.usable()
    }

    async fn depths(&self) -> Result<Depths, QueueError> {
        self.reader.depths().await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, QueueError> {
        self.reader.dead_letters(limit).await
    }

    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadDelivery>, QueueError> {
        dead::take(&self.writer, &self.state, PATIENCE, limit).await
    }

    async fn inspect(&self) -> Result<Inspection, QueueError> {
        let version = format!("embedded, SQLite {}", rusqlite::version());
        let consumers = Some(self.reader.consumers(self.directory.clone()).await?);
        Ok(Inspection { version, consumers, blocked: !self.is_connected(), ..Inspection::default() })
    }

    async fn accepted_since(&self, since: EpochMs) -> Result<Vec<(TriggerId, EpochMs)>, QueueError> {
        self.reader.accepted_since(since).await
    }

    async fn close(&self) {
        self.state.closed.cancel();
        self.state.hub.close();
        self.state.metrics.queue_connected.set(0);
        // The writer notices after its next transaction.
        let _ = self.writer.ask(PATIENCE, |reply| Box::new(Nudge(Some(reply)))).await;
        if let Some(watcher) = self.state.watcher.get() {
            watcher.unpark();
        }
        // Not joined: a thread that hangs on a dead disk must not keep the program from ending.
        if timeout(CLOSING, self.ended.cancelled()).await.is_err() {
            tracing::warn!("the queue's threads did not end in time; what it holds goes back when the process ends");
        }
        self.reader.close();
    }
}
