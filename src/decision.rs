//! A decision: what the model answered, extracted, validated and cleaned.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// The intent of a decision whose own intent is not on the profile's allow-list.
pub const UNKNOWN_INTENT: &str = "UNKNOWN";

/// The validated answer of the model, in the field order of the outcome.
#[derive(Clone, PartialEq, Serialize)]
pub struct Decision {
    /// The intent, as the profile spells it; `UNKNOWN` when it is not on the allow-list.
    pub classified_intent: String,
    /// The model's own confidence, 0..=1: a hint.
    pub confidence: f64,
    /// What the model extracted from the conversation.
    pub extracted_parameters: Map<String, Value>,
    /// What the bot could say, cleaned; 1 to 2,000 characters.
    pub suggested_response: String,
    /// True when a human has to take over.
    pub requires_human_agent: bool,
}

/// What the profile lets a decision contain.
#[derive(Clone, Debug, Default)]
pub struct DecisionRules {
    /// Allowed intents; empty allows every name. Compared without regard to case; this spelling wins.
    pub intents: Vec<String>,
    /// Allowed parameter names by intent. An intent that is not listed here may have any parameter.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// A confidence below this (0..=1) requires a human.
    pub min_confidence: Option<f64>,
    /// Intents that always require a human.
    pub high_risk: Vec<String>,
    /// Hosts that a link in the suggested response may lead to; `*.example.com` stands for every subdomain.
    pub link_hosts: Vec<String>,
}

/// Why an answer is not a decision. Neither part holds any of the model's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The short code that the outcome carries, e.g. `invalid_json`.
    pub code: &'static str,
    /// One line per broken rule (field and rule), for the re-ask.
    pub rules: Vec<String>,
}

/// The schema of a template set and the rules of a profile, compiled once.
pub struct DecisionSchema {}

impl DecisionSchema {
    /// Compiles the JSON Schema of a template set (`decision.schema.json`) with a profile's rules.
    ///
    /// # Errors
    /// When the schema is not a valid JSON Schema, or does not describe a decision.
    pub fn compile(_schema: &Value, _rules: DecisionRules) -> Result<Self, SchemaError> {
        unimplemented!()
    }

    /// Turns the text of a completion into a decision.
    ///
    /// # Errors
    /// [`Invalid`], with every broken rule.
    pub fn parse(&self, _answer: &str) -> Result<Decision, Invalid> {
        unimplemented!()
    }
}

/// The decision schema itself is unusable.
#[derive(Debug, thiserror::Error)]
#[error("decision schema: {0}")]
pub struct SchemaError(pub String);

// The suggested response and the parameters are customer-related text.
impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decision").finish_non_exhaustive()
    }
}
