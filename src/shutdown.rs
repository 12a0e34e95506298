//! How a process is told to stop: once for a drain, a second time for at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two steps of a stop. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing more and finish what is in flight.
    pub drain: CancellationToken,
    /// Stop waiting for it.
    pub abort: CancellationToken,
}

impl Shutdown {
    /// A shutdown that SIGTERM or SIGINT begins; a second signal aborts the drain.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let told = shutdown.clone();
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            for step in [&told.drain, &told.abort] {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                step.cancel();
            }
        });
        Ok(shutdown)
    }
}
