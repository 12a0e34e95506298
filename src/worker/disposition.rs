//! How deliveries end: pure decisions, as tables.

use std::time::Duration;

use crate::{
    callback::CallbackError,
    message::{Disposition, Envelope, Reason},
    time::EpochMs,
};

/// What becomes of a trigger after our own failure (a panic; never an upstream's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnFailure {
    /// Another try.
    Retry {
        /// The shortest wait.
        after: Duration,
    },
    /// The late lane: a safe answer.
    GiveUp,
}

/// After failed try number `attempt` (from 1): again after 1 s, then 5 s; three tries in all.
pub(super) fn own_failure(attempt: u32) -> OwnFailure {
    match attempt {
        0 | 1 => OwnFailure::Retry { after: Duration::from_secs(1) },
        2 => OwnFailure::Retry { after: Duration::from_secs(5) },
        _ => OwnFailure::GiveUp,
    }
}

/// Until when a callback may be posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until(pub(super) EpochMs);

impl Until {
    /// `max_age` from storing, and no later than `longest_life` from acceptance.
    pub(super) fn of(trigger: &Envelope, max_age: Duration, longest_life: Option<Duration>) -> Self {
        let until = trigger.stored_at.unwrap_or(trigger.accepted_at).plus(max_age);
        Self(longest_life.map_or(until, |life| until.min(trigger.accepted_at.plus(life))))
    }

    /// True when it is too late at `moment`.
    pub(super) fn is_over(self, moment: EpochMs) -> bool {
        moment > self.0
    }
}

/// How an outcome's delivery ends after callback try number `attempt` (from 1).
pub(super) fn after_callback(
    result: &Result<(), CallbackError>,
    attempt: u32,
    now: EpochMs,
    until: Until,
) -> Disposition {
    let asked = match result {
        Ok(()) => return Disposition::Ack,
        Err(CallbackError::Rejected(_)) => return Disposition::DeadLetter { reason: Reason::CallbackRejected },
        Err(CallbackError::Unknown) => return Disposition::DeadLetter { reason: Reason::CallbackUnknown },
        Err(CallbackError::RateLimited { retry_after } | CallbackError::Unavailable { retry_after }) => *retry_after,
    };
    let after = asked.unwrap_or_default().max(back_off(attempt));
    if until.is_over(now.plus(after)) {
        return Disposition::DeadLetter { reason: Reason::CallbackExpired };
    }
    Disposition::Retry { after }
}

/// How long an outcome waits for a worker that knows its profile.
const PROFILE_COMES: Duration = Duration::from_secs(10 * 60);

/// What becomes of an outcome whose profile this worker does not know: while settings are rolled out another worker may,
/// or this one soon.
pub(super) fn without_profile(outcome: &Envelope, now: EpochMs) -> Disposition {
    let stored = outcome.stored_at.unwrap_or(outcome.accepted_at);
    if now > stored.plus(PROFILE_COMES) {
        return Disposition::DeadLetter { reason: Reason::Unreadable };
    }
    Disposition::Retry { after: back_off(outcome.attempt) }
}

/// The delay levels of the outcome lane, one after the other, the last one again and again.
fn back_off(attempt: u32) -> Duration {
    let levels = crate::message::Lane::Outcome.delays();
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX).min(levels.len() - 1);
    levels[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn our_own_failures_get_three_tries() {
        let tries: Vec<_> = (1..=4).map(own_failure).collect();
        let retry = |after| OwnFailure::Retry { after };
        assert_eq!(tries, [retry(s(1)), retry(s(5)), OwnFailure::GiveUp, OwnFailure::GiveUp]);
    }

    #[test]
    fn callbacks_end_by_their_answer_their_age_and_what_the_receiver_asks() {
        let unavailable = |retry_after| Err(CallbackError::Unavailable { retry_after });
        let limited = |retry_after| Err(CallbackError::RateLimited { retry_after });
        let retry = |after| Disposition::Retry { after };
        let dead = |reason| Disposition::DeadLetter { reason };
        for (result, attempt, age_s, expected) in [
            (Ok(()), 1, 0, Disposition::Ack),
            (Ok(()), 9, 9_999, Disposition::Ack),
            (Err(CallbackError::Rejected("410")), 1, 0, dead(Reason::CallbackRejected)),
            (unavailable(None), 1, 0, retry(s(1))),
            (unavailable(None), 2, 2, retry(s(5))),
            (unavailable(None), 3, 8, retry(s(30))),
            (unavailable(None), 4, 40, retry(s(120))),
            (unavailable(None), 5, 170, retry(s(120))),
            (unavailable(Some(s(45))), 1, 0, retry(s(45))),
            (Err(CallbackError::Unknown), 1, 0, dead(Reason::CallbackUnknown)),
            (limited(Some(s(2))), 3, 0, retry(s(30))),
            (limited(Some(s(700))), 1, 0, dead(Reason::CallbackExpired)),
            (unavailable(None), 5, 481, dead(Reason::CallbackExpired)),
            (unavailable(None), 5, 480, retry(s(120))),
        ] {
            let ended = after_callback(&result, attempt, EpochMs(age_s * 1000), Until(EpochMs(600_000)));
            assert_eq!(ended, expected, "{result:?}, try {attempt}, {age_s} s old");
        }
    }
}
