//! The embedded queue: what every backend does, and what only a file can meet.

mod counts;
mod crashes;
mod files;
mod hearing;
mod other_process;
mod owners;
mod timing;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use cognigy_fallback_router::{
    metrics::Metrics,
    queue::{Limits, Queue, QueueError, embedded},
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::exercise::{self, Backend};

struct Embedded(TempDir);

impl Embedded {
    fn directory(&self) -> PathBuf {
        self.0.path().join("queue")
    }

    fn file(&self) -> PathBuf {
        self.directory().join("queue.sqlite3")
    }

    /// The file, as an operator with `sqlite3` sees it.
    fn sqlite(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }
}

impl Backend for Embedded {
    async fn start() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self, limits: Limits) -> Arc<dyn Queue> {
        connect(&self.directory(), limits).await.unwrap()
    }
}

async fn connect(directory: &Path, limits: Limits) -> Result<Arc<dyn Queue>, QueueError> {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    embedded::connect(&embedded::Config { directory: directory.into() }, limits, metrics).await
}

exercise::conformance!(Embedded);
