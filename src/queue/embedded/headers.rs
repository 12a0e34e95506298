//! Headers of a message in one column: a small JSON object that `sqlite3` shows as it is.
//!
//! `attempt` and `reason` change as a message moves, so they are columns of its place and not in here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    message::{Envelope, Reason, Tries},
    time::EpochMs,
    trigger::TriggerId,
};

#[derive(Serialize, Deserialize)]
struct Headers<'a> {
    version: u32,
    trigger_id: Uuid,
    profile: Cow<'a, str>,
    conversation_id: Cow<'a, str>,
    user_id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<Cow<'a, str>>,
    accepted_ms: EpochMs,
    deadline_ms: EpochMs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_ms: Option<EpochMs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before_ms: Option<EpochMs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback: Option<Cow<'a, str>>,
    #[serde(default)]
    replay: u32,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    tries: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
}

/// The column's text.
pub(super) fn encode(envelope: &Envelope) -> Result<String, serde_json::Error> {
    fn text(option: &Option<String>) -> Option<Cow<'_, str>> {
        option.as_deref().map(Cow::Borrowed)
    }
    serde_json::to_string(&Headers {
        version: envelope.version,
        trigger_id: envelope.trigger_id.0,
        profile: Cow::Borrowed(&envelope.profile),
        conversation_id: Cow::Borrowed(&envelope.conversation_id),
        user_id: Cow::Borrowed(&envelope.user_id),
        session_id: text(&envelope.session_id),
        language: text(&envelope.language),
        accepted_ms: envelope.accepted_at,
        deadline_ms: envelope.deadline,
        stored_ms: envelope.stored_at,
        not_before_ms: envelope.not_before,
        callback: text(&envelope.callback),
        replay: envelope.replay,
        tries: Cow::Owned(envelope.tries.to_text()),
        traceparent: text(&envelope.traceparent),
    })
}

/// The envelope of a column's text and of the two columns beside it; `None` if this program cannot read it.
pub(super) fn decode(headers: &str, attempt: u32, reason: Option<Reason>) -> Option<Envelope> {
    let headers: Headers<'_> = serde_json::from_str(headers).ok()?;
    Some(Envelope {
        version: headers.version,
        trigger_id: TriggerId(headers.trigger_id),
        profile: headers.profile.into_owned(),
        conversation_id: headers.conversation_id.into_owned(),
        user_id: headers.user_id.into_owned(),
        session_id: headers.session_id.map(Cow::into_owned),
        language: headers.language.map(Cow::into_owned),
        accepted_at: headers.accepted_ms,
        deadline: headers.deadline_ms,
        stored_at: headers.stored_ms,
        attempt,
        not_before: headers.not_before_ms,
        callback: headers.callback.map(Cow::into_owned),
        reason,
        replay: headers.replay,
        tries: Tries::from_text(&headers.tries),
        traceparent: headers.traceparent.map(Cow::into_owned),
    })
}

/// What stands for headers that cannot be read, so that an operator still sees that there is something.
pub(super) fn unreadable() -> Envelope {
    let nobody = Envelope::first(TriggerId(Uuid::nil()), "", "", "", EpochMs(0), EpochMs(0));
    Envelope { version: 0, attempt: 0, reason: Some(Reason::Unreadable), ..nobody }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Envelope {
        Envelope {
            version: 7,
            trigger_id: TriggerId(Uuid::from_u128(0x1234)),
            profile: "default".into(),
            conversation_id: "c \"quoted\" \u{1F600}".into(),
            user_id: "u\\1".into(),
            session_id: Some("s".into()),
            language: Some("de-AT".into()),
            accepted_at: EpochMs(1_800_000_000_000),
            deadline: EpochMs(u64::MAX),
            stored_at: Some(EpochMs(2)),
            attempt: 3,
            not_before: Some(EpochMs(4)),
            callback: Some("https://example.com/?a=b".into()),
            reason: Some(Reason::Expired),
            replay: 1,
            tries: Tries::from_text("7 outcome 1 unavailable 1000;8 outcome 2 rate_limited 5000"),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        }
    }

    #[test]
    fn every_field_survives_and_absent_ones_stay_absent() {
        let bare = Envelope {
            session_id: None,
            language: None,
            stored_at: None,
            not_before: None,
            callback: None,
            reason: None,
            tries: Tries::default(),
            traceparent: None,
            ..full()
        };
        for envelope in [full(), bare] {
            let text = encode(&envelope).unwrap();
            assert_eq!(decode(&text, envelope.attempt, envelope.reason), Some(envelope));
        }
    }

    #[test]
    fn what_is_not_ours_is_unreadable_and_does_not_panic() {
        for text in ["", "{", "[]", "{\"version\":1}", "null"] {
            assert_eq!(decode(text, 1, None), None, "{text}");
        }
    }
}
