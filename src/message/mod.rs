//! What travels through the queue, and the words for how it ends.

mod envelope;
mod newer;
mod progress;
mod replay;
mod tries;

pub use envelope::{ENVELOPE_VERSION, Envelope, Reason};
pub use newer::{ConversationKey, NewerTrigger};
pub use progress::Progress;
pub use tries::{Tries, Try};

use std::time::Duration;

use bytes::Bytes;

/// One of the three ways through the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Triggers to be decided: history, model, validation.
    Work,
    /// Triggers that are expired, poisonous or rejected: the safe answer, never the model.
    Late,
    /// Outcomes to be posted.
    Outcome,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 3] = [Self::Work, Self::Late, Self::Outcome];

    /// The name in queue names, settings and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Late => "late",
            Self::Outcome => "outcome",
        }
    }

    /// How often a message may come back unsettled before the queue takes it out of the lane.
    #[must_use]
    pub fn delivery_limit(self) -> u32 {
        match self {
            Self::Work => 8,
            Self::Late => 20,
            Self::Outcome => 50,
        }
    }

    /// The waits this lane offers, shortest first. A longer wait is a series of hops.
    #[must_use]
    pub fn delays(self) -> &'static [Duration] {
        const fn s(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        match self {
            Self::Work => &const { [s(1), s(5), s(30)] },
            Self::Late => &[],
            Self::Outcome => &const { [s(1), s(5), s(30), s(120)] },
        }
    }
}

/// What travels through the queue: headers and an opaque body.
#[derive(Clone)]
pub struct Message {
    /// The headers.
    pub envelope: Envelope,
    /// Work and late lane: the trigger as it was received. Outcome lane: the stored outcome and where it goes.
    pub body: Bytes,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("trigger_id", &self.envelope.trigger_id).finish_non_exhaustive()
    }
}

/// How a delivery ends (AMQP's own word).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Done: forget it.
    Ack,
    /// Store it again with `attempt + 1`, to come back no sooner than `after`; then forget this copy.
    Retry {
        /// The shortest wait.
        after: Duration,
    },
    /// Put it where an operator sees it.
    DeadLetter {
        /// Why.
        reason: Reason,
    },
}

/// A message that waits for an operator.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message, as it was.
    pub message: Message,
    /// Why it is here.
    pub reason: Reason,
}
