//! The operator's console: a page on a listener of its own, in three parts.
//!
//! *Now* says how queue and workers fare, *Outcomes* why each of the last triggers ended as it did and what waits among
//! the dead letters, and the *Playground* what a template makes of a trigger. Everything is rendered here, works without
//! a script, and is shown escaped: answers of models and words of customers are nobody's to trust.
//!
//! What is shown lives in memory: it is what workers [tell](crate::story) while this process listens. Contents are
//! redacted before they come here, masked until somebody reveals them, and each reveal stands in the audit log.

mod access;
mod assets;
mod dead_letters;
mod fleet;
mod guard;
mod letters;
mod live;
mod now;
mod outcomes;
mod page;
mod parts;
mod playground;
mod recent;
mod replay;
mod sign_in;
mod stages;
mod story;
mod trial;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router, middleware,
    response::Redirect,
    routing::{get, post},
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::{access::Access, fleet::Fleet, live::Pulse, recent::Recent, replay::Replays, trial::Trials};
use crate::{
    http_server::{Limits, TlsFiles},
    queue::notice::Topic,
    secret::Secret,
    story::Telling,
};

pub use self::parts::{Bot, Parts};

/// Fewest bytes of a token.
pub const SHORTEST_TOKEN: usize = 32;

/// `[console]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// Whether `cfr serve` has one.
    pub enabled: bool,
    /// Its address.
    pub listen: SocketAddr,
    /// What a visitor has to know; required unless it listens on a loopback address.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Whether it may do anything: replay dead letters, ask models, keep test cases.
    pub write: bool,
    /// Whether workers tell stories to a broker, which cannot say whether a console listens.
    pub stories: bool,
    /// Files for HTTPS; without them plain HTTP.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// A Grafana dashboard to link to.
    #[serde(default)]
    pub grafana_url: Option<String>,
    /// RabbitMQ's management page to link to.
    #[serde(default)]
    pub rabbitmq_url: Option<String>,
}

impl Config {
    /// What is wrong with who may come in: the key and a sentence.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let open = !self.listen.ip().is_loopback();
        match &self.token {
            None if open => Some((
                "console.token",
                format!(
                    "is not set, but console.listen is {}, which others can reach; at least {SHORTEST_TOKEN} random bytes would be right, or 127.0.0.1 to listen on",
                    self.listen
                ),
            )),
            Some(token) if token.expose().trim().len() < SHORTEST_TOKEN => Some((
                "console.token",
                format!("is shorter than {SHORTEST_TOKEN} bytes; as many random ones would be right"),
            )),
            _ => None,
        }
    }
}

/// Limits of the listener's connections: few people look at it, and pages that wait for news stay open.
pub const LIMITS: Limits = Limits {
    connections: 64,
    header_timeout: Duration::from_secs(10),
    idle_timeout: live::LONGEST.saturating_add(Duration::from_secs(60)),
    drain_delay: Duration::ZERO,
    drain_timeout: Duration::from_secs(1),
};

/// The console of one process.
pub struct Console {
    config: Config,
    parts: Parts,
    access: Access,
    recent: Mutex<Recent>,
    fleet: Mutex<Fleet>,
    replays: Replays,
    trials: Trials,
    pulse: Pulse,
    stop: CancellationToken,
}

impl Console {
    /// A console that has heard nothing yet. `stop` ends what it does in the background.
    #[must_use]
    pub fn new(config: &Config, parts: Parts, stop: CancellationToken) -> Self {
        Self {
            config: config.clone(),
            parts,
            access: Access::new(config.token.clone()),
            recent: Mutex::default(),
            fleet: Mutex::default(),
            replays: Replays::default(),
            trials: Trials::default(),
            pulse: Pulse::default(),
            stop,
        }
    }

    /// Takes note of what a worker tells.
    pub fn hear(&self, telling: Telling) {
        match telling {
            Telling::Alive(heartbeat) => self.fleet().hear(heartbeat, tokio::time::Instant::now()),
            Telling::Decided(story) => self.recent().decided(*story),
            Telling::Tried(tried) => self.recent().tried(tried),
        }
    }

    /// Hears what workers tell through the queue, until it is stopped.
    pub async fn listen(self: Arc<Self>) {
        let mut reader = self.parts.queue.notices().subscribe(&[Topic::Story, Topic::Heartbeat]);
        loop {
            let notice = tokio::select! {
                () = self.stop.cancelled() => return,
                notice = reader.next() => notice,
            };
            let Some(notice) = notice else { return };
            // Another version may tell what this one does not know.
            if let Ok(telling) = serde_json::from_slice(&notice.body) {
                self.hear(telling);
            }
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes of the console's listener.
pub fn router(console: Arc<Console>) -> Router {
    let writes = Router::new()
        .route("/console/dead-letters/check", post(dead_letters::check))
        .route("/console/dead-letters/replay", post(dead_letters::replay))
        .route("/console/dead-letters/stop", post(dead_letters::stop))
        .route("/console/playground/run", post(playground::run))
        .route("/console/playground/save", post(playground::save))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&console), guard::writable));
    Router::new()
        .merge(writes)
        .route("/", get(async || Redirect::to("/console")))
        .route("/console", get(now::page))
        .route("/console/live", get(live::stream))
        .route("/console/outcomes", get(outcomes::page))
        .route("/console/outcomes/{id}", get(story::page).post(story::reveal))
        .route("/console/dead-letters", get(dead_letters::page))
        .route("/console/dead-letters/{id}", get(letters::page).post(letters::reveal))
        .route("/console/playground", get(playground::page).post(playground::render))
        .route("/console/playground/open", post(playground::open))
        .route("/console/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/console/sign-out", post(sign_in::sign_out))
        .route("/console/assets/{file}", get(assets::asset))
        .route("/healthz", get(async || "ok\n"))
        .fallback(guard::no_such_page)
        .layer(middleware::from_fn_with_state(Arc::clone(&console), guard::guard))
        .with_state(console)
}
