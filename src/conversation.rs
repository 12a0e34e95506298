//! What was said before: turns in chronological order.

use serde::{Deserialize, Serialize};

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The customer.
    User,
    /// The bot.
    Assistant,
    /// A human agent.
    Agent,
}

/// One thing said. Holds customer text: it has no `Debug` that could reach a log.
#[derive(Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Turn {
    /// Who said it.
    pub role: Role,
    /// The words.
    pub text: String,
    /// When, as the source wrote it; only passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Timestamp>)]
    pub timestamp: Option<String>,
}

/// How a time may be written, for the interface's description: ISO 8601, or milliseconds.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its form is used")]
enum Timestamp {
    Text(String),
    Number(f64),
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("role", &self.role).finish_non_exhaustive()
    }
}

/// The history of one conversation, oldest turn first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The turns, oldest first.
    pub turns: Vec<Turn>,
    /// True when the source could give only a part (an error or a limit while paging).
    pub partial: bool,
    /// True when [`Conversation::last`] left turns out.
    pub truncated: bool,
}

impl Conversation {
    /// The newest `turns` turns that together hold at most `characters` characters, still oldest first.
    /// A turn is kept whole or left out; older ones go first.
    #[must_use]
    pub fn last(mut self, turns: usize, characters: usize) -> Self {
        let mut left = characters;
        let kept = self
            .turns
            .iter()
            .rev()
            .take(turns)
            .take_while(|turn| {
                let length = turn.text.chars().count();
                let fits = length <= left;
                left = left.saturating_sub(length);
                fits
            })
            .count();
        if kept < self.turns.len() {
            self.truncated = true;
            self.turns.drain(..self.turns.len() - kept);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(texts: &[&str]) -> Conversation {
        let turns =
            texts.iter().map(|text| Turn { role: Role::User, text: (*text).to_owned(), timestamp: None }).collect();
        Conversation { turns, ..Conversation::default() }
    }

    #[test]
    fn the_newest_turns_within_both_limits_stay_in_order() {
        for (turns, characters, expected, truncated) in [
            (10, 100, vec!["a", "bb", "ccc"], false),
            (2, 100, vec!["bb", "ccc"], true),
            (10, 5, vec!["bb", "ccc"], true),
            (10, 4, vec!["ccc"], true),
            (10, 2, vec![], true),
            (0, 100, vec![], true),
        ] {
            let last = conversation(&["a", "bb", "ccc"]).last(turns, characters);
            let texts: Vec<_> = last.turns.iter().map(|turn| turn.text.as_str()).collect();
            assert_eq!(texts, expected, "{turns} turns, {characters} characters");
            assert_eq!(last.truncated, truncated);
        }
    }
}
