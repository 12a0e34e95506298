//! Notices: short news for whoever listens just now, such as outcomes for requests that are held open.
//!
//! The opposite of a lane. Nothing is stored for later, nothing is confirmed, and nobody waits: a publish returns at
//! once and drops the notice where there is no room, no connection, or nobody who listens. What depends on a notice
//! must be right without it. Every connection to the same queue hears what any of them publishes, itself included.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

pub use crate::metrics::labels::Topic;
use crate::metrics::{
    Metrics,
    labels::{Label as _, NoticeEnd},
};

/// Bytes of the longest notice; a longer one is dropped.
pub const LONGEST_NOTICE: usize = 128 * 1024;
/// How long a notice may wait anywhere before it is dropped.
pub(super) const LIFE: std::time::Duration = std::time::Duration::from_secs(60);
/// How many notices wait for a listener of another process; the oldest go first.
pub(super) const WAITING: u16 = 1_000;
/// How many wait for one reader, or for the way out, inside this process.
pub(super) const BUFFERED: usize = 256;

/// A piece of news.
#[derive(Clone)]
pub struct Notice {
    /// What it is about.
    pub topic: Topic,
    /// Its content, in the form that its topic agreed on.
    pub body: Bytes,
}

// Outcomes hold the model's words.
impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notice").field("topic", &self.topic.as_str()).finish_non_exhaustive()
    }
}

/// Tells and hears notices; all callers share it.
pub trait Notices: Send + Sync {
    /// Tells a notice to whoever listens. Returns at once, and never fails: see [the module](self).
    fn publish(&self, notice: Notice);

    /// Hears the notices of some topics from now on (from other processes, from a moment later on), until the reader is
    /// dropped. One that reads too slowly misses some. Has to be called within a tokio runtime.
    fn subscribe(&self, topics: &[Topic]) -> NoticeReader;

    /// Whether somebody hears notices of this topic, so that costly ones are made for nobody. `None` where that cannot
    /// be told: other processes may, through a broker.
    fn is_heard(&self, topic: Topic) -> Option<bool>;
}

/// Where notices arrive.
pub struct NoticeReader(mpsc::Receiver<Notice>);

impl NoticeReader {
    /// The next notice; `None` once the queue is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notice> {
        self.0.recv().await
    }
}

/// The readers of this process.
pub(super) struct Hub {
    readers: Mutex<Vec<Reader>>,
    closed: AtomicBool,
    metrics: Arc<Metrics>,
}

struct Reader {
    topics: Vec<Topic>,
    sender: mpsc::Sender<Notice>,
}

impl Hub {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { readers: Mutex::default(), closed: AtomicBool::new(false), metrics }
    }

    /// A new reader; one that hears nothing once the hub is closed.
    pub(super) fn subscribe(&self, topics: &[Topic]) -> NoticeReader {
        let (sender, receiver) = mpsc::channel(BUFFERED);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.closed.load(Ordering::Relaxed) {
            readers.push(Reader { topics: topics.to_vec(), sender });
        }
        NoticeReader(receiver)
    }

    /// True while somebody in this process listens.
    pub(super) fn is_heard(&self) -> bool {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| !reader.sender.is_closed());
        !readers.is_empty()
    }

    /// True while somebody in this process listens to this topic.
    pub(super) fn hears(&self, topic: Topic) -> bool {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().any(|reader| reader.topics.contains(&topic) && !reader.sender.is_closed())
    }

    /// Hands a notice to the readers that have room for it.
    pub(super) fn spread(&self, notice: &Notice) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| {
            if !reader.topics.contains(&notice.topic) {
                return !reader.sender.is_closed();
            }
            match reader.sender.try_send(notice.clone()) {
                Ok(()) => self.count(NoticeEnd::Heard),
                Err(TrySendError::Full(_)) => self.count(NoticeEnd::Dropped),
                Err(TrySendError::Closed(_)) => return false,
            }
            true
        });
    }

    /// Counts what became of a notice.
    pub(super) fn count(&self, end: NoticeEnd) {
        self.metrics.notices.get(end).inc();
    }

    /// Tells the readers that no more will come.
    pub(super) fn close(&self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Relaxed);
        readers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(topic: Topic, body: &'static [u8]) -> Notice {
        Notice { topic, body: Bytes::from_static(body) }
    }

    #[tokio::test]
    async fn a_reader_hears_its_topics_up_to_its_room_and_the_end() {
        let hub = Hub::new(Arc::new(Metrics::new("test").unwrap()));
        assert!(!hub.is_heard());
        let mut reader = hub.subscribe(&[Topic::Outcome]);
        assert!(hub.is_heard());
        assert!(hub.hears(Topic::Outcome) && !hub.hears(Topic::Story));
        hub.spread(&notice(Topic::Heartbeat, b"not for it"));
        for _ in 0..BUFFERED + 3 {
            hub.spread(&notice(Topic::Outcome, b"x"));
        }
        assert_eq!(hub.metrics.notices.get(NoticeEnd::Dropped).get(), 3);
        hub.close();
        for _ in 0..BUFFERED {
            assert_eq!(reader.next().await.unwrap().body, "x");
        }
        assert!(reader.next().await.is_none());
        assert!(hub.subscribe(&[Topic::Outcome]).next().await.is_none(), "it is closed");
    }

    #[tokio::test]
    async fn nobody_listens_any_more_once_the_readers_are_dropped() {
        let hub = Hub::new(Arc::new(Metrics::new("test").unwrap()));
        drop(hub.subscribe(&[Topic::Story]));
        assert!(!hub.is_heard());
        hub.spread(&notice(Topic::Story, b"nobody"));
    }
}
