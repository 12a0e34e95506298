//! The five fields of a decision: what is tolerated before validation, and the typed result after it.

use serde_json::{Map, Number, Value};

use super::{Decision, Invalid};

/// The fields of a decision, in the order of the outcome.
pub(super) const NAMES: [&str; 5] =
    ["classified_intent", "confidence", "extracted_parameters", "suggested_response", "requires_human_agent"];

/// The tolerated deviations, no more: other fields are dropped, absent parameters are none, a decimal string is a
/// confidence, and `"true"` and `"false"` are booleans.
pub(super) fn coerce(fields: &mut Map<String, Value>) {
    fields.retain(|name, _| NAMES.contains(&name.as_str()));
    fields.entry("extracted_parameters").or_insert_with(|| Value::Object(Map::new()));
    if let Some(Value::String(text)) = fields.get("confidence")
        && let Some(number) = decimal(text)
    {
        fields.insert("confidence".to_owned(), Value::Number(number));
    }
    if let Some(value) = fields.get_mut("requires_human_agent") {
        match value.as_str() {
            Some("true") => *value = Value::Bool(true),
            Some("false") => *value = Value::Bool(false),
            _ => {}
        }
    }
}

/// Digits, and maybe a point and more digits: no sign, exponent, comma, percent or blank.
fn decimal(text: &str) -> Option<Number> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| (1..=20).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if !digits(whole) || !digits(fraction) || leading_zero {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

/// The typed decision of validated fields.
pub(super) fn decision(mut fields: Map<String, Value>) -> Result<Decision, Invalid> {
    let mut take = |name: &'static str| (name, fields.remove(name).unwrap_or(Value::Null));
    let mistyped = |name: &str| Invalid::new("schema_violation", format!("{name}: has the wrong type"));
    let text = |(name, value): (&str, Value)| match value {
        Value::String(text) => Ok(text),
        _ => Err(mistyped(name)),
    };
    let [intent, confidence, parameters, response, human] = NAMES.map(&mut take);
    Ok(Decision {
        classified_intent: text(intent)?,
        // Adding zero turns -0.0 into 0.0.
        confidence: confidence.1.as_f64().ok_or_else(|| mistyped(confidence.0))? + 0.0,
        extracted_parameters: match parameters.1 {
            Value::Object(parameters) => parameters,
            _ => return Err(mistyped(parameters.0)),
        },
        suggested_response: text(response)?,
        requires_human_agent: human.1.as_bool().ok_or_else(|| mistyped(human.0))?,
    })
}
