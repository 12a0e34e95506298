//! The embedded queue: what every backend does, and what only a file can meet.

use std::sync::Arc;

use cognigy_fallback_router::{
    metrics::Metrics,
    queue::{Limits, Queue, embedded},
};
use tempfile::TempDir;

use super::exercise::{self, Backend};

struct Embedded(TempDir);

impl Embedded {
    fn config(&self) -> embedded::Config {
        embedded::Config { directory: self.0.path().join("queue") }
    }
}

impl Backend for Embedded {
    async fn start() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self, limits: Limits) -> Arc<dyn Queue> {
        embedded::connect(&self.config(), limits, Arc::new(Metrics::new("test").unwrap())).await.unwrap()
    }
}

exercise::conformance!(Embedded);
