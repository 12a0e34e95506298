//! Text of a completion → the one JSON object in it.

use serde_json::{Map, Value};

use super::{Invalid, MAX_ANSWER_BYTES, MAX_DEPTH};
use crate::strict_json::{self, JsonError};

/// Marks that reasoning models put around their thoughts.
const THOUGHTS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// Finds the one object of an answer: the whole text, or what a code fence holds, or the only object within prose.
///
/// Two different objects are an error and not a choice: whichever rule picked one of them, a customer whose words the
/// model repeats could try to be picked.
pub(super) fn object(answer: &str) -> Result<Map<String, Value>, Invalid> {
    if answer.len() > MAX_ANSWER_BYTES {
        return Err(Invalid::new("too_large", "answer: must be shorter than 64 KiB"));
    }
    let text = without_fence(without_thoughts(stripped(answer)));
    if text.is_empty() {
        return Err(Invalid::new("empty", "answer: must hold one JSON object"));
    }
    match strict_json::parse(text.as_bytes(), MAX_DEPTH) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Invalid::new("not_an_object", "answer: must be a JSON object")),
        Err(JsonError::Syntax) => only_object(text),
        Err(error) => Err(unreadable(error)),
    }
}

fn stripped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// Leaves out leading thoughts. Thoughts that never end leave nothing. Where a server kept the opening mark to itself,
/// the closing one ends them, unless an object has begun before it: then it may be a part of that object.
fn without_thoughts(mut text: &str) -> &str {
    while let Some((open, close)) = THOUGHTS.iter().find(|(open, _)| text.starts_with(open)) {
        text = text[open.len()..].find(close).map_or("", |at| stripped(&text[open.len() + at + close.len()..]));
    }
    for (_, close) in THOUGHTS {
        if let Some(at) = text.find(close)
            && !text[..at].contains('{')
        {
            return stripped(&text[at + close.len()..]);
        }
    }
    text
}

/// The inside of a code fence, when the text is that fence and nothing else.
fn without_fence(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")).unwrap_or(text);
    if inside.len() == text.len() || inside.contains("```") {
        return text;
    }
    let language = inside.len() - inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).len();
    stripped(&inside[language..])
}

/// The only distinct object within other text.
///
/// A brace opens an object when a quote or the closing brace follows; others are prose. What opens like an object and
/// is none (cut off, or broken) spoils the whole answer: one must not fall back to what stands inside or after it.
/// Each byte is looked at a fixed number of times.
fn only_object(text: &str) -> Result<Map<String, Value>, Invalid> {
    let mut found: Option<Map<String, Value>> = None;
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        if !rest[1..].trim_start().starts_with(['"', '}']) {
            rest = &rest[1..];
            continue;
        }
        let end = balanced(rest).ok_or_else(|| unreadable(JsonError::Syntax))?;
        let Value::Object(fields) = strict_json::parse(&rest.as_bytes()[..end], MAX_DEPTH).map_err(unreadable)? else {
            return Err(unreadable(JsonError::Syntax));
        };
        if found.as_ref().is_some_and(|first| *first != fields) {
            return Err(Invalid::new("ambiguous", "answer: must hold one JSON object, not several"));
        }
        found = Some(fields);
        rest = &rest[end..];
    }
    found.ok_or_else(|| unreadable(JsonError::Syntax))
}

/// Length of the object at the beginning of `text`, braces within strings left aside.
fn balanced(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

fn unreadable(error: JsonError) -> Invalid {
    match error {
        JsonError::Syntax => Invalid::new("invalid_json", "answer: must be one whole JSON object"),
        JsonError::DuplicateKey => Invalid::new("invalid_json", "answer: must not have the same key twice"),
        JsonError::TooDeep => Invalid::new("too_large", "answer: must not be nested deeper than 32"),
    }
}
