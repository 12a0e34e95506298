//! Bytes → [`TriggerBody`]: every rule of the contract, and all broken ones at once.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Candidate, Contact, TriggerBody, fields::Fields, values};
use crate::{conversation::Turn, strict_json};

/// Nesting of the whole body; unknown fields count too.
const DEEPEST: usize = 64;

/// Cognigy's own limit for the text of one input, in characters.
const LONGEST_MESSAGE: usize = 10_000;

/// Longest `detectedIntent`, in characters.
const LONGEST_INTENT: usize = 256;

/// Longest `callbackUrl`, in bytes; whether it may be called is not known here.
const LONGEST_URL: usize = 2048;

/// Entries of `candidates`, and of `history`.
const MOST_ENTRIES: usize = 50;

/// One broken rule: where (JSON pointer, RFC 6901; empty for the whole document) and what is wrong, without the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// JSON pointer of the offending place.
    pub pointer: String,
    /// What the rule is, in words that never repeat what was sent.
    #[schema(value_type = String)]
    pub message: Cow<'static, str>,
}

impl TriggerBody {
    /// Parses and validates a request body. `null` is the same as absent, in the identifiers that may be absent blank is
    /// too, and unknown fields are ignored.
    ///
    /// # Errors
    /// Every broken rule of the contract's table, in the order of the fields.
    pub fn parse(body: &[u8]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let trigger = Self::read(&mut Fields::of_body(object(body)?, &mut problems));
        if problems.is_empty() { Ok(trigger) } else { Err(problems) }
    }

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            conversation_id: fields.required("conversationId", Fields::identifier).unwrap_or_default(),
            user_id: fields.required("userId", Fields::identifier).unwrap_or_default(),
            last_message: fields.required("lastMessage", message).unwrap_or_default(),
            confidence_score: fields.read("confidenceScore", "must be a number from 0 to 1", values::score),
            detected_intent: fields.text("detectedIntent", LONGEST_INTENT),
            metadata: metadata(fields),
            session_id: fields.optional_identifier("sessionId"),
            url_token: fields.optional_identifier("urlToken"),
            channel: fields.optional_identifier("channel"),
            endpoint_type: fields.optional_identifier("endpointType"),
            input_id: fields.optional_identifier("inputId"),
            language: language(fields),
            candidates: fields.list("candidates", MOST_ENTRIES, candidate),
            history: fields.list("history", MOST_ENTRIES, turn),
            contact: fields.object("contact").map(contact).unwrap_or_default(),
            callback_url: callback_url(fields),
            deadline_ms: fields.read("deadlineMs", "must be an integer from 1000 to 300000", values::deadline_ms),
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Vec<Problem>> {
    let whole = |message| vec![Problem { pointer: String::new(), message }];
    match strict_json::parse(body, DEEPEST) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(whole("must be an object".into())),
        Err(error) => Err(whole(error.to_string().into())),
    }
}

fn metadata(fields: &mut Fields<'_>) -> Map<String, Value> {
    let Some(value) = fields.take("metadata") else { return Map::new() };
    if let Some(rule) = values::broken_rule_of_metadata(&value) {
        fields.problem("metadata", rule);
        return Map::new();
    }
    match value {
        Value::Object(metadata) => metadata,
        _ => Map::new(),
    }
}

fn language(fields: &mut Fields<'_>) -> Option<String> {
    let tag = fields.optional_identifier("language")?;
    if !values::is_language_tag(&tag) {
        fields.problem("language", "must be a language tag of BCP 47, such as en-US");
        return None;
    }
    Some(tag)
}

fn callback_url(fields: &mut Fields<'_>) -> Option<String> {
    let url = fields.string("callbackUrl")?;
    if url.len() > LONGEST_URL {
        fields.problem("callbackUrl", format!("must have at most {LONGEST_URL} bytes"));
        return None;
    }
    Some(url)
}

fn message(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    fields.text(name, LONGEST_MESSAGE)
}

// In the two below everything is read before anything is given up, so that all problems come to light.
fn candidate(fields: &mut Fields<'_>) -> Option<Candidate> {
    let name = fields.required("name", Fields::string);
    let score = fields.required("score", |fields, name| fields.read(name, "must be a number", |score| score.as_f64()));
    let description = fields.string("description");
    Some(Candidate { name: name?, score: score?, description })
}

fn turn(fields: &mut Fields<'_>) -> Option<Turn> {
    let role =
        fields.required("role", |fields, name| fields.read(name, "must be user, assistant or agent", values::role));
    let text = fields.required("text", Fields::string);
    let timestamp = fields.read("timestamp", "must be a string or a number", values::timestamp);
    Some(Turn { role: role?, text: text?, timestamp })
}

fn contact(mut fields: Fields<'_>) -> Contact {
    Contact { contact_id: fields.optional_identifier("contactId"), case_id: fields.optional_identifier("caseId") }
}
