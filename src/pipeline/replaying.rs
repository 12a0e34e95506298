//! Replaying a recorded test case: does its trigger still render, and does its answer still become what it became?

use super::{HistoryLimits, preview};
use crate::{
    decision::DecisionSchema,
    prompt::{
        Intent, TemplateSet,
        cases::{Case, Expected},
    },
    redaction::RedactionRules,
    trigger::TriggerBody,
};

/// What replaying a case needs of a profile.
pub struct Replayer {
    /// Its templates.
    pub templates: TemplateSet,
    /// What it masks.
    pub redaction: RedactionRules,
    /// Its intents.
    pub intents: Vec<Intent>,
    /// How much of a conversation it shows.
    pub history_limits: HistoryLimits,
    /// What its decisions must be.
    pub schema: DecisionSchema,
}

impl Replayer {
    /// Replays a case; no model is asked.
    ///
    /// # Errors
    /// A sentence that says what is different now.
    pub fn replay(&self, case: &Case) -> Result<(), String> {
        let bytes = case.trigger.to_string();
        let body = TriggerBody::parse(bytes.as_bytes()).map_err(|problems| {
            let broken = problems.iter().map(|problem| format!("{} {}", problem.pointer, problem.message));
            format!("its trigger is none: {}", broken.collect::<Vec<_>>().join("; "))
        })?;
        preview(&self.templates, &self.redaction, &self.intents, self.history_limits, &body)
            .map_err(|error| error.to_string())?;
        let now = became(&self.schema, &case.answer);
        if now == case.expected { Ok(()) } else { Err(difference(&case.expected, &now)) }
    }
}

/// What an answer becomes.
#[must_use]
pub fn became(schema: &DecisionSchema, answer: &str) -> Expected {
    match schema.parse(answer) {
        Ok(decision) => Expected::Decision {
            classified_intent: decision.classified_intent,
            requires_human_agent: decision.requires_human_agent,
        },
        Err(invalid) => Expected::Invalid(invalid.code.to_owned()),
    }
}

fn difference(expected: &Expected, now: &Expected) -> String {
    let words = |what: &Expected| match what {
        Expected::Decision { classified_intent, requires_human_agent: true } => {
            format!("\"{classified_intent}\" with a human")
        }
        Expected::Decision { classified_intent, .. } => format!("\"{classified_intent}\""),
        Expected::Invalid(code) => format!("invalid ({code})"),
    };
    format!("its answer was {} and is now {}", words(expected), words(now))
}
