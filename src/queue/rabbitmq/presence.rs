//! Whether the application as a whole is connected: publishing, and every consumer consuming.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::metrics::Metrics;

/// Who is there. The gauge follows.
pub(super) struct Presence {
    publishing: AtomicBool,
    consumers: AtomicUsize,
    consuming: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Presence {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let zero = || AtomicUsize::new(0);
        Self { publishing: AtomicBool::new(false), consumers: zero(), consuming: zero(), metrics }
    }

    /// True while everything is there.
    pub(super) fn is_complete(&self) -> bool {
        let counted = |count: &AtomicUsize| count.load(Ordering::Acquire);
        self.publishing.load(Ordering::Acquire) && counted(&self.consuming) >= counted(&self.consumers)
    }

    /// Notes whether the publisher is connected.
    pub(super) fn publishing(&self, yes: bool) {
        self.publishing.store(yes, Ordering::Release);
        self.show();
    }

    /// Counts a consumer that should be consuming until the guard is dropped.
    pub(super) fn consumer(self: &Arc<Self>) -> Counted {
        Counted::new(self, |presence| &presence.consumers)
    }

    /// Counts a consumer that is consuming until the guard is dropped.
    pub(super) fn consuming(self: &Arc<Self>) -> Counted {
        Counted::new(self, |presence| &presence.consuming)
    }

    fn show(&self) {
        self.metrics.queue_connected.set(i64::from(self.is_complete()));
    }
}

/// One more, until dropped.
pub(super) struct Counted {
    presence: Arc<Presence>,
    count: fn(&Presence) -> &AtomicUsize,
}

impl Counted {
    fn new(presence: &Arc<Presence>, count: fn(&Presence) -> &AtomicUsize) -> Self {
        count(presence).fetch_add(1, Ordering::AcqRel);
        presence.show();
        Self { presence: Arc::clone(presence), count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.count)(&self.presence).fetch_sub(1, Ordering::AcqRel);
        self.presence.show();
    }
}
