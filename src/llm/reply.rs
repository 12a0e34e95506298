//! A 200 of the gateway: the completion in it, or why it is none.

use serde_json::Value;

use crate::{json, metrics::labels::Finish, outcome::Usage};

/// What a 200 says.
pub(super) struct Reply {
    /// What it cost; `None` when it does not say.
    pub(super) usage: Option<Usage>,
    /// Parts of that: tokens of the prompt that the provider had cached, and of reasoning before the answer.
    pub(super) details: Details,
    /// Why the model stopped; `None` when there is no choice in it.
    pub(super) finish: Option<Finish>,
    /// The model's words.
    pub(super) content: Result<String, Unusable>,
}

/// Tokens that are cheaper or invisible, as OpenAI and LiteLLM tell them.
#[derive(Clone, Copy, Default)]
pub(super) struct Details {
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

/// Why there are no words to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Not what the interface promises: as good as a 502.
    Malformed,
    /// The model refused, or a filter cut it off.
    Refused,
}

/// Reads the body of a 200. Gateways also say 200 around a proxy's HTML (`html-message`), an error object, no choice at
/// all, or a cut document.
pub(super) fn read(body: &[u8]) -> Reply {
    let mut envelope: Value = json::read(body).unwrap_or(Value::Null);
    let details = details(&envelope["usage"]);
    let usage = usage(&envelope["usage"]);
    let failed = is_error(&envelope["error"]);
    let choice = envelope.get_mut("choices").and_then(|choices| choices.get_mut(0)).map(Value::take);
    let Some(mut choice) = choice.filter(|choice| !failed && is_whole(choice)) else {
        return Reply { usage, details, finish: None, content: Err(Unusable::Malformed) };
    };
    let finish = finish(choice["finish_reason"].as_str().unwrap_or(""));
    let message = choice["message"].take();
    let content = if finish == Finish::ContentFilter || refuses(&message) {
        Err(Unusable::Refused)
    } else {
        text(message).ok_or(Unusable::Malformed)
    };
    Reply { usage, details, finish: Some(finish), content }
}

/// Some servers fill the field in every answer.
fn is_error(error: &Value) -> bool {
    !matches!(error, Value::Null | Value::Bool(false)) && error.as_str() != Some("")
}

/// OpenRouter tells the failure of the model's provider within the choice, with 200 and an empty message around it.
fn is_whole(choice: &Value) -> bool {
    choice["message"].is_object() && !is_error(&choice["error"]) && choice["finish_reason"] != "error"
}

/// OpenAI's words; `max_tokens` in any case is what other providers call `length`, and some gateways do not translate.
fn finish(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" | "max_tokens" | "MAX_TOKENS" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::Tool,
        _ => Finish::Other,
    }
}

/// OpenAI says it in `refusal`, or in a part of the content; LiteLLM moves it to `provider_specific_fields`.
fn refuses(message: &Value) -> bool {
    let said = |refusal: &Value| refusal.as_str().is_some_and(|text| !text.trim().is_empty());
    let in_parts =
        || message["content"].as_array().is_some_and(|parts| parts.iter().any(|part| said(&part["refusal"])));
    said(&message["refusal"]) || said(&message["provider_specific_fields"]["refusal"]) || in_parts()
}

/// The content, its text parts joined; parts of other types, such as reasoning, are left out. Nothing at all is an empty
/// text, unless the model wants to call a tool instead: it has none.
fn text(mut message: Value) -> Option<String> {
    let calls_tool =
        message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty()) || message["function_call"].is_object();
    let text = match message["content"].take() {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(part_text).collect(),
        Value::Null => String::new(),
        _ => return None,
    };
    (!calls_tool || !text.trim().is_empty()).then_some(text)
}

/// The text of a part; a part that is nothing but text is one.
fn part_text(part: &Value) -> Option<&str> {
    if part.is_string() {
        return part.as_str();
    }
    match part["type"].as_str() {
        Some("text" | "output_text") => part["text"].as_str(),
        _ => None,
    }
}

/// No single answer has as many tokens; one that says so knows nothing.
const MOST_TOKENS: u64 = 1_000_000_000;

fn usage(usage: &Value) -> Option<Usage> {
    let (prompt, completion) = (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
    if prompt.max(completion) > Some(MOST_TOKENS) {
        return None;
    }
    (prompt.is_some() || completion.is_some())
        .then(|| Usage { prompt_tokens: prompt.unwrap_or(0), completion_tokens: completion.unwrap_or(0) })
}

fn details(usage: &Value) -> Details {
    let count = |part: &str, name: &str| usage[part][name].as_u64().unwrap_or(0);
    Details {
        cached: count("prompt_tokens_details", "cached_tokens"),
        reasoning: count("completion_tokens_details", "reasoning_tokens"),
    }
}
