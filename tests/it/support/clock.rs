//! Moving tokio's clock.

use std::time::Duration;

/// Moves the clock, but lets it run while sockets are waited for: a paused clock would jump to their time-outs.
pub(crate) async fn forward(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}
