//! Listens to the program's own log for the lines of finished triggers: their stage times stand nowhere else.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, filter::LevelFilter, layer::Context, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// The fields of the newest lines, by trigger.
#[derive(Clone, Default)]
pub(super) struct FinishedTriggers(Arc<Mutex<BTreeMap<String, Fields>>>);

/// The fields of one line.
pub(super) type Fields = BTreeMap<&'static str, String>;

impl FinishedTriggers {
    /// Becomes the log of this process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let finished = Self::default();
        tracing_subscriber::registry().with(finished.clone().with_filter(LevelFilter::INFO)).try_init()?;
        Ok(finished)
    }

    /// The line of a trigger, once it was written.
    pub(super) fn of(&self, trigger_id: &str) -> Option<Fields> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(trigger_id).cloned()
    }
}

impl<S: Subscriber> Layer<S> for FinishedTriggers {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if line.0.get("event").is_some_and(|name| name == "trigger_finished")
            && let Some(id) = line.0.get("trigger_id").cloned()
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, line.0);
        }
    }
}

#[derive(Default)]
struct Line(Fields);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
