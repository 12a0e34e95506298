//! Makes the connection of a link again whenever it is lost.
//!
//! lapin's own recovery is not used: it keeps confirms in flight hanging, gives up after some tries, and does not heal
//! closed channels. Here a session is dropped whole at its first fault, and the next one has the next generation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use lapin::{Connection, ConnectionProperties};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{self, Endpoint},
    hello,
    limit::{FAREWELL, bounded},
    session::{Link, Session, State, whereabouts},
};
use crate::{
    metrics::{Metrics, labels::Reconnect},
    queue::QueueError,
};

/// First and longest wait before the next try to connect; the real ones are between half of it and all of it.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A session that lived this long was a good one: the next wait is the first again.
const GOOD_LIFE: Duration = Duration::from_secs(5);
/// What a link does with its sessions.
#[async_trait]
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
    pub(super) fn start(self) -> (Link, JoinHandle<()>) {
        let (state, link) = Link::new();
        (link, tokio::spawn(self.run(state)))
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
        if let Err(fault) = session.say_goodbye().await {
            tracing::debug!(purpose, generation, %fault, "the connection could not be closed in good order");
        }
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
        let runtime = lapin::runtime::default_runtime().map_err(|error| QueueError::Unusable(error.to_string()))?;
        let (uri, tls) = (endpoint.uri.clone(), endpoint.tls.clone());
        let connecting = Connection::connect_uri_with_config(uri, properties, tls, runtime);
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
