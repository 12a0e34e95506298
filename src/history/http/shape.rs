//! Where in an answer the turns are.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde_json::Value;

use super::config::{HttpConfig, Speaker};
use crate::{
    conversation::{Role, Turn},
    http_client::UpstreamError,
};

/// The pointers, checked.
pub(super) struct Shape {
    items: String,
    text: Vec<String>,
    role: String,
    roles: BTreeMap<String, Speaker>,
    time: String,
    next: Option<String>,
}

/// What is on a page.
pub(super) struct PageContent {
    pub(super) turns: Vec<Turn>,
    pub(super) next: Option<String>,
}

impl Shape {
    pub(super) fn new(config: &HttpConfig) -> anyhow::Result<Self> {
        let pointers =
            [("items", &config.items), ("role", &config.role), ("time", &config.time), ("next", &config.next)];
        let texts = config.text.iter().map(|pointer| ("text", pointer));
        for (key, pointer) in pointers.into_iter().chain(texts) {
            ensure!(
                is_pointer(pointer),
                "http.{key}: is no JSON pointer; \"\" or one like \"/data/items\" would be right"
            );
        }
        ensure!(!config.text.is_empty(), "http.text: names no place; [\"/text\"] would be right");
        let roles = config.roles.iter().map(|(name, speaker)| (name.to_lowercase(), *speaker)).collect();
        Ok(Self {
            items: config.items.clone(),
            text: config.text.clone(),
            role: config.role.clone(),
            roles,
            time: config.time.clone(),
            next: Some(config.next.clone()).filter(|next| !next.is_empty()),
        })
    }

    /// Reads a page.
    pub(super) fn read(&self, page: &Value) -> Result<PageContent, UpstreamError> {
        let items = page.pointer(&self.items).and_then(Value::as_array);
        let items = items.ok_or(UpstreamError::Malformed("no list where the items should be"))?;
        let next = self.next.as_ref().and_then(|next| scalar(page.pointer(next)?));
        Ok(PageContent { turns: items.iter().filter_map(|item| self.turn(item)).collect(), next })
    }

    fn turn(&self, item: &Value) -> Option<Turn> {
        let texts = self.text.iter().filter_map(|text| item.pointer(text)?.as_str());
        let text = texts.into_iter().find(|text| !text.trim().is_empty())?.to_owned();
        let speaker = item.pointer(&self.role).and_then(scalar);
        let speaker = speaker.and_then(|name| self.roles.get(&name.to_lowercase()));
        // Who is not known is taken for the customer, because the model must not trust those words more than that.
        let role = speaker.map_or(Some(Role::User), |speaker| speaker.role())?;
        Some(Turn { role, text, timestamp: item.pointer(&self.time).and_then(scalar) })
    }
}

/// RFC 6901, section 3.
fn is_pointer(text: &str) -> bool {
    let escaped = |segment: &str| segment.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escaped(text)
}

/// A text or a number, as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> HttpConfig {
        HttpConfig {
            items: "/items".to_owned(),
            text: vec!["/payload/text".to_owned(), "/inputText".to_owned()],
            role: "/source".to_owned(),
            roles: [("bot", Speaker::Assistant), ("Agent", Speaker::Agent), ("suggestion", Speaker::Skip)]
                .map(|(name, speaker)| (name.to_owned(), speaker))
                .into(),
            time: "/timestamp".to_owned(),
            next: "/page/next".to_owned(),
            ..HttpConfig::default()
        }
    }

    #[test]
    fn turns_are_read_by_pointers_and_what_is_no_turn_is_left_out() {
        let shape = Shape::new(&config()).unwrap();
        let page = json!({"page": {"next": 2}, "items": [
            {"source": "user", "inputText": "a", "timestamp": "2026-01-15T10:23:45Z"},
            {"source": "BOT", "inputText": "b", "payload": {"text": "B"}, "timestamp": 1_768_472_625},
            {"source": "agent", "payload": {"text": " "}, "inputText": "c"},
            {"source": "suggestion", "inputText": "left out"},
            {"source": "somebody", "inputText": "d"},
            {"source": {"x": 1}, "inputText": "e"},
            {"source": "bot", "inputText": null}, {"source": "bot", "inputText": {"x": 1}}, 7, null,
        ]});
        let content = shape.read(&page).unwrap();
        let turns: Vec<_> = content.turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
        let expected =
            [(Role::User, "a"), (Role::Assistant, "B"), (Role::Agent, "c"), (Role::User, "d"), (Role::User, "e")];
        assert_eq!(turns, expected);
        assert_eq!(content.turns[1].timestamp.as_deref(), Some("1768472625"));
        assert_eq!(content.next.as_deref(), Some("2"));
        assert!(shape.read(&json!({"items": []})).unwrap().next.is_none());
        for nonsense in [json!({}), json!({"items": {}}), json!([]), json!(null)] {
            assert!(shape.read(&nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_pointer_that_is_none_is_refused_by_its_key() {
        for (pointer, good) in [("", true), ("/a/~0b/~1c/0", true), ("a", false), ("/a~", false), ("/a~2", false)] {
            let shape = Shape::new(&HttpConfig { items: pointer.to_owned(), ..config() });
            assert_eq!(shape.is_ok(), good, "{pointer}");
            if let Err(problem) = shape {
                assert!(problem.to_string().contains("http.items"), "{problem}");
            }
        }
    }
}
