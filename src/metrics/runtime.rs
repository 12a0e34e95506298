//! How busy the runtime's threads are: a router that waits for its own threads is short of processors.

use std::sync::Mutex;
use std::sync::PoisonError;

use prometheus::{Counter, IntGauge, Registry};
use tokio::runtime::Handle;

use super::register::gauge;

/// The busy time of the threads; `rate(busy) / threads` is the busy ratio.
pub(super) struct Runtime {
    busy: Counter,
    threads: IntGauge,
    /// Seconds already counted.
    counted: Mutex<f64>,
}

impl Runtime {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let busy = Counter::new(
            "cfr_runtime_busy_seconds_total",
            "Time that the runtime's threads worked, all together; its rate over cfr_runtime_threads is the busy ratio",
        )?;
        registry.register(Box::new(busy.clone()))?;
        let threads = gauge(registry, "cfr_runtime_threads", "Threads of the runtime")?;
        Ok(Self { busy, threads, counted: Mutex::default() })
    }

    /// Reads the runtime's own counters. Without a runtime (a command that only counts) there is nothing to read.
    pub(super) fn observe(&self) {
        let Ok(handle) = Handle::try_current() else { return };
        let metrics = handle.metrics();
        let threads = metrics.num_workers();
        self.threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        let busy: f64 = (0..threads).map(|thread| metrics.worker_total_busy_duration(thread).as_secs_f64()).sum();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // Two runtimes may share the metrics in a test; a counter never goes back.
        self.busy.inc_by((busy - *counted).max(0.0));
        *counted = counted.max(busy);
    }
}
