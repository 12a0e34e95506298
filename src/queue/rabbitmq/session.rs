//! A connection that stands or stood, and the link through which everybody finds the one of the moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt, pin_mut};
use lapin::{Connection, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::limit::{FAREWELL, Fault, bounded};
use crate::queue::QueueError;

/// How often a session is looked at, should lapin forget to tell that it broke.
const LOOK: Duration = Duration::from_millis(250);

/// A connection that stands, or stood.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Counts the connections of a link; a delivery or channel of another generation is worthless.
    pub(super) generation: u64,
    /// Cancelled when the session ended.
    pub(super) lost: CancellationToken,
    began: Instant,
    /// Milliseconds from `began` to the last look at the connection.
    looked: AtomicU64,
}

impl Session {
    pub(super) fn new(connection: Connection, generation: u64) -> Self {
        let (lost, began, looked) = (CancellationToken::new(), Instant::now(), AtomicU64::new(0));
        Self { connection, generation, lost, began, looked }
    }

    /// True while the broker takes nothing from this connection because it is short of memory or disk.
    pub(super) fn blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// False once what belongs to the session is worthless. A process that was frozen, and wakes up, learns here that
    /// the broker has given its deliveries to others, before the socket tells.
    pub(super) fn is_current(&self) -> bool {
        !self.lost.is_cancelled() && self.unlooked() < self.patience()
    }

    /// Closes the connection. lapin breaks off, without a word to the broker, one of which a channel is just being closed, as
    /// every channel is that was dropped. They are closed once a new one is open, and that one is kept to the end.
    ///
    /// # Errors
    /// When the broker does not answer in time.
    pub(super) async fn say_goodbye(&self) -> Result<(), Fault> {
        let closing = async {
            // Of a connection that broke nothing is to be closed.
            let _last =
                if self.connection.status().connected() { Some(self.connection.create_channel().await?) } else { None };
            self.connection.close(200, "bye".into()).await
        };
        bounded("connection.close", FAREWELL, closing).await
    }

    /// Resolves when the connection broke, or this process was frozen for so long that the broker took it for dead.
    pub(super) async fn broken(&self, told: impl Stream<Item = Event>) {
        pin_mut!(told);
        while self.connection.status().connected() && self.unlooked() < self.patience() {
            self.looked.store(self.age(), Ordering::Release);
            // Told or not, the status decides: a channel's error is told as well.
            let _ = tokio::time::timeout(LOOK, told.next()).await;
        }
    }

    fn unlooked(&self) -> u64 {
        self.age().saturating_sub(self.looked.load(Ordering::Acquire))
    }

    fn age(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds of silence in which the broker certainly does not give a client up yet: two heartbeats.
    fn patience(&self) -> u64 {
        2_000 * u64::from(self.connection.configuration().heartbeat().max(1))
    }
}

/// What a link is now.
#[derive(Clone)]
pub(super) enum State {
    /// Not connected; why.
    Down(String),
    /// Connected and ready.
    Up(Arc<Session>),
    /// An operator is needed; tried again all the same.
    Unusable(String),
    /// Closed by us.
    Closed,
}

/// A connection that is kept.
#[derive(Clone)]
pub(super) struct Link(watch::Receiver<State>);

impl Link {
    /// A link, down as yet, and where its supervisor tells its state.
    pub(super) fn new() -> (watch::Sender<State>, Self) {
        let (state, link) = watch::channel(State::Down("not connected yet".into()));
        (state, Self(link))
    }

    /// The session, if there is one now.
    ///
    /// # Errors
    /// `Unreachable`, at once.
    pub(super) fn now(&self) -> Result<Arc<Session>, QueueError> {
        match &*self.0.borrow() {
            State::Up(session) => Ok(Arc::clone(session)),
            State::Down(why) | State::Unusable(why) => Err(QueueError::Unreachable(why.clone())),
            State::Closed => Err(QueueError::Unreachable("closed".into())),
        }
    }

    /// Waits for a session; `None` once the link is closed.
    ///
    /// # Errors
    /// `Unusable` when an operator is needed.
    pub(super) async fn session(&mut self) -> Result<Option<Arc<Session>>, QueueError> {
        loop {
            match &*self.0.borrow_and_update() {
                State::Up(session) => return Ok(Some(Arc::clone(session))),
                State::Unusable(why) => return Err(QueueError::Unusable(why.clone())),
                State::Closed => return Ok(None),
                State::Down(_) => {}
            }
            if self.0.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

/// Host and process, for the names of connections and consumers in RabbitMQ's own tools.
pub(super) fn whereabouts() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}
