//! What is pushed to open pages: server-sent events, every two seconds.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::{Stream, stream};
use http::StatusCode;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{Console, fleet::HEARTBEAT, now, page};
use crate::queue::{Depths, Queue, QueueError};

/// After this time a stream ends and the browser opens the next one.
pub(super) const LONGEST: Duration = Duration::from_secs(240);

/// Streams at once.
const MOST: usize = 32;

/// How long a count serves everybody who asks.
const FRESH: Duration = Duration::from_secs(1);

/// How long the queue may take to be counted.
const PATIENCE: Duration = Duration::from_secs(5);

type Counted = Result<Depths, QueueError>;

/// What streams share.
pub(super) struct Pulse {
    streams: Arc<Semaphore>,
    depths: Mutex<Option<(Instant, Counted)>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { streams: Arc::new(Semaphore::new(MOST)), depths: Mutex::default() }
    }
}

impl Pulse {
    /// The depths of the queue, asked at most once a second.
    pub(super) async fn depths(&self, queue: &dyn Queue) -> Counted {
        let mut last = self.depths.lock().await;
        if let Some((_, counted)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return counted.clone();
        }
        let late = || Err(QueueError::Unreachable("it does not answer".to_owned()));
        let counted = timeout(PATIENCE, queue.depths()).await.unwrap_or_else(|_| late());
        *last = Some((Instant::now(), counted.clone()));
        counted
    }
}

struct Watching {
    console: Arc<Console>,
    until: Instant,
    first: bool,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn stream(State(console): State<Arc<Console>>) -> Response {
    let Ok(permit) = Arc::clone(&console.pulse.streams).try_acquire_owned() else {
        return page::problem(StatusCode::SERVICE_UNAVAILABLE, "Too many", "Too many pages are open; close some.");
    };
    let watching = Watching { console, until: Instant::now() + LONGEST, first: true, _permit: permit };
    Sse::new(events(watching)).into_response()
}

fn events(watching: Watching) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watching, async |mut watching| {
        if Instant::now() >= watching.until {
            return None;
        }
        if !std::mem::take(&mut watching.first) {
            tokio::select! {
                () = watching.console.stop.cancelled() => return None,
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
        }
        let event = event(&watching.console).await;
        Some((Ok(event), watching))
    })
}

/// Everything a page may show of now, and how many outcomes were seen.
async fn event(console: &Console) -> Event {
    let html = now::fragment(console).await.into_string();
    let seen = console.recent().seen();
    let data = serde_json::json!({"now": html, "seen": seen});
    Event::default().event("now").retry(Duration::from_secs(1)).data(data.to_string())
}
