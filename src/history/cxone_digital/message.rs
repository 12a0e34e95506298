//! Messages of a digital case as they come over the wire, and what turn each one is.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::conversation::{Role, Turn};

/// A list of messages: bare, under `data` (lists), or under `messages` (the detail of a case).
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Messages {
    pub(super) messages: Vec<Message>,
    /// Where the next page begins.
    pub(super) scroll_token: Option<String>,
    /// How many messages there are in all.
    pub(super) hits: Option<u64>,
}

/// One message. Only its envelope is sure; the rest differs by channel.
pub(super) struct Message(Map<String, Value>);

impl TryFrom<Value> for Messages {
    type Error = &'static str;

    fn try_from(answer: Value) -> Result<Self, Self::Error> {
        let (list, rest) = match answer {
            Value::Array(list) => (list, Map::new()),
            Value::Object(mut fields) => {
                let list = ["data", "messages"].into_iter().find_map(|name| match fields.remove(name) {
                    Some(Value::Array(list)) => Some(list),
                    _ => None,
                });
                (list.ok_or("no list of messages")?, fields)
            }
            _ => return Err("not an object"),
        };
        let message = |value| match value {
            Value::Object(fields) => Ok(Message(fields)),
            _ => Err("not a message"),
        };
        let messages: Vec<_> = list.into_iter().map(message).collect::<Result<_, _>>()?;
        let token = rest.get("scrollToken").and_then(Value::as_str).filter(|token| !token.is_empty());
        // The last page of a scroll has a token, too, but nothing in it.
        let scroll_token = token.filter(|_| !messages.is_empty()).map(str::to_owned);
        Ok(Self { messages, scroll_token, hits: rest.get("hits").and_then(Value::as_u64) })
    }
}

impl Messages {
    /// True when the list begins with what was said first.
    pub(super) fn begins_with_the_oldest(&self) -> bool {
        let moments: Vec<_> = self.messages.iter().filter_map(Message::moment).collect();
        moments.first().zip(moments.last()).is_some_and(|(first, last)| first < last)
    }

    /// Puts what was said first at the beginning. Messages without a readable time go before all others.
    pub(super) fn sort(&mut self) {
        self.messages.sort_by_key(Message::moment);
    }
}

impl Message {
    pub(super) fn id(&self) -> Option<String> {
        match self.0.get("id")? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }

    /// True when the list holds only the beginning of a long text.
    pub(super) fn is_cut(&self) -> bool {
        self.is_set("hasAdditionalMessageContent") && !self.is_removed()
    }

    /// The turn, unless nothing was said (files, cards without a text for the case that they cannot be shown), or what
    /// was said has been removed since.
    pub(super) fn turn(&self, bots: &[String]) -> Option<Turn> {
        if self.is_removed() {
            return None;
        }
        let content = self.0.get("messageContent")?;
        let text = ["text", "fallbackText"].into_iter().filter_map(|name| content.get(name)?.as_str());
        let text = text.into_iter().find(|text| !text.trim().is_empty())?.to_owned();
        let timestamp = self.0.get("createdAt").and_then(Value::as_str).map(str::to_owned);
        Some(Turn { role: self.role(bots), text, timestamp })
    }

    /// Inbound is the customer; outbound with a CXone user as its author an agent, or one of the `bots`; outbound without
    /// one the bot. What tells neither is taken for the customer, because the model must not trust those words more.
    fn role(&self, bots: &[String]) -> Role {
        let author = self.0.get("authorUser").filter(|author| !author.is_null());
        let outbound = match self.0.get("direction").and_then(Value::as_str) {
            Some(direction) => direction.eq_ignore_ascii_case("outbound"),
            None => self.is_set("isMadeByUser"),
        };
        if !outbound {
            return Role::User;
        }
        let Some(author) = author else { return Role::Assistant };
        let id = match author.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Role::Agent,
        };
        if bots.contains(&id) { Role::Assistant } else { Role::Agent }
    }

    fn is_removed(&self) -> bool {
        self.is_set("contentRemoved")
    }

    /// True for anything but absent, `null` and `false`: removals are marked by a flag or by when and by whom.
    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
    }

    fn moment(&self) -> Option<Timestamp> {
        self.0.get("createdAt")?.as_str()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turn(message: Value) -> Option<(Role, String)> {
        let Value::Object(fields) = message else { panic!("not an object") };
        Message(fields).turn(&["77".to_owned()]).map(|turn| (turn.role, turn.text))
    }

    #[test]
    fn the_role_is_told_by_direction_and_author() {
        let text = json!({"type": "TEXT", "text": "t"});
        for (mut message, expected) in [
            (json!({"direction": "inbound", "authorEndUserIdentity": {"id": "1"}}), Role::User),
            (json!({"direction": "inbound", "authorUser": {"id": 5}}), Role::User),
            (json!({"direction": "outbound", "authorUser": {"id": 5}}), Role::Agent),
            (json!({"direction": "OUTBOUND", "authorUser": {"fullName": "x"}}), Role::Agent),
            (json!({"direction": "outbound", "authorUser": {"id": 77}}), Role::Assistant),
            (json!({"direction": "outbound", "authorUser": {"id": "77"}}), Role::Assistant),
            (json!({"direction": "outbound", "authorUser": null}), Role::Assistant),
            (json!({"direction": "outbound"}), Role::Assistant),
            (json!({"isMadeByUser": true, "authorUser": {"id": 5}}), Role::Agent),
            (json!({"isMadeByUser": false}), Role::User),
            (json!({"authorUser": {"id": 5}}), Role::User),
            (json!({}), Role::User),
        ] {
            message["messageContent"] = text.clone();
            let shown = message.to_string();
            assert_eq!(turn(message).unwrap().0, expected, "{shown}");
        }
    }

    #[test]
    fn the_text_is_that_of_the_message_else_its_fallback_and_a_removed_one_is_none() {
        for (message, expected) in [
            (json!({"messageContent": {"text": "a", "fallbackText": "b"}}), Some("a")),
            (json!({"messageContent": {"type": "MENU", "text": null, "fallbackText": "b"}}), Some("b")),
            (json!({"messageContent": {"text": " ", "fallbackText": "b"}}), Some("b")),
            (json!({"messageContent": {"text": {"x": 1}, "fallbackText": "b"}}), Some("b")),
            (json!({"messageContent": {"type": "FILE", "text": "", "fallbackText": null}}), None),
            (json!({"messageContent": null}), None),
            (json!({}), None),
            (json!({"messageContent": {"text": "a"}, "contentRemoved": null}), Some("a")),
            (json!({"messageContent": {"text": "a"}, "contentRemoved": false}), Some("a")),
            (json!({"messageContent": {"text": "a"}, "contentRemoved": true}), None),
            (json!({"messageContent": {"text": "a"}, "contentRemoved": {"removedAt": "2026-08-21"}}), None),
        ] {
            let shown = message.to_string();
            assert_eq!(turn(message).map(|(_, text)| text).as_deref(), expected, "{shown}");
        }
    }

    #[test]
    fn a_list_is_bare_or_under_one_of_two_names() {
        let one = json!([{"id": 1}]);
        for (answer, messages, token) in [
            (one.clone(), 1, None),
            (json!({"hits": 9, "scrollToken": "s", "data": one}), 1, Some("s")),
            (json!({"scrollToken": "s", "data": []}), 0, None),
            (json!({"scrollToken": "", "data": one}), 1, None),
            (json!({"customerContact": {}, "messages": one}), 1, None),
        ] {
            let read: Messages = serde_json::from_value(answer).unwrap();
            assert_eq!((read.messages.len(), read.scroll_token.as_deref()), (messages, token));
        }
        for nonsense in [json!({}), json!(7), json!({"data": {}}), json!({"data": [7]}), json!(null)] {
            assert!(serde_json::from_value::<Messages>(nonsense).is_err());
        }
    }
}
