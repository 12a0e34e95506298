//! A page of summaries as it comes over the wire.

use serde::Deserialize;

use crate::conversation::{Role, Turn};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    participant_id: Option<String>,
    text: Option<String>,
    timestamp: Option<String>,
}

impl Item {
    /// A turn, unless nothing was said (pictures and events have no text).
    pub(super) fn into_turn(self) -> Option<Turn> {
        let text = self.text.filter(|text| !text.trim().is_empty())?;
        Some(Turn { role: role(self.participant_id.as_deref().unwrap_or("")), text, timestamp: self.timestamp })
    }
}

/// The API names participants only by ids such as `agent-17`, `bot-1` or `user-external-9876`. What is neither an agent
/// nor a bot by its beginning is taken for the customer, because the model must not trust those words more than that.
fn role(participant_id: &str) -> Role {
    let begins = |prefix: &str| participant_id.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
    if begins("agent") {
        Role::Agent
    } else if begins("bot") {
        Role::Assistant
    } else {
        Role::User
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_told_by_the_beginning_of_the_id() {
        for (id, expected) in [
            ("user-external-9876", Role::User),
            ("agent-1", Role::Agent),
            ("Agent_17", Role::Agent),
            ("bot-1", Role::Assistant),
            ("BOT", Role::Assistant),
            ("robot", Role::User),
            ("", Role::User),
            ("ägent", Role::User),
        ] {
            assert_eq!(role(id), expected, "{id}");
        }
    }
}
