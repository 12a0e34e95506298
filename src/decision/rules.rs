//! What the profile allows: intents, their parameters, and when a human has to take over.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use super::{Decision, DecisionRules, SchemaError, UNKNOWN_INTENT};

/// Longest value of a parameter, in characters.
const MAX_VALUE: usize = 256;

/// The rules of a profile, ready to be looked up. Intents are keyed by their [`key`].
pub(super) struct Rules {
    /// The allow-list with its own spelling; empty: every intent.
    intents: HashMap<String, String>,
    parameters: HashMap<String, HashSet<String>>,
    high_risk: HashSet<String>,
    min_confidence: Option<f64>,
}

/// Names of intents are the same whatever their case, and however their letters are composed.
fn key(intent: &str) -> String {
    intent.trim().nfc().collect::<String>().to_lowercase()
}

impl Rules {
    pub(super) fn new(rules: DecisionRules) -> Result<Self, SchemaError> {
        if rules.min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            return Err(SchemaError("min_confidence must be from 0 to 1".to_owned()));
        }
        let intents = allow_list(rules.intents)?;
        let known = |name: &String| match intents.is_empty() || intents.contains_key(&key(name)) {
            true => Ok(key(name)),
            false => Err(SchemaError(format!("\"{name}\" is not one of the allowed intents"))),
        };
        let high_risk = rules.high_risk.iter().map(known).collect::<Result<_, _>>()?;
        let parameters = by_intent(rules.parameters, known)?;
        Ok(Self { intents, parameters, high_risk, min_confidence: rules.min_confidence })
    }

    /// Rules that parameters break, by names that the operator has listed.
    pub(super) fn parameter_violations(&self, fields: &Map<String, Value>) -> Vec<String> {
        let intent = fields.get("classified_intent").and_then(Value::as_str).map(key);
        let allowed = intent.and_then(|intent| self.parameters.get(&intent));
        let values = fields.get("extracted_parameters").and_then(Value::as_object);
        let (Some(allowed), Some(values)) = (allowed, values) else { return Vec::new() };
        let unfit = |value: &Value| match value {
            Value::Array(_) | Value::Object(_) => true,
            scalar => !are_short(scalar),
        };
        values
            .iter()
            .filter(|(name, value)| allowed.contains(*name) && unfit(value))
            .map(|(name, _)| {
                format!(
                    "extracted_parameters.{name}: must be a string of at most 256 characters, a number or a boolean"
                )
            })
            .collect()
    }

    /// Settles the intent and its parameters, and who has to answer. It only ever asks for a human, never against one.
    pub(super) fn apply(&self, decision: &mut Decision) {
        let key = key(&decision.classified_intent);
        if let Some(allowed) = self.parameters.get(&key) {
            decision.extracted_parameters.retain(|name, _| allowed.contains(name));
        }
        let unknown = key == UNKNOWN_INTENT.to_lowercase();
        match self.intents.get(&key) {
            Some(spelling) if !unknown => decision.classified_intent.clone_from(spelling),
            None if !unknown && self.intents.is_empty() => {}
            _ => {
                UNKNOWN_INTENT.clone_into(&mut decision.classified_intent);
                decision.requires_human_agent = true;
            }
        }
        let unsure = self.min_confidence.is_some_and(|least| decision.confidence < least);
        if unsure || self.high_risk.contains(&key) {
            decision.requires_human_agent = true;
        }
    }
}

/// Whether no string inside a value is too long for the value of a parameter.
pub(super) fn are_short(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().count() <= MAX_VALUE,
        Value::Array(items) => items.iter().all(are_short),
        Value::Object(fields) => fields.values().all(are_short),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn allow_list(names: Vec<String>) -> Result<HashMap<String, String>, SchemaError> {
    let mut intents = HashMap::new();
    for name in names {
        if name.trim().is_empty() || name.trim() != name || name.chars().count() > 128 {
            return Err(SchemaError(format!(
                "the intent \"{name}\" must have 1 to 128 characters and no outer blanks"
            )));
        }
        if let Some(twin) = intents.insert(key(&name), name) {
            return Err(SchemaError(format!("the intent \"{twin}\" is listed twice")));
        }
    }
    Ok(intents)
}

fn by_intent(
    parameters: BTreeMap<String, Vec<String>>,
    known: impl Fn(&String) -> Result<String, SchemaError>,
) -> Result<HashMap<String, HashSet<String>>, SchemaError> {
    parameters.into_iter().map(|(intent, names)| Ok((known(&intent)?, names.into_iter().collect()))).collect()
}
