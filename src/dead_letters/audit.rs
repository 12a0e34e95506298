//! The line that says who looked into customers' words, replayed or purged. It holds ids and counts, no text.

use crate::trigger::TriggerId;

/// At most so many ids stand in one line; the count is always whole.
const MOST_IDS: usize = 1_000;

/// Who gives the command, as the environment says.
#[derive(Clone, Debug)]
pub struct Operator(pub String);

impl Operator {
    /// Writes one line to the log, target `audit`: what was done, to how many, by which filter.
    pub fn did(&self, event: &'static str, filter: &str, ids: &[TriggerId]) {
        let listed = ids.iter().take(MOST_IDS).map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let count = ids.len();
        tracing::info!(target: "audit", event, operator = self.0, count, filter, ids = listed, "an operator's deed");
    }
}
