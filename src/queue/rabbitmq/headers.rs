//! The envelope of a message as AMQP headers, and back.
//!
//! Times are long-long (milliseconds), counts are long, text is long-string. Of foreign headers none is kept: the
//! broker's own `x-…` would be wrong on a copy.

use lapin::{
    protocol::BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::topology;
use crate::{
    message::{Envelope, Reason, Tries},
    time::EpochMs,
    trigger::TriggerId,
};

const VERSION: &str = "fr-version";
const TRIGGER_ID: &str = "fr-trigger-id";
const PROFILE: &str = "fr-profile";
const CONVERSATION_ID: &str = "fr-conversation-id";
const USER_ID: &str = "fr-user-id";
const SESSION_ID: &str = "fr-session-id";
const LANGUAGE: &str = "fr-language";
const ACCEPTED: &str = "fr-accepted-ms";
const DEADLINE: &str = "fr-deadline-ms";
const STORED: &str = "fr-stored-ms";
const ATTEMPT: &str = "fr-attempt";
const NOT_BEFORE: &str = "fr-not-before-ms";
const CALLBACK: &str = "fr-callback";
const REASON: &str = "fr-reason";
const REPLAY: &str = "fr-replay";
const TRIES: &str = "fr-tries";
const RETURNS: &str = "fr-returns";
const STAGE: &str = "fr-stage";
const TRACEPARENT: &str = "traceparent";

/// AMQP's delivery mode 2: a dead-lettered transient message would not be safe in its target.
const PERSISTENT: u8 = 2;

/// The name of a header that is missing or has another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

/// The properties of a message on its way to `stage` (a lane, or `dead`).
pub(super) fn encode(envelope: &Envelope, stage: &str) -> BasicProperties {
    let mut table = FieldTable::default();
    let mut put = |name: &'static str, value: AMQPValue| {
        table.insert(name.into(), value);
    };
    let id = envelope.trigger_id.to_string();
    put(VERSION, count(envelope.version));
    put(TRIGGER_ID, text(&id));
    put(PROFILE, text(&envelope.profile));
    put(CONVERSATION_ID, text(&envelope.conversation_id));
    put(USER_ID, text(&envelope.user_id));
    put(ACCEPTED, moment(envelope.accepted_at));
    put(DEADLINE, moment(envelope.deadline));
    put(ATTEMPT, count(envelope.attempt));
    put(REPLAY, count(envelope.replay));
    put(STAGE, text(stage));
    let texts = [
        (SESSION_ID, envelope.session_id.as_deref()),
        (LANGUAGE, envelope.language.as_deref()),
        (CALLBACK, envelope.callback.as_deref()),
        (TRACEPARENT, envelope.traceparent.as_deref()),
        (REASON, envelope.reason.map(Reason::as_str)),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            put(name, text(value));
        }
    }
    if !envelope.tries.is_empty() {
        put(TRIES, text(&envelope.tries.to_text()));
    }
    for (name, value) in [(STORED, envelope.stored_at), (NOT_BEFORE, envelope.not_before)] {
        if let Some(value) = value {
            put(name, moment(value));
        }
    }
    BasicProperties::default().with_headers(table).with_message_id(id.into()).with_delivery_mode(PERSISTENT)
}

/// The envelope of a message that came from the queue `queue`.
///
/// # Errors
/// The first header that is missing or ill-typed. A foreign version is not an error here: the worker decides.
pub(super) fn decode(properties: &BasicProperties, queue: &str) -> Result<Envelope, Unreadable> {
    let headers = Headers(properties.headers().as_ref());
    Ok(Envelope {
        version: headers.required(VERSION, Headers::count)?,
        trigger_id: headers.required(TRIGGER_ID, Headers::trigger_id)?,
        profile: headers.required(PROFILE, Headers::text)?,
        conversation_id: headers.required(CONVERSATION_ID, Headers::text)?,
        user_id: headers.required(USER_ID, Headers::text)?,
        session_id: headers.optional(SESSION_ID, Headers::text)?,
        language: headers.optional(LANGUAGE, Headers::text)?,
        accepted_at: headers.required(ACCEPTED, Headers::moment)?,
        deadline: headers.required(DEADLINE, Headers::moment)?,
        stored_at: headers.optional(STORED, Headers::moment)?,
        attempt: headers.required(ATTEMPT, Headers::count)?,
        not_before: headers.optional(NOT_BEFORE, Headers::moment)?,
        callback: headers.optional(CALLBACK, Headers::text)?,
        reason: headers.death(queue).or_else(|| headers.reason()),
        replay: headers.count(REPLAY).unwrap_or_default(),
        tries: headers.tries(),
        traceparent: headers.text(TRACEPARENT),
    })
}

/// What can be read of a message that cannot be read whole; for an operator's eyes only.
pub(super) fn decode_what_is_there(properties: &BasicProperties) -> Envelope {
    let headers = Headers(properties.headers().as_ref());
    let id = || properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok());
    Envelope {
        version: headers.count(VERSION).unwrap_or_default(),
        trigger_id: headers.trigger_id(TRIGGER_ID).or_else(id).unwrap_or(TriggerId(uuid::Uuid::nil())),
        profile: headers.text(PROFILE).unwrap_or_default(),
        conversation_id: headers.text(CONVERSATION_ID).unwrap_or_default(),
        user_id: headers.text(USER_ID).unwrap_or_default(),
        session_id: headers.text(SESSION_ID),
        language: headers.text(LANGUAGE),
        accepted_at: headers.moment(ACCEPTED).unwrap_or(EpochMs(0)),
        deadline: headers.moment(DEADLINE).unwrap_or(EpochMs(0)),
        stored_at: headers.moment(STORED),
        attempt: headers.count(ATTEMPT).unwrap_or_default(),
        not_before: headers.moment(NOT_BEFORE),
        callback: headers.text(CALLBACK),
        reason: headers.reason(),
        replay: headers.count(REPLAY).unwrap_or_default(),
        tries: headers.tries(),
        traceparent: headers.text(TRACEPARENT),
    }
}

/// The properties of an unreadable message on its way to the dead letters: its own headers but the broker's.
pub(super) fn unreadable(properties: &BasicProperties) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        if !name.as_str().starts_with("x-") {
            table.insert(name.clone(), value.clone());
        }
    }
    table.insert(REASON.into(), text(Reason::Unreadable.as_str()));
    let mut copy = BasicProperties::default().with_headers(table).with_delivery_mode(PERSISTENT);
    if let Some(id) = properties.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    copy
}

/// How often the queue delivered this message before without its being settled: by the broker's count, and by that of
/// the copy it was (see [`with_returns`]).
pub(super) fn returns(properties: &BasicProperties, redelivered: bool) -> u32 {
    let headers = Headers(properties.headers().as_ref());
    let counted = headers.count("x-delivery-count").unwrap_or_default().max(redelivered.into());
    counted.saturating_add(headers.count(RETURNS).unwrap_or_default())
}

/// The same properties for a copy of a message that came back so often: the broker counts it from zero.
pub(super) fn with_returns(properties: BasicProperties, returns: u32) -> BasicProperties {
    let mut table = properties.headers().clone().unwrap_or_default();
    table.insert(RETURNS.into(), count(returns));
    properties.with_headers(table)
}

struct Headers<'a>(Option<&'a FieldTable>);

impl Headers<'_> {
    fn value(&self, name: &str) -> Option<&AMQPValue> {
        self.0?.inner().get(name)
    }

    fn required<T>(&self, name: &'static str, read: fn(&Self, &str) -> Option<T>) -> Result<T, Unreadable> {
        read(self, name).ok_or(Unreadable(name))
    }

    /// Absent is `None`; there, but of another type, is an error.
    fn optional<T>(&self, name: &'static str, read: fn(&Self, &str) -> Option<T>) -> Result<Option<T>, Unreadable> {
        match self.value(name) {
            None | Some(AMQPValue::Void) => Ok(None),
            Some(_) => read(self, name).map(Some).ok_or(Unreadable(name)),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
            _ => None,
        }
    }

    fn trigger_id(&self, name: &str) -> Option<TriggerId> {
        self.text(name)?.parse().ok()
    }

    fn integer(&self, name: &str) -> Option<u64> {
        match *self.value(name)? {
            AMQPValue::LongLongInt(number) => u64::try_from(number).ok(),
            AMQPValue::LongInt(number) => u64::try_from(number).ok(),
            AMQPValue::ShortInt(number) => u64::try_from(number).ok(),
            AMQPValue::ShortShortInt(number) => u64::try_from(number).ok(),
            AMQPValue::LongUInt(number) => Some(number.into()),
            AMQPValue::ShortUInt(number) => Some(number.into()),
            AMQPValue::ShortShortUInt(number) => Some(number.into()),
            _ => None,
        }
    }

    fn count(&self, name: &str) -> Option<u32> {
        u32::try_from(self.integer(name)?).ok()
    }

    fn moment(&self, name: &str) -> Option<EpochMs> {
        self.integer(name).map(EpochMs)
    }

    fn tries(&self) -> Tries {
        self.text(TRIES).map(|text| Tries::from_text(&text)).unwrap_or_default()
    }

    fn reason(&self) -> Option<Reason> {
        Reason::from_name(&self.text(REASON)?)
    }

    /// Why the broker dead-lettered the message into `queue`. It is newer than our own reason, since our copies carry
    /// no record of the broker's. A delay that passed is in that record as well, so neither the first nor the newest
    /// entry need be the one.
    fn death(&self, queue: &str) -> Option<Reason> {
        let Some(AMQPValue::FieldArray(deaths)) = self.value("x-death") else { return None };
        let sources = topology::dead_lettering_into(queue);
        let mut deaths = deaths.as_slice().iter().filter_map(|death| match death {
            AMQPValue::FieldTable(death) => Some(Headers(Some(death))),
            _ => None,
        });
        let death = deaths.find(|death| death.text("queue").is_some_and(|from| sources.contains(&from.as_str())))?;
        match death.text("reason")?.as_str() {
            "expired" => Some(Reason::Expired),
            "delivery_limit" => Some(Reason::Poison),
            // Nobody rejects in this program, and no queue of ours drops for its length.
            _ => Some(Reason::Exhausted),
        }
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn count(number: u32) -> AMQPValue {
    i32::try_from(number).map_or(AMQPValue::LongLongInt(number.into()), AMQPValue::LongInt)
}

fn moment(moment: EpochMs) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(moment.0).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written_however_large() {
        for number in [0, 1, i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX] {
            let first = Envelope::first(
                TriggerId(Uuid::from_u128(1)),
                "default",
                "c",
                "u",
                EpochMs(i64::MAX as u64),
                EpochMs(i64::MAX as u64),
            );
            let envelope = Envelope { version: number, attempt: number, replay: number, ..first };
            assert_eq!(decode(&encode(&envelope, "work"), "fr.work"), Ok(envelope));
        }
    }
}
