//! What a supervisor such as systemd is told (`Type=notify`, `sd_notify(3)`): nothing where `NOTIFY_SOCKET` is not set.

use sd_notify::NotifyState;

use crate::shutdown::Shutdown;

/// The first connection stands, and the queues are there.
pub(super) fn tell_ready() {
    tell(NotifyState::Ready);
}

/// Tells, once the drain begins, that the process is on its way out.
pub(super) fn tell_when_stopping(shutdown: Shutdown) {
    tokio::spawn(async move {
        shutdown.drain.cancelled().await;
        tell(NotifyState::Stopping);
    });
}

/// A supervisor that does not listen is its own problem; the work goes on.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(false, &[state]) {
        tracing::debug!(event = "supervisor_not_told", %error, "the supervisor could not be told");
    }
}
