//! What a test hears of the audit log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// Lines of the audit log of this test.
#[derive(Clone, Default)]
pub(super) struct Audit(Arc<Mutex<Vec<u8>>>);

impl io::Write for Audit {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Audit {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Audit {
    /// Hears this thread, on which a test's runtime does everything.
    pub(super) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let audit = Self::default();
        let filter = tracing_subscriber::EnvFilter::new("off,audit=info");
        let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(audit.clone()).finish();
        (audit, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn of(&self, event: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        lines.filter(|fields| fields["event"] == event).collect()
    }
}
