//! One connection to the broker, made again whenever it is lost.
//!
//! lapin's own recovery is not used: it keeps confirms in flight hanging, gives up after some tries, and does not heal
//! closed channels. Here a session is dropped whole at its first fault, and the next one has the next generation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt, pin_mut};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{self, Endpoint},
    hello,
    limit::{FAREWELL, bounded},
};
use crate::{
    metrics::{Metrics, labels::Reconnect},
    queue::QueueError,
};

/// First and longest wait before the next try to connect; the real ones are between half of it and all of it.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A session that lived this long was a good one: the next wait is the first again.
const GOOD_LIFE: Duration = Duration::from_secs(5);
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
    fn new(connection: Connection, generation: u64) -> Self {
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

    /// Resolves when the connection broke, or this process was frozen for so long that the broker took it for dead.
    async fn broken(&self, told: impl Stream<Item = Event>) {
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

/// What a link does with its sessions.
#[async_trait::async_trait]
pub(super) trait Tenant: Send + Sync + 'static {
    /// What the connection is for, in its name: `publish`, `consume`.
    fn purpose(&self) -> &'static str;
    /// Readies a connection, before anybody uses it.
    async fn move_in(&self, connection: &Connection) -> Result<(), QueueError>;
    /// Attends to a session until it has to be given up.
    async fn live_in(&self, session: &Session) -> QueueError;
    /// Called at every change between connected and not.
    fn connected(&self, connected: bool);
}

/// Keeps a connection for `tenant`.
pub(super) struct Supervisor<T> {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) connect_timeout: Duration,
    pub(super) tenant: Arc<T>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) closing: CancellationToken,
}

impl<T: Tenant> Supervisor<T> {
    /// Begins to connect in the background, until `closing`.
    pub(super) fn start(self) -> (Link, tokio::task::JoinHandle<()>) {
        let (state, link) = watch::channel(State::Down("not connected yet".into()));
        (Link(link), tokio::spawn(self.run(state)))
    }

    async fn run(self, state: watch::Sender<State>) {
        let closing = self.closing.clone();
        let mut wait = BACK_OFF.0;
        for generation in 1.. {
            let lived = tokio::select! {
                () = closing.cancelled() => break,
                connected = self.connect() => self.stay(connected, generation, &state).await,
            };
            if closing.is_cancelled() {
                break;
            }
            wait = if lived > GOOD_LIFE { BACK_OFF.0 } else { wait };
            let jittered = wait.mul_f64(0.5 + 0.5 * rand::random::<f64>());
            tokio::select! {
                () = closing.cancelled() => break,
                () = tokio::time::sleep(jittered) => {}
            }
            wait = (wait * 2).min(BACK_OFF.1);
        }
        state.send_replace(State::Closed);
    }

    /// Keeps a session for as long as it holds; says how long that was.
    async fn stay(
        &self,
        connected: Result<Connection, QueueError>,
        generation: u64,
        state: &watch::Sender<State>,
    ) -> Duration {
        let purpose = self.tenant.purpose();
        let connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                self.metrics.queue_reconnects.get(Reconnect::Connect).inc();
                tracing::warn!(purpose, %error, "cannot connect to the queue");
                state.send_replace(down(error));
                return Duration::ZERO;
            }
        };
        let began = Instant::now();
        let told = connection.events_listener();
        let session = Arc::new(Session::new(connection, generation));
        self.tenant.connected(true);
        state.send_replace(State::Up(Arc::clone(&session)));
        tracing::info!(purpose, generation, "connected to the queue");
        let ended = tokio::select! {
            () = self.closing.cancelled() => None,
            () = session.broken(told) => Some(QueueError::Unreachable("the connection was lost".into())),
            error = self.tenant.live_in(&session) => Some(error),
        };
        state.send_replace(match ended {
            None => State::Closed,
            Some(error) => {
                self.metrics.queue_reconnects.get(Reconnect::Lost).inc();
                tracing::warn!(purpose, generation, %error, "disconnected from the queue");
                down(error)
            }
        });
        self.tenant.connected(false);
        session.lost.cancel();
        let _ = bounded("connection.close", FAREWELL, session.connection.close(200, "bye".into())).await;
        began.elapsed()
    }

    /// Tries each broker once.
    async fn connect(&self) -> Result<Connection, QueueError> {
        let mut failed = QueueError::Unreachable("no broker is known".into());
        for endpoint in endpoint::shuffled(&self.endpoints) {
            match self.connect_to(&endpoint).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(&self, endpoint: &Endpoint) -> Result<Connection, QueueError> {
        hello::greet(endpoint, self.connect_timeout).await?;
        let name = format!("cognigy-fallback-router {} {}", self.tenant.purpose(), whereabouts());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(endpoint.uri.clone(), properties);
        let connection = bounded("connection.open", self.connect_timeout, connecting)
            .await
            .map_err(|fault| fault.into_error(&endpoint.label))?;
        match self.tenant.move_in(&connection).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                let _ = bounded("connection.close", FAREWELL, connection.close(200, "bye".into())).await;
                Err(error)
            }
        }
    }
}

fn down(error: QueueError) -> State {
    match error {
        QueueError::Unusable(why) => State::Unusable(why),
        QueueError::Unreachable(why) | QueueError::Unknown(why) => State::Down(why),
        QueueError::Refused { reason, .. } => State::Down(reason.into()),
    }
}

/// Host and process, for the names of connections and consumers in RabbitMQ's own tools.
pub(super) fn whereabouts() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}
