//! Labels of the way from a trigger to its outcome: stages, upstreams, models, callbacks.

use super::{Label, Status, label};

label!(/// A stage of the pipeline, or the callback.
    Stage, "stage", {
    /// Fetching the conversation.
    History = "history",
    /// Rendering the prompt.
    Prompt = "prompt",
    /// Asking the model.
    Llm = "llm",
    /// Validating the answer.
    Decision = "decision",
    /// Posting the outcome.
    Callback = "callback",
});

label!(/// Why a stage failed.
    StageFailure, "reason", {
    /// No time was left.
    Timeout = "timeout",
    /// The upstream failed or could not be reached.
    Unavailable = "unavailable",
    /// The upstream refused, or cannot be asked about this trigger.
    Rejected = "rejected",
    /// The upstream's answer made no sense.
    Malformed = "malformed",
    /// Anything else.
    Internal = "internal",
});

/// Whether a stage can fail so. The other pairs would be series that never move.
pub(in crate::metrics) fn can_fail(stage: Stage, failure: StageFailure) -> bool {
    match stage {
        Stage::History => failure != StageFailure::Internal,
        Stage::Prompt => failure == StageFailure::Internal,
        Stage::Llm => {
            matches!(failure, StageFailure::Timeout | StageFailure::Unavailable | StageFailure::Rejected)
        }
        Stage::Decision => failure == StageFailure::Malformed,
        Stage::Callback => matches!(failure, StageFailure::Unavailable | StageFailure::Rejected),
    }
}

label!(/// Who is called.
    Upstream, "upstream", {
    /// The source of conversations; so is called what the history provider `http` asks, too.
    Cxone = "cxone",
    /// The model gateway.
    Llm = "llm",
    /// The receiver of callbacks.
    Cognigy = "cognigy",
});

label!(/// How an upstream answered.
    UpstreamStatus, "status", {
    /// 200–299.
    Success = "2xx",
    /// 300–399.
    Redirect = "3xx",
    /// 400–499 but 429.
    ClientError = "4xx",
    /// 429.
    RateLimited = "429",
    /// 500–599.
    ServerError = "5xx",
    /// No answer in time.
    Timeout = "timeout",
    /// No connection.
    Connect = "connect",
    /// No secure connection.
    Tls = "tls",
});

label!(/// Why an upstream was called again.
    RetryCause, "reason", {
    /// 429.
    RateLimited = "429",
    /// 5xx or another status that may heal.
    ServerError = "5xx",
    /// No answer in time.
    Timeout = "timeout",
    /// No connection, or it broke.
    Connect = "connect",
    /// 2xx, but not what the interface promises.
    InvalidAnswer = "invalid_answer",
});

label!(/// What became of the second call beside one that took long.
    Hedge, "end", {
    /// Its answer was the one that counted.
    Won = "won",
    /// The first call was quicker, or both failed.
    Lost = "lost",
    /// There was none: too many already, or the model is not well.
    Withheld = "withheld",
});

label!(/// The state of a circuit breaker.
    Circuit, "state", {
    /// Calls go through.
    Closed = "closed",
    /// No calls.
    Open = "open",
    /// One call probes.
    HalfOpen = "half_open",
});

label!(/// What a circuit breaker changed to; a probe before it tells no more.
    CircuitChange, "to", {
    /// Calls go through again.
    Closed = "closed",
    /// Calls are held off.
    Open = "open",
});

label!(/// Who gives out access tokens.
    TokenProvider, "provider", {
    /// For the source of conversations, whichever it is.
    Cxone = "cxone",
});

label!(/// Who made a decision.
    DecisionSource, "source", {
    /// The model, as it answered.
    Llm = "llm",
    /// The model, overruled: a rule of the profile sends it to a human.
    Rule = "rule",
    /// Nobody: the safe answer.
    Default = "default",
});

label!(/// How an attempt to get a token ended.
    TokenRefresh, "outcome", {
    /// A token came.
    Success = "success",
    /// None came.
    Failure = "failure",
});

label!(/// How a validation ended.
    Validation, "outcome", {
    /// Valid at once.
    Valid = "valid",
    /// Valid after a re-ask.
    Reasked = "reasked",
    /// Not JSON.
    InvalidJson = "invalid_json",
    /// JSON, but not a decision.
    SchemaViolation = "schema_violation",
    /// An intent that is not on the allow-list.
    UnknownTarget = "unknown_target",
    /// Cut off at the token limit.
    Truncated = "truncated",
    /// The model refused.
    Refused = "refused",
    /// Nothing in it.
    Empty = "empty",
});

label!(/// How a callback delivery ended, for good or for this try.
    CallbackEnd, "outcome", {
    /// Acknowledged by the receiver.
    Delivered = "delivered",
    /// Refused for good.
    Rejected = "rejected",
    /// Given up as unknown.
    GaveUp = "gave_up",
    /// Past its age limit.
    Expired = "expired",
});

label!(/// Why a model stopped.
    Finish, "reason", {
    /// It was done.
    Stop = "stop",
    /// The token limit.
    Length = "length",
    /// A filter.
    ContentFilter = "content_filter",
    /// It wanted to call a tool.
    Tool = "tool",
    /// Anything else.
    Other = "other",
});

label!(/// What a model's tokens were for. Each token has one direction.
    TokenDirection, "direction", {
    /// Prompt, but for what was cached.
    Input = "input",
    /// Answer, but for the reasoning before it.
    Output = "output",
    /// Prompt that the provider still knew, and often charges less for.
    CachedInput = "cached_input",
    /// Thoughts of the model that nobody sees.
    Reasoning = "reasoning",
});

label!(/// What came of a trigger, as far as its duration goes.
    Ended, "outcome", {
    /// A decision of the model was posted.
    Decided = "decided",
    /// The safe answer was posted.
    SafeAnswer = "safe_answer",
    /// Nothing could be posted: it waits among the dead letters.
    Undelivered = "undelivered",
});

/// The status of an outcome, or that it could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeStatus {
    /// An outcome was stored.
    Stored(Status),
    /// Its callback was given up.
    DeadLettered,
}

impl Label for OutcomeStatus {
    const NAME: &'static str = Status::NAME;
    const ALL: &'static [Self] = &{
        let mut all = [Self::DeadLettered; Status::ALL.len() + 1];
        let mut at = 0;
        while at < Status::ALL.len() {
            all[at] = Self::Stored(Status::ALL[at]);
            at += 1;
        }
        all
    };
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored(status) => status.as_str(),
            Self::DeadLettered => "dead_lettered",
        }
    }
}
