//! A second chance for a message that an operator sends on its way again.

use std::time::Duration;

use super::{Lane, Message, Try};
use crate::time::EpochMs;

impl Message {
    /// What a dead letter becomes when it is replayed `now`, and the lane that it belongs to.
    ///
    /// It keeps its trigger id and its body, counts one more replay, and begins at attempt 1. A stored outcome goes to
    /// the outcome lane as if it had been stored now: its bytes are posted as they are, and no model is asked. Everything
    /// else is decided anew in the work lane, within `deadline` from now; acceptance moves to now as well, because what
    /// is *late*, and how long work may take, is measured from it.
    #[must_use]
    pub fn replayed(&self, now: EpochMs, deadline: Duration) -> (Lane, Self) {
        let mut next = self.clone();
        let envelope = &mut next.envelope;
        envelope.replay = envelope.replay.saturating_add(1);
        envelope.attempt = 1;
        envelope.not_before = None;
        envelope.reason = None;
        let lane = self.lane_of_replay();
        envelope.tries.note(Try {
            at: now,
            lane,
            number: envelope.replay,
            ended: "replayed".into(),
            wait: Duration::ZERO,
        });
        if lane == Lane::Outcome {
            envelope.stored_at = Some(now);
        } else {
            envelope.accepted_at = now;
            envelope.deadline = now.plus(deadline);
        }
        (lane, next)
    }

    /// The lane that a replay goes to: outcomes to be posted, triggers to be decided.
    #[must_use]
    pub fn lane_of_replay(&self) -> Lane {
        if self.envelope.stored_at.is_some() { Lane::Outcome } else { Lane::Work }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        message::{ENVELOPE_VERSION, Envelope, Reason, Tries},
        trigger::TriggerId,
    };

    fn dead(stored_at: Option<EpochMs>) -> Message {
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            trigger_id: TriggerId(uuid::Uuid::from_u128(7)),
            profile: "default".into(),
            conversation_id: "c".into(),
            user_id: "u".into(),
            session_id: None,
            language: None,
            accepted_at: EpochMs(1_000),
            deadline: EpochMs(31_000),
            stored_at,
            attempt: 9,
            not_before: Some(EpochMs(5)),
            callback: Some("https://example.com/".into()),
            reason: Some(Reason::CallbackExpired),
            replay: 1,
            tries: Tries::default(),
            traceparent: None,
        };
        Message { envelope, body: Bytes::from_static(b"{}") }
    }

    #[test]
    fn a_replay_begins_anew_under_the_same_id() {
        let (now, deadline) = (EpochMs(900_000), Duration::from_secs(15));
        for (stored_at, lane, accepted, until, stored) in [
            (None, Lane::Work, 900_000, 915_000, None),
            (Some(EpochMs(2_000)), Lane::Outcome, 1_000, 31_000, Some(now)),
        ] {
            let letter = dead(stored_at);
            let (to, next) = letter.replayed(now, deadline);
            assert_eq!(to, lane);
            assert_eq!(next.body, letter.body);
            let expected = Envelope {
                accepted_at: EpochMs(accepted),
                deadline: EpochMs(until),
                stored_at: stored,
                attempt: 1,
                not_before: None,
                reason: None,
                replay: 2,
                tries: Tries::from_text(&format!("900000 {} 2 replayed 0", lane.as_str())),
                ..letter.envelope
            };
            assert_eq!(next.envelope, expected);
        }
    }
}
