//! A decision: what the model answered, extracted, validated and cleaned.
//!
//! The answer of a model is input like any other: nothing in it is believed before it passed here, and nothing in it is
//! repaired. An answer cut in half, or one that could be read in two ways, is asked for again.

mod clean;
mod extract;
mod fields;
mod link_patterns;
mod links;
mod rules;
mod schema;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use self::{clean::Cleaner, rules::Rules};

/// Largest answer that is looked at, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Most nested objects and arrays of an answer.
pub const MAX_DEPTH: usize = 32;

/// What an intent is called that could not be told, or that the profile does not know.
pub const UNKNOWN_INTENT: &str = "UNKNOWN";

/// The validated answer of the model, in the field order of the outcome.
#[derive(Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Decision {
    /// The intent, as the profile spells it; `UNKNOWN` when it is not on the allow-list.
    pub classified_intent: String,
    /// The model's own confidence, 0..=1: a hint.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub confidence: f64,
    /// What the model extracted from the conversation.
    #[schema(value_type = Object)]
    pub extracted_parameters: Map<String, Value>,
    /// What the bot could say, cleaned; 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2_000)]
    pub suggested_response: String,
    /// True when a human has to take over.
    pub requires_human_agent: bool,
}

/// What the profile lets a decision contain.
#[derive(Clone, Debug, Default)]
pub struct DecisionRules {
    /// Allowed intents; empty allows every name. Compared without regard to case; this spelling wins.
    pub intents: Vec<String>,
    /// Allowed parameter names by intent. Of an intent listed here, other parameters are dropped and values must be
    /// scalars of at most 256 characters. An intent that is not listed may have any parameter, as in the original
    /// service.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// A confidence below this (0..=1) requires a human.
    pub min_confidence: Option<f64>,
    /// Intents that always require a human.
    pub high_risk: Vec<String>,
    /// Hosts that a link or address in the suggested response may lead to; `*.example.com` stands for every subdomain
    /// of `example.com`. All others are removed from the text.
    pub link_hosts: Vec<String>,
}

/// Why an answer is not a decision. Neither part holds any of the model's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The short code that the outcome carries: `empty` (no text at all), `too_large` (size or depth), `invalid_json`
    /// (no whole JSON object, or one with duplicate keys), `ambiguous` (two different objects), `not_an_object`, or
    /// `schema_violation`.
    pub code: &'static str,
    /// One line per broken rule (field and rule), for the re-ask.
    pub rules: Vec<String>,
}

/// The schema of a template set and the rules of a profile, compiled once.
pub struct DecisionSchema {
    validator: jsonschema::Validator,
    rules: Rules,
    cleaner: Cleaner,
}

impl DecisionSchema {
    /// Compiles the JSON Schema of a template set (`decision.schema.json`) with a profile's rules.
    ///
    /// # Errors
    /// When the schema is not a valid JSON Schema, does not describe a decision, or accepts what the contract forbids;
    /// when a rule contradicts itself or names an intent that is not on the allow-list.
    pub fn compile(schema: &Value, rules: DecisionRules) -> Result<Self, SchemaError> {
        let validator = schema::compile(schema)?;
        let cleaner = Cleaner::new(&rules.link_hosts)?;
        Ok(Self { validator, rules: Rules::new(rules)?, cleaner })
    }

    /// Turns the text of a completion into a decision.
    ///
    /// # Errors
    /// [`Invalid`], with every broken rule.
    pub fn parse(&self, answer: &str) -> Result<Decision, Invalid> {
        let mut fields = extract::object(answer)?;
        fields::coerce(&mut fields);
        self.clean(&mut fields);
        let fields = schema::validate(&self.validator, fields, |fields| self.rules.parameter_violations(fields))?;
        let mut decision = fields::decision(fields)?;
        self.rules.apply(&mut decision);
        Ok(decision)
    }

    /// Whether an answer could have such a value of a parameter: cleaning leaves it as it is, and no string in it is longer
    /// than 256 characters. What is put into a decision after [`parse`](Self::parse) has passed nothing else.
    #[must_use]
    pub fn is_clean_parameter(&self, value: &Value) -> bool {
        let mut cleaned = value.clone();
        self.cleaner.words(&mut cleaned);
        cleaned == *value && rules::are_short(value)
    }

    /// Cleans before validation, so that the limits of the schema hold for what is handed on.
    fn clean(&self, fields: &mut Map<String, Value>) {
        for (name, value) in fields {
            match value {
                Value::String(text) if name == "suggested_response" => *text = self.cleaner.response(text),
                Value::String(text) if name == "classified_intent" => {
                    *text = self.cleaner.word(text).trim().to_owned();
                }
                Value::Object(_) if name == "extracted_parameters" => self.cleaner.words(value),
                _ => {}
            }
        }
    }
}

impl Invalid {
    fn new(code: &'static str, rule: impl Into<String>) -> Self {
        Self { code, rules: vec![rule.into()] }
    }
}

/// The decision schema or a rule of the profile is unusable.
#[derive(Debug, thiserror::Error)]
#[error("decision schema: {0}")]
pub struct SchemaError(pub String);

// The suggested response and the parameters are customer-related text.
impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decision").finish_non_exhaustive()
    }
}
