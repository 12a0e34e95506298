//! What the parts of one open queue share.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    thread::Thread,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    backlog::Backlog,
    health::Health,
    hearing::Hearing,
    inbox::{Nudge, WeakWriter},
    place::{LeaseKey, index},
};
use crate::{
    message::Lane,
    metrics::Metrics,
    queue::{Limits, notice::Hub},
};

/// A lease that ended without a settlement.
#[derive(Clone, Copy)]
pub(super) struct Release {
    pub(super) key: LeaseKey,
    /// It was handed out, so it counts as a return.
    pub(super) begun: bool,
}

/// One open queue.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Health,
    pub(super) backlog: Backlog,
    pub(super) closed: CancellationToken,
    /// Work leased here that came back often.
    pub(super) suspects: AtomicUsize,
    pub(super) watcher: OnceLock<Thread>,
    /// The write-ahead log is to be emptied.
    pub(super) long_log: AtomicBool,
    pub(super) hub: Hub,
    pub(super) hearing: Hearing,
    nudged: AtomicBool,
    tokens: AtomicI64,
    ready: [watch::Sender<()>; 3],
    waiting: [AtomicUsize; 3],
    /// Never longer than there are slots.
    releases: Mutex<Vec<Release>>,
    writer: WeakWriter,
}

impl State {
    pub(super) fn new(limits: Limits, metrics: Arc<Metrics>, writer: WeakWriter) -> Arc<Self> {
        Arc::new(Self {
            hub: Hub::new(Arc::clone(&metrics)),
            limits,
            metrics,
            health: Health::new(),
            backlog: Backlog::default(),
            closed: CancellationToken::new(),
            suspects: AtomicUsize::new(0),
            watcher: OnceLock::new(),
            long_log: AtomicBool::new(false),
            hearing: Hearing::default(),
            nudged: AtomicBool::new(false),
            tokens: AtomicI64::new(0),
            ready: std::array::from_fn(|_| watch::Sender::new(())),
            waiting: std::array::from_fn(|_| AtomicUsize::new(0)),
            releases: Mutex::default(),
            writer,
        })
    }

    /// A number that no lease of this process had.
    pub(super) fn next_token(&self) -> i64 {
        self.tokens.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The highest number given.
    pub(super) fn last_token(&self) -> i64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Tells the consumers of a lane that there may be something.
    pub(super) fn wake(&self, lane: Lane) {
        self.ready[index(lane)].send_replace(());
    }

    /// Hears [`State::wake`].
    pub(super) fn listen(&self, lane: Lane) -> watch::Receiver<()> {
        self.ready[index(lane)].subscribe()
    }

    /// True while a consumer of the lane waits for something to come.
    pub(super) fn is_awaited(&self, lane: Lane) -> bool {
        self.waiting[index(lane)].load(Ordering::Relaxed) > 0
    }

    /// Marks a consumer as waiting, until the guard is dropped.
    pub(super) fn wait(self: &Arc<Self>, lane: Lane) -> Waiting {
        self.waiting[index(lane)].fetch_add(1, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.get() {
            watcher.unpark();
        }
        Waiting { state: Arc::clone(self), lane }
    }

    /// Has the writer give back a lease with its next transaction.
    pub(super) fn release(&self, release: Release) {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner).push(release);
        self.nudge();
    }

    /// Has the writer make a transaction soon, once however often it is asked until then.
    pub(super) fn nudge(&self) {
        if !self.nudged.swap(true, Ordering::AcqRel)
            && let Some(writer) = self.writer.upgrade()
        {
            writer.offer(Box::new(Nudge(None)));
        }
    }

    /// The transaction begins: later wishes need another one.
    pub(super) fn nudge_heard(&self) {
        self.nudged.store(false, Ordering::Release);
    }

    /// The leases to give back.
    pub(super) fn take_releases(&self) -> Vec<Release> {
        std::mem::take(&mut *self.releases.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back what a failed transaction did not give back.
    pub(super) fn keep_releases(&self, mut releases: Vec<Release>) {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner).append(&mut releases);
    }
}

/// While it lives, a consumer waits.
pub(super) struct Waiting {
    state: Arc<State>,
    lane: Lane,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.state.waiting[index(self.lane)].fetch_sub(1, Ordering::Relaxed);
    }
}
