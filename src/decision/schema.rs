//! The JSON Schema of a template set: the one source of what a decision must look like.

use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::{Map, Value, json};

use super::{Invalid, SchemaError, fields};

/// Most rules that a re-ask names.
const MAX_RULES: usize = 20;

/// Compiles a schema and makes sure that it is one of a decision and no weaker than the contract.
pub(super) fn compile(schema: &Value) -> Result<Validator, SchemaError> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| SchemaError(format!("is not a JSON Schema: {error} (at \"{}\")", error.instance_path())))?;
    for name in fields::NAMES {
        if schema["properties"].get(name).is_none() {
            return Err(SchemaError(format!("does not describe \"{name}\"")));
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(other) = required.into_iter().find(|name| !fields::NAMES.contains(name)) {
        return Err(SchemaError(format!("requires \"{other}\", which is no field of a decision")));
    }
    match weakness(&validator) {
        Some(accepted) => Err(SchemaError(format!("must not accept {accepted}"))),
        None => Ok(validator),
    }
}

/// What the contract forbids, tried out: each probe breaks one rule of one field, and the schema must object there.
fn weakness(validator: &Validator) -> Option<String> {
    let long = |length: usize| json!("x".repeat(length));
    let probes = [
        ("classified_intent", "an empty string", json!("")),
        ("classified_intent", "more than 128 characters", long(129)),
        ("classified_intent", "a number", json!(1)),
        ("confidence", "less than 0", json!(-0.01)),
        ("confidence", "more than 1", json!(1.01)),
        ("confidence", "a string", json!("high")),
        ("confidence", "a boolean", json!(true)),
        ("extracted_parameters", "null", Value::Null),
        ("extracted_parameters", "an array", json!([])),
        ("suggested_response", "an empty string", json!("")),
        ("suggested_response", "more than 2,000 characters", long(2_001)),
        ("suggested_response", "null", Value::Null),
        ("requires_human_agent", "a string", json!("yes")),
        ("requires_human_agent", "null", Value::Null),
    ];
    for (name, what, value) in probes {
        let answer = json!({ name: value });
        if !validator.iter_errors(&answer).any(|error| field(&error) == name) {
            return Some(format!("{what} as \"{name}\""));
        }
    }
    let nothing = json!({});
    let missing: Vec<_> = validator.iter_errors(&nothing).filter_map(|error| required(&error)).collect();
    fields::NAMES
        .iter()
        .find(|name| **name != "extracted_parameters" && !missing.iter().any(|field| field == *name))
        .map(|name| format!("an answer without \"{name}\""))
}

/// Validates; on failure names every broken rule, of the schema and of `further`.
pub(super) fn validate(
    validator: &Validator,
    fields: Map<String, Value>,
    further: impl FnOnce(&Map<String, Value>) -> Vec<String>,
) -> Result<Map<String, Value>, Invalid> {
    let mut rules = further(&fields);
    let answer = Value::Object(fields);
    if !validator.is_valid(&answer) {
        let broken: Vec<_> = validator.iter_errors(&answer).take(MAX_RULES).map(|error| line(&error)).collect();
        rules.splice(..0, broken);
    }
    match answer {
        Value::Object(fields) if rules.is_empty() => Ok(fields),
        _ => {
            rules.dedup();
            rules.truncate(MAX_RULES);
            Err(Invalid { code: "schema_violation", rules })
        }
    }
}

/// The top-level field that an error is about; empty for the answer as a whole. Deeper names would be the model's words.
fn field<'n>(error: &ValidationError<'_>) -> &'n str {
    let path = error.instance_path().as_str();
    let first = path.strip_prefix('/').and_then(|path| path.split('/').next());
    fields::NAMES.into_iter().find(|name| first == Some(name)).unwrap_or_default()
}

fn required(error: &ValidationError<'_>) -> Option<String> {
    match error.kind() {
        Kind::Required { property } if error.instance_path().as_str().is_empty() => {
            property.as_str().map(str::to_owned)
        }
        _ => None,
    }
}

fn line(error: &ValidationError<'_>) -> String {
    if let Some(name) = required(error) {
        return format!("{name}: is required");
    }
    let name = match field(error) {
        "" => "answer",
        name => name,
    };
    format!("{name}: {}", rule(error))
}

/// The broken rule in words that hold nothing but the schema's own.
fn rule(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind: TypeKind::Single(wanted) } => format!("must be of type {wanted}"),
        Kind::Type { kind: TypeKind::Multiple(wanted) } => {
            let wanted: Vec<_> = wanted.iter().map(|kind| kind.to_string()).collect();
            format!("must be of type {}", wanted.join(" or "))
        }
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters of plain text"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::Enum { .. } | Kind::Constant { .. } => "must be one of the values that the schema lists".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern {pattern}"),
        Kind::Required { property } => format!("must have the property {property}"),
        _ => format!("breaks the rule \"{}\" of the schema", error.kind().keyword()),
    }
}
