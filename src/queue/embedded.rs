//! The embedded queue: one SQLite file in a directory, for one machine.

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;

use super::{Limits, Queue, QueueError};
use crate::metrics::Metrics;

/// Settings of the embedded queue.
#[derive(Clone, Debug, Deserialize)]

pub struct Config {
    /// Where its files are; made if missing.
    pub directory: PathBuf,
}

/// Opens (and where missing, makes) the queue.
///
/// # Errors
/// `Unusable` for a directory that cannot be written, a foreign or corrupted file, or a newer schema.
pub async fn connect(_config: &Config, _limits: Limits, _metrics: Arc<Metrics>) -> Result<Arc<dyn Queue>, QueueError> {
    unimplemented!()
}
