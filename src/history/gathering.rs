//! Turns from page after page, until there are enough; the newest are kept.

use std::collections::VecDeque;

use crate::{
    conversation::{Conversation, Turn},
    http_client::UpstreamError,
};

/// Pages of one conversation; a source that never ends its paging ends here.
pub(super) const MOST_PAGES: usize = 20;

/// In which order a source tells what was said, within a page and from page to page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The newest first: the paging ends when there is enough.
    NewestFirst,
    /// The oldest first: every page is needed.
    OldestFirst,
}

/// Which page to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The first one.
    First,
    /// The one behind this token.
    After(&'a str),
}

/// The turns so far.
pub(super) struct Gathering {
    pub(super) order: Order,
    wanted: usize,
    most_pages: usize,
    turns: VecDeque<Turn>,
    /// The tokens so far; the last one is that of the next page.
    tokens: Vec<String>,
    partial: bool,
    ended: bool,
}

impl Gathering {
    pub(super) fn new(wanted: usize, order: Order, most_pages: usize) -> Self {
        let ended = wanted == 0;
        Self { order, wanted, most_pages, turns: VecDeque::new(), tokens: Vec::new(), partial: false, ended }
    }

    /// The page to ask for; `None` when there is enough, or no more.
    pub(super) fn next(&self) -> Option<Place<'_>> {
        (!self.ended).then(|| self.tokens.last().map_or(Place::First, |token| Place::After(token)))
    }

    /// Takes what was said on a page, and the token of the one behind it.
    pub(super) fn take(&mut self, turns: impl IntoIterator<Item = Turn>, next: Option<String>) {
        match self.order {
            Order::NewestFirst => {
                let room = self.wanted - self.turns.len();
                turns.into_iter().take(room).for_each(|turn| self.turns.push_front(turn));
                self.ended = self.turns.len() == self.wanted;
            }
            Order::OldestFirst => turns.into_iter().for_each(|turn| {
                self.turns.push_back(turn);
                if self.turns.len() > self.wanted {
                    self.turns.pop_front();
                }
            }),
        }
        let next = next.filter(|next| !next.is_empty() && !self.ended);
        let Some(next) = next else {
            self.ended = true;
            return;
        };
        // A token that comes again would lead in a circle.
        if self.tokens.contains(&next) || self.tokens.len() + 1 >= self.most_pages {
            self.partial = true;
            self.ended = true;
        } else {
            self.tokens.push(next);
        }
    }

    /// Ends with what there is; without any page that is the error.
    pub(super) fn fail(&mut self, error: UpstreamError) -> Result<(), UpstreamError> {
        if self.tokens.is_empty() {
            return Err(error);
        }
        self.partial = true;
        self.ended = true;
        Ok(())
    }

    /// Says that something is missing that no page will bring.
    pub(super) fn incomplete(&mut self) {
        self.partial = true;
    }

    pub(super) fn conversation(self) -> Conversation {
        Conversation { turns: self.turns.into(), partial: self.partial, truncated: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Role;

    /// Plays pages of turns (a letter each) and returns what was kept, whether it is partial, and how many were asked for.
    fn gathered(order: Order, wanted: usize, pages: &[(&str, Option<&str>)]) -> (String, bool, usize) {
        let mut gathering = Gathering::new(wanted, order, 4);
        let mut asked = 0;
        while gathering.next().is_some() {
            let (said, next) = pages[asked];
            let turns = said.chars().map(|c| Turn { role: Role::User, text: c.to_string(), timestamp: None });
            gathering.take(turns, next.map(str::to_owned));
            asked += 1;
        }
        let conversation = gathering.conversation();
        (conversation.turns.into_iter().map(|turn| turn.text).collect(), conversation.partial, asked)
    }

    #[test]
    fn the_newest_turns_are_kept_oldest_first_whatever_order_the_source_has() {
        use Order::{NewestFirst, OldestFirst};
        for (order, wanted, pages, expected) in [
            (NewestFirst, 9, vec![("dcba", None)], ("abcd", false, 1)),
            (NewestFirst, 3, vec![("dcba", Some("2"))], ("bcd", false, 1)),
            (NewestFirst, 3, vec![("dc", Some("2")), ("ba", Some("3"))], ("bcd", false, 2)),
            (NewestFirst, 9, vec![("dc", Some("2")), ("ba", Some(""))], ("abcd", false, 2)),
            (OldestFirst, 9, vec![("ab", Some("2")), ("cd", None)], ("abcd", false, 2)),
            (OldestFirst, 2, vec![("ab", Some("2")), ("cd", None)], ("cd", false, 2)),
            (OldestFirst, 2, vec![("abc", Some("2")), ("", None)], ("bc", false, 2)),
            (NewestFirst, 0, vec![], ("", false, 0)),
        ] {
            let (turns, partial, asked) = gathered(order, wanted, &pages);
            assert_eq!((turns.as_str(), partial, asked), expected, "{order:?} {wanted} {pages:?}");
        }
    }

    #[test]
    fn a_circle_of_tokens_and_paging_without_end_are_left_as_partial() {
        let circle = [("f", Some("2")), ("e", Some("3")), ("d", Some("2"))];
        assert_eq!(gathered(Order::NewestFirst, 9, &circle), ("def".to_owned(), true, 3));
        let itself = [("f", Some("2")), ("e", Some("2"))];
        assert_eq!(gathered(Order::NewestFirst, 9, &itself), ("ef".to_owned(), true, 2));
        let endless = [("f", Some("2")), ("e", Some("3")), ("d", Some("4")), ("c", Some("5"))];
        assert_eq!(gathered(Order::NewestFirst, 9, &endless), ("cdef".to_owned(), true, 4));
        assert_eq!(gathered(Order::OldestFirst, 2, &endless), ("dc".to_owned(), true, 4));
    }

    #[test]
    fn a_failure_is_the_callers_only_before_the_first_page() {
        let mut gathering = Gathering::new(3, Order::NewestFirst, 4);
        assert!(gathering.fail(UpstreamError::Timeout).is_err());
        gathering.take([], Some("2".to_owned()));
        gathering.fail(UpstreamError::Timeout).unwrap();
        assert_eq!(gathering.next(), None);
        assert!(gathering.conversation().partial);
    }
}
