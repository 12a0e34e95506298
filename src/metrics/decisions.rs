//! Decisions by what they decided: the one label whose values come from the settings.

use std::collections::BTreeMap;

use prometheus::{IntCounter, IntCounterVec};

use super::{
    labels::{DecisionSource, Label as _},
    named::{Names, OTHER},
};

/// Stands for the intent of an answer that is not on the allow-list.
const UNKNOWN: &str = "UNKNOWN";
/// Stands for the target of a safe answer.
const HANDOVER: &str = "handover";

/// The counters of one profile.
pub struct DecisionCounters {
    by_intent: BTreeMap<String, IntCounter>,
    /// Every intent of a profile without an allow-list: the model's own words are no label.
    other: IntCounter,
    unknown: IntCounter,
    handover: IntCounter,
}

impl DecisionCounters {
    pub(super) fn new(family: &IntCounterVec, targets: &Names, intents: &[String]) -> Self {
        let counter = |target: &str, source: DecisionSource| family.with_label_values(&[target, source.as_str()]);
        let of = |intent: &String| (intent.clone(), counter(&targets.shown(intent), DecisionSource::Llm));
        let by_intent = intents.iter().map(of).collect();
        Self {
            by_intent,
            other: counter(OTHER, DecisionSource::Llm),
            unknown: counter(UNKNOWN, DecisionSource::Rule),
            handover: counter(HANDOVER, DecisionSource::Default),
        }
    }

    /// The counter of a decision for this intent, as the decision spells it.
    #[must_use]
    pub fn intent(&self, intent: &str) -> &IntCounter {
        if intent == UNKNOWN {
            return &self.unknown;
        }
        self.by_intent.get(intent).unwrap_or(&self.other)
    }

    /// The counter of safe answers.
    #[must_use]
    pub fn handover(&self) -> &IntCounter {
        &self.handover
    }
}
