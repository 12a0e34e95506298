//! What of a trigger may be shown to a model, or stored: cleaned first, so that nothing invisible hides a card number
//! from the redactor, then masked.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::HistoryLimits;
use crate::{
    conversation::Conversation,
    customer_text,
    prompt::{Intent, Prompt, PromptInput, TemplateError, TemplateSet},
    redaction::{RedactionRules, Redactor},
    story::{Told, cut},
    trigger::TriggerBody,
};

/// Stands for a turn of which the channel has masked a part: what is left of it is not sent either.
const MASKED_TURN: &str = "[MASKED]";

/// Longest time that a turn may bear, in characters, and what it is written with: times in every spelling that machines
/// have. Anything longer or other is somebody's words.
const LONGEST_TIME: usize = 40;
const OF_TIMES: &str = "0123456789TtZz:.+- /,";

/// Stands for the ids of a conversation and its customer in what is kept: no template sees them.
const STAND_IN: &str = "not-kept";

/// The prompt of a trigger with the history it brings, for those who write templates.
///
/// # Errors
/// When a template does not render for it.
pub fn preview(
    templates: &TemplateSet,
    redaction: &RedactionRules,
    intents: &[Intent],
    limits: HistoryLimits,
    body: &TriggerBody,
) -> Result<Prompt, TemplateError> {
    let mut redactor = Redactor::new(redaction);
    let turns = Conversation { turns: body.history.clone(), ..Conversation::default() };
    let trigger = trigger(body, &mut redactor);
    let conversation = conversation(turns, limits, &mut redactor);
    let block_id = block_id();
    templates.render(&PromptInput { trigger: &trigger, conversation: &conversation, intents, block_id: &block_id })
}

/// A mark for the data block of one request that no customer can guess.
pub(super) fn block_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// What a template may see of a conversation.
pub(super) fn conversation(
    conversation: Conversation,
    limits: HistoryLimits,
    redactor: &mut Redactor<'_>,
) -> Conversation {
    let mut conversation = conversation.last(limits.max_turns, limits.max_characters);
    for turn in &mut conversation.turns {
        let clean = customer_text::clean(&turn.text);
        let masked = customer_text::is_masked(&clean);
        turn.text = if masked { MASKED_TURN.to_owned() } else { redactor.redact(&clean).into_owned() };
        turn.timestamp = turn.timestamp.take().filter(|time| is_time(time) && is_harmless(time, redactor));
    }
    conversation
}

/// What a template may see of a trigger. Its history is left out: templates get the conversation instead.
pub(super) fn trigger(body: &TriggerBody, redactor: &mut Redactor<'_>) -> TriggerBody {
    let mut body = TriggerBody { history: Vec::new(), ..body.clone() };
    body.last_message = text(&body.last_message, redactor);
    body.detected_intent = body.detected_intent.map(|intent| text(&intent, redactor));
    for candidate in &mut body.candidates {
        candidate.name = text(&candidate.name, redactor);
        candidate.description = candidate.description.take().map(|description| text(&description, redactor));
    }
    body.metadata = metadata(body.metadata, redactor);
    body.channel = body.channel.map(|channel| text(&channel, redactor));
    // A language tag holds up to 35 letters and digits of anybody's choice; masked it would be none.
    body.language = body.language.filter(|language| is_harmless(language, redactor));
    body
}

fn is_time(text: &str) -> bool {
    text.len() <= LONGEST_TIME && text.chars().all(|c| OF_TIMES.contains(c))
}

/// True if there is nothing to mask in a text.
fn is_harmless(text: &str, redactor: &mut Redactor<'_>) -> bool {
    matches!(redactor.redact(text), Cow::Borrowed(_))
}

/// What an outcome may echo of a trigger's metadata, and a template may see.
pub(super) fn metadata(metadata: Map<String, Value>, redactor: &mut Redactor<'_>) -> Map<String, Value> {
    let mut value = Value::Object(metadata);
    clean(&mut value);
    redactor.redact_value(&mut value);
    match value {
        Value::Object(metadata) => metadata,
        _ => Map::new(),
    }
}

/// Cleans and masks every string in a value: what may be shown to an operator of somebody's words.
pub fn redact(value: &mut Value, rules: &RedactionRules) {
    clean(value);
    Redactor::new(rules).redact_value(value);
}

/// Cleans every string in a value, names of fields included.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(cleaned) = customer_text::clean(text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            fields.values_mut().for_each(clean);
            if fields.keys().any(|name| matches!(customer_text::clean(name), Cow::Owned(_))) {
                let cleaned = |(name, value): (String, Value)| (customer_text::clean(&name).into_owned(), value);
                *fields = std::mem::take(fields).into_iter().map(cleaned).collect();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A trigger as [`trigger`] shows it and its conversation, in the form of a request: what would render the same prompt.
/// The ids that a request must have are none of a customer's.
pub(super) fn request(body: &TriggerBody, conversation: &Conversation) -> Value {
    let mut request = json!({
        "conversationId": STAND_IN,
        "userId": STAND_IN,
        "lastMessage": body.last_message,
        "confidenceScore": body.confidence_score,
        "detectedIntent": body.detected_intent,
        "metadata": body.metadata,
        "language": body.language,
        "channel": body.channel,
        "candidates": body.candidates,
        "history": conversation.turns,
    });
    if let Value::Object(fields) = &mut request {
        fields.retain(|_, value| !matches!(value, Value::Null) && *value != json!([]) && *value != json!({}));
    }
    request
}

/// What was told, with the model's words redacted like the customer's.
pub(super) fn told(mut told: Told, redactor: &mut Redactor<'_>) -> Told {
    for answer in &mut told.answers {
        answer.text = cut(&redactor.redact(&answer.text));
    }
    told
}

fn text(text: &str, redactor: &mut Redactor<'_>) -> String {
    redactor.redact(&customer_text::clean(text)).into_owned()
}
