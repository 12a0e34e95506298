//! The last outcomes that workers told of: bounded in number and in bytes, the newest first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::story::{CallbackTry, Story};

/// Outcomes kept.
pub(super) const MOST: usize = 500;

/// Bytes of text kept with them.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Tries kept for each.
const MOST_TRIES: usize = 32;

/// A trigger's end, as far as it is known.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) story: Story,
    pub(super) tries: Vec<CallbackTry>,
}

/// All of them, by trigger.
#[derive(Default)]
pub(super) struct Recent {
    entries: HashMap<String, Entry>,
    /// The oldest first.
    order: VecDeque<String>,
    bytes: usize,
    seen: u64,
}

impl Entry {
    /// What it can be filtered by: how it was decided, and how its callback ended if not well.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &str> {
        let decided = self.story.error.as_deref().unwrap_or(self.story.status.as_str());
        [Some(decided), self.undelivered()].into_iter().flatten()
    }

    /// How its callback ended, if it was not delivered.
    pub(super) fn undelivered(&self) -> Option<&str> {
        self.tries.last()?.end.as_deref().filter(|end| *end != "delivered")
    }

    fn bytes(&self) -> usize {
        let told = self.story.told.as_ref().map_or(0, |told| {
            let answers: usize = told.answers.iter().map(|answer| answer.text.len()).sum();
            told.trigger.to_string().len() + told.system.len() + told.user.len() + answers
        });
        told + self.story.outcome.len()
    }
}

impl Recent {
    /// Takes note of a decision; one of a trigger that was decided before takes its place.
    pub(super) fn decided(&mut self, story: Story) {
        self.seen += 1;
        let id = story.trigger_id.clone();
        self.forget(&id);
        let entry = Entry { story, tries: Vec::new() };
        self.bytes += entry.bytes();
        self.order.push_back(id.clone());
        self.entries.insert(id, entry);
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.front().cloned() else { break };
            self.forget(&oldest);
        }
    }

    /// Takes note of a try to post an outcome that is known.
    pub(super) fn tried(&mut self, tried: CallbackTry) {
        if let Some(entry) = self.entries.get_mut(&tried.trigger_id) {
            if entry.tries.len() >= MOST_TRIES {
                entry.tries.remove(0);
            }
            entry.tries.push(tried);
        }
    }

    /// How many decisions were told of since the start.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn get(&self, id: &str) -> Option<Entry> {
        self.entries.get(id).cloned()
    }

    /// Those with a reason (all without one), the newest first.
    pub(super) fn with(&self, reason: Option<&str>) -> impl Iterator<Item = &Entry> {
        let entries = self.order.iter().rev().filter_map(|id| self.entries.get(id));
        entries.filter(move |entry| reason.is_none_or(|wanted| entry.reasons().any(|reason| reason == wanted)))
    }

    /// How many there are of each reason.
    pub(super) fn reasons(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for reason in self.entries.values().flat_map(Entry::reasons) {
            *counts.entry(reason.to_owned()).or_default() += 1;
        }
        counts
    }

    fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.bytes -= entry.bytes();
            self.order.retain(|known| known != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Status, time::EpochMs};

    fn story(id: usize, outcome: &str) -> Story {
        Story {
            trigger_id: id.to_string(),
            profile: "default".to_owned(),
            conversation: String::new(),
            accepted_at: EpochMs(0),
            decided_at: EpochMs(1),
            status: Status::Success,
            error: None,
            stages: Vec::new(),
            llm_calls: 1,
            work_attempts: 1,
            tokens: None,
            cost_usd: None,
            outcome: outcome.to_owned(),
            told: None,
        }
    }

    #[test]
    fn the_last_are_kept_by_number_and_by_bytes() {
        let mut recent = Recent::default();
        for id in 0..MOST + 3 {
            recent.decided(story(id, "{}"));
        }
        assert_eq!(recent.with(None).count(), MOST);
        assert_eq!(recent.with(None).next().unwrap().story.trigger_id, (MOST + 2).to_string());
        assert!(recent.get("2").is_none() && recent.get("3").is_some());
        let half = "x".repeat(MOST_BYTES / 2 + 1);
        recent.decided(story(9_000, &half));
        recent.decided(story(9_001, &half));
        assert_eq!(recent.with(None).map(|entry| entry.story.trigger_id.as_str()).collect::<Vec<_>>(), ["9001"]);
        assert_eq!(recent.seen(), MOST as u64 + 5);
    }

    #[test]
    fn one_is_found_by_how_it_was_decided_and_by_how_its_callback_ended() {
        let mut recent = Recent::default();
        recent.decided(Story { error: Some("invalid_json".to_owned()), ..story(1, "{}") });
        recent.decided(story(2, "{}"));
        let tried = |end: &str| CallbackTry {
            trigger_id: "2".to_owned(),
            attempt: 1,
            at: EpochMs(2),
            took_ms: 3,
            error: None,
            end: Some(end.to_owned()),
        };
        recent.tried(tried("rejected"));
        assert_eq!(recent.reasons().keys().collect::<Vec<_>>(), ["invalid_json", "rejected", "success"]);
        assert_eq!(recent.with(Some("rejected")).count(), 1);
        recent.tried(tried("delivered"));
        assert_eq!(recent.with(Some("rejected")).count(), 0);
        recent.decided(story(2, "{}"));
        assert!(recent.get("2").unwrap().tries.is_empty(), "decided anew, it begins anew");
    }
}
