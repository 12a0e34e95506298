//! Metric labels: closed sets, so that the number of series is known from the start.

mod deciding;

pub(super) use self::deciding::can_fail;
pub use self::deciding::*;
pub use super::label::Label;
pub use crate::{
    message::{Lane, Reason},
    outcome::Status,
};

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $label:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}
use label;

label!(/// How a webhook request ended.
    Webhook, "outcome", {
    /// Queued.
    Accepted = "accepted",
    /// Known already; answered 202 again.
    Duplicate = "duplicate",
    /// Missing, malformed or wrong signature.
    BadSignature = "bad_signature",
    /// Signature outside the time window.
    StaleTimestamp = "stale_timestamp",
    /// Not a trigger: 400, 404, 405, 408, 415.
    Malformed = "malformed",
    /// Body over the limit.
    TooLarge = "too_large",
    /// Over the profile's rate.
    RateLimited = "rate_limited",
    /// 503: full, blocked, away or unconfirmed.
    QueueUnavailable = "queue_unavailable",
    /// 500.
    Internal = "internal",
});

label!(/// Which of a profile's live webhook secrets signed a request.
    WebhookSecret, "secret", {
    /// The first of the list.
    Current = "current",
    /// Any other: the rotation is not over.
    Previous = "previous",
});

label!(/// How a webhook request ended, coarsely.
    WebhookClass, "outcome_class", {
    /// 2xx.
    Accepted = "accepted",
    /// 4xx.
    Rejected = "rejected",
    /// 5xx.
    Error = "error",
});

label!(/// How a publish ended.
    Published, "outcome", {
    /// Durably stored.
    Confirmed = "confirmed",
    /// Negatively acknowledged.
    Nacked = "nacked",
    /// Came back as unroutable.
    Returned = "returned",
    /// No confirmation in time, or the channel was lost.
    Timeout = "timeout",
});

label!(/// What a notice is about.
    Topic, "topic", {
    /// How far a trigger is, and its outcome: for requests that are held open or ask later.
    Outcome = "outcome",
    /// A trigger was accepted: for workers that have an older one of its conversation.
    Accepted = "accepted",
    /// A process that is well.
    Heartbeat = "heartbeat",
    /// How a trigger went, for the operator's console.
    Story = "story",
});

label!(/// What a poll was answered.
    Polled, "status", {
    /// Not known here, or no longer.
    Unknown = "unknown",
    /// In the queue.
    Accepted = "accepted",
    /// A worker has it.
    Running = "running",
    /// Its outcome.
    Done = "done",
});

label!(/// Why an outcome can be asked for no longer.
    Dropped, "reason", {
    /// Its time was over.
    Age = "age",
    /// There was no room for all of them.
    Room = "room",
});

label!(/// What became of a notice.
    NoticeEnd, "end", {
    /// Handed to the broker, or stored for another process.
    Sent = "sent",
    /// Handed to a reader in this process.
    Heard = "heard",
    /// No room, no connection, or too long.
    Dropped = "dropped",
});

label!(/// Why a queue session ended.
    Reconnect, "reason", {
    /// The connection could not be made.
    Connect = "connect",
    /// It broke.
    Lost = "lost",
    /// The broker cancelled a consumer, or a channel was closed.
    Channel = "channel",
});

label!(/// Whether a delivery came for the first time.
    Redelivered, "redelivered", {
    /// The first time.
    No = "false",
    /// It came back.
    Yes = "true",
});

label!(/// How a delivery ended.
    SettledAs, "disposition", {
    /// Done.
    Ack = "ack",
    /// Comes again later.
    Retry = "retry",
    /// Waits for an operator.
    DeadLetter = "dead_letter",
    /// Went back unsettled.
    Requeue = "requeue",
});
