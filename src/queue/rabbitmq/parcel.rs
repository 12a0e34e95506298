//! A message made ready to be sent: where it goes, and its headers.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lapin::{protocol::BasicProperties, types::ShortString};

use super::{headers, topology};
use crate::{
    message::{Lane, Message, Reason},
    time::{EpochMs, work_until},
};

/// What is handed to the publisher.
pub(super) struct Parcel {
    pub(super) exchange: &'static str,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

impl Parcel {
    /// To the end of a lane, with the time at which it was sent (see [`super::skew`]). Work carries its own expiration, so that what waited too long becomes late by itself;
    /// the broker looks at it only at the head of the queue, and the worker checks again.
    pub(super) fn to_lane(lane: Lane, message: &Message, reserve: Duration) -> Self {
        let mut properties = headers::encode(&message.envelope, lane.as_str()).with_timestamp(now().seconds());
        if lane == Lane::Work {
            let envelope = &message.envelope;
            let left = work_until(envelope.accepted_at, envelope.deadline, reserve).since(now());
            // 0 would mean: only if a consumer waits.
            properties = properties.with_expiration(left.as_millis().max(1).to_string().into());
        }
        let exchange = if lane == Lane::Late { topology::DLX } else { topology::IN };
        Self { exchange, key: lane.as_str().into(), properties, body: message.body.clone() }
    }

    /// To the shortest delay level of `lane` that is no shorter than `wait`, or to the longest one, where it is asked
    /// to wait on. `None` for a lane without delays.
    pub(super) fn to_delay(lane: Lane, message: &Message, wait: Duration) -> Option<Self> {
        let longest = lane.delays().last()?;
        let level = lane.delays().iter().find(|&&level| level >= wait).unwrap_or(longest);
        let mut envelope = message.envelope.clone();
        envelope.not_before = (wait > *longest).then(|| now().plus(wait));
        let properties = headers::encode(&envelope, lane.as_str());
        let key = topology::delay_key(lane, level.as_secs()).into();
        Some(Self { exchange: topology::IN, key, properties, body: message.body.clone() })
    }

    /// The same, for a message that came back so often.
    pub(super) fn with_returns(self, returns: u32) -> Self {
        Self { properties: headers::with_returns(self.properties, returns), ..self }
    }

    /// To the dead letters.
    pub(super) fn to_dead_letters(message: &Message, reason: Reason) -> Self {
        let mut envelope = message.envelope.clone();
        envelope.reason = Some(reason);
        Self::dead(headers::encode(&envelope, topology::DEAD_KEY), message.body.clone())
    }

    /// To the dead letters, as it came: its headers cannot be read.
    pub(super) fn unreadable(properties: &BasicProperties, body: Bytes) -> Self {
        Self::dead(headers::unreadable(properties), body)
    }

    fn dead(properties: BasicProperties, body: Bytes) -> Self {
        Self { exchange: topology::DLX, key: topology::DEAD_KEY.into(), properties, body }
    }
}

/// The moment by this machine's clock, which message headers are compared with.
pub(super) fn now() -> EpochMs {
    SystemTime::now().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Envelope, Tries},
        trigger::TriggerId,
    };

    fn message() -> Message {
        let accepted_at = now();
        let envelope = Envelope {
            language: Some("de".into()),
            attempt: 2,
            ..Envelope::first(
                TriggerId(uuid::Uuid::nil()),
                "default",
                "c",
                "u",
                accepted_at,
                accepted_at.plus(Duration::from_secs(30)),
            )
        };
        Message { envelope, body: Bytes::from_static(b"{}") }
    }

    #[test]
    fn an_envelope_survives_its_headers() {
        let mut message = message();
        let read = |message: &Message| headers::decode(&headers::encode(&message.envelope, "work"), "fr.work").unwrap();
        assert_eq!(read(&message), message.envelope);
        message.envelope.session_id = Some("s".into());
        message.envelope.stored_at = Some(EpochMs(7));
        message.envelope.not_before = Some(EpochMs(8));
        message.envelope.callback = Some("https://example.test/".into());
        message.envelope.reason = Some(Reason::Exhausted);
        message.envelope.replay = 3;
        message.envelope.tries = Tries::from_text("7 outcome 1 unavailable 1000");
        message.envelope.traceparent = Some("00-1-2-01".into());
        assert_eq!(read(&message), message.envelope);
    }

    #[test]
    fn work_expires_when_work_ends_and_never_with_zero() {
        let mut message = message();
        let expiration = |lane, message: &Message| {
            let parcel = Parcel::to_lane(lane, message, Duration::from_secs(2));
            parcel.properties.expiration().as_ref().map(|text| text.as_str().parse::<u64>().unwrap())
        };
        let left = expiration(Lane::Work, &message).unwrap();
        assert!((20_000..=28_000).contains(&left), "{left}");
        assert_eq!(expiration(Lane::Outcome, &message), None);
        message.envelope.deadline = message.envelope.accepted_at;
        assert_eq!(expiration(Lane::Work, &message), Some(1));
    }

    #[test]
    fn a_wait_takes_the_smallest_level_that_is_long_enough_and_a_longer_one_waits_on() {
        let message = message();
        for (lane, wait_ms, key, waits_on) in [
            (Lane::Work, 0, "retry.work.1s", false),
            (Lane::Work, 1_000, "retry.work.1s", false),
            (Lane::Work, 1_001, "retry.work.5s", false),
            (Lane::Work, 30_000, "retry.work.30s", false),
            (Lane::Work, 30_001, "retry.work.30s", true),
            (Lane::Outcome, 31_000, "retry.outcome.120s", false),
            (Lane::Outcome, 600_000, "retry.outcome.120s", true),
        ] {
            let parcel = Parcel::to_delay(lane, &message, Duration::from_millis(wait_ms)).unwrap();
            let envelope = headers::decode(&parcel.properties, "fr.work").unwrap();
            assert_eq!(parcel.key.as_str(), key, "{wait_ms}");
            assert_eq!(envelope.not_before.is_some(), waits_on, "{wait_ms}");
            assert_eq!(parcel.properties.expiration(), &None, "a delay level has one time to live for all");
        }
        assert!(Parcel::to_delay(Lane::Late, &message, Duration::ZERO).is_none());
    }
}
