//! Upper bounds of histogram buckets, in seconds unless it says otherwise. Each is a series: they stand where something is
//! decided by them, and no finer.

use super::labels::{Ended, Published, Stage, Upstream};

/// The answer to a webhook request.
pub(super) const WEBHOOK: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// What the router itself needs for a trigger.
pub(super) const OVERHEAD: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.1];
/// Waiting in the queue.
pub(super) const WAIT: &[f64] = &[0.05, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Calls of a model.
pub(super) const CALLS: &[f64] = &[1.0, 2.0, 3.0, 5.0];
/// Tries of a callback.
pub(super) const TRIES: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0];

/// A whole trigger. 8 and 10 are exact edges of the objectives. One that was given up took its age limit.
pub(super) fn trigger(ended: Ended) -> &'static [f64] {
    match ended {
        Ended::Decided | Ended::SafeAnswer => &[0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0],
        Ended::Undelivered => &[f64::INFINITY],
    }
}

/// A publish. How long a failed one took is known beforehand: only that there was one counts.
pub(super) fn publish(ended: Published) -> &'static [f64] {
    match ended {
        Published::Confirmed => &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0],
        Published::Nacked | Published::Returned | Published::Timeout => &[f64::INFINITY],
    }
}

/// One stage. Prompts and decisions take microseconds, models seconds.
pub(super) fn stage(stage: Stage) -> &'static [f64] {
    match stage {
        Stage::History => &[0.1, 0.5, 1.0, 2.0, 5.0],
        Stage::Prompt | Stage::Decision => &[0.001, 0.005, 0.05],
        Stage::Llm => &[0.5, 1.0, 2.0, 5.0, 8.0, 20.0],
        Stage::Callback => &[0.1, 0.5, 1.0, 5.0],
    }
}

/// One request to an upstream.
pub(super) fn upstream(upstream: Upstream) -> &'static [f64] {
    match upstream {
        Upstream::Llm => &[0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0],
        Upstream::Cxone | Upstream::Cognigy => &[0.05, 0.25, 0.5, 1.0, 5.0],
    }
}
