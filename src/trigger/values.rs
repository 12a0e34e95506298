//! Single values of the body: the rules that need no place.

use std::io;

use serde_json::Value;

use crate::conversation::Role;

/// Nesting of `metadata`, itself included.
const DEEPEST_METADATA: usize = 16;

/// Size of `metadata`, written without white space.
const LARGEST_METADATA: usize = 32 * 1024;

/// Longest language tag that RFC 5646 (§4.4.1) asks everyone to store.
const LONGEST_LANGUAGE: usize = 35;

/// A number from 0 to 1, or such a number in a string: a flow's expressions yield strings.
pub(super) fn score(value: Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => decimal(&text),
        _ => None,
    };
    number.filter(|score| (0.0..=1.0).contains(score))
}

/// The grammar of JSON numbers and nothing beside it: no `NaN`, `inf`, `+1`, `.5`, `1.`, `0x1`, `1_0`, `0,5` or white space.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
    plain.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Milliseconds from acceptance to deadline. JSON knows numbers only: `5000.0` is as whole as `5000`.
pub(super) fn deadline_ms(value: Value) -> Option<u64> {
    let span = value.as_f64().filter(|span| span.fract() == 0.0 && (1_000.0..=300_000.0).contains(span))?;
    Some(span as u64)
}

/// Who spoke.
pub(super) fn role(value: Value) -> Option<Role> {
    match value.as_str()? {
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        "agent" => Some(Role::Agent),
        _ => None,
    }
}

/// Only passed on, so both spellings of time that flows have (ISO 8601, and milliseconds as a number) will do.
pub(super) fn timestamp(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Subtags of 1 to 8 letters and digits, joined by `-`, beginning with a letter. Whether they are registered is nobody's
/// business here: an unknown language gets the safe answer's default one.
pub(super) fn is_language_tag(text: &str) -> bool {
    let subtag = |subtag: &str| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= LONGEST_LANGUAGE && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.split('-').all(subtag)
}

/// What `metadata` breaks, if anything.
pub(super) fn broken_rule_of_metadata(value: &Value) -> Option<&'static str> {
    if !value.is_object() {
        Some("must be an object")
    } else if depth(value) > DEEPEST_METADATA {
        Some("must not be nested deeper than 16 levels")
    } else if size(value) > LARGEST_METADATA {
        Some("must have at most 32768 bytes")
    } else {
        None
    }
}

/// Levels of arrays and objects. The parser bounded them, so the recursion is bounded too.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn size(value: &Value) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

/// Counts what is written and keeps nothing.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_score_is_a_number_from_0_to_1_or_its_text() {
        for (value, expected) in [
            (json!(0), Some(0.0)),
            (json!(1), Some(1.0)),
            (json!(0.75), Some(0.75)),
            (json!("0.75"), Some(0.75)),
            (json!("1"), Some(1.0)),
            (json!("1e-7"), Some(1e-7)),
            (json!("-0"), Some(0.0)),
            (json!(1.0000001), None),
            (json!(-0.1), None),
            (json!(92), None),
            (json!("92"), None),
            (json!("1.1"), None),
            (json!("-0.1"), None),
        ] {
            assert_eq!(score(value.clone()), expected, "{value}");
        }
        for text in [
            "", " ", " 0.5", "0.5 ", "0.5\n", "+0.5", ".5", "1.", "00.5", "0,5", "50%", "NaN", "nan", "inf",
            "Infinity", "0x1", "0b1", "1_0", "0.5f", "1e999", "true", "null", "\"0.5\"", "٠.٥", "０.５", "1-1", "e",
            "--0",
        ] {
            assert_eq!(score(json!(text)), None, "{text:?}");
        }
        for value in [json!(true), json!([0.5]), json!({"score": 0.5})] {
            assert_eq!(score(value.clone()), None, "{value}");
        }
    }

    #[test]
    fn a_language_tag_has_short_subtags() {
        for (text, expected) in [
            ("de", true),
            ("en-US", true),
            ("zh-Hant-TW", true),
            ("sl-rozaj-biske-1994", true),
            ("x-private", true),
            ("en_US", false),
            ("en-", false),
            ("-en", false),
            ("en--US", false),
            ("1994", false),
            ("en US", false),
            ("en-US.UTF-8", false),
            ("englishlanguage", false),
            ("dé", false),
            ("aa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaa", true),
            ("aa-aaaaaaaa-aaaaaaaa-aaaaaaaa-aaaaaa", false),
        ] {
            assert_eq!(is_language_tag(text), expected, "{text}");
        }
    }

    #[test]
    fn metadata_is_measured_without_white_space_and_by_levels() {
        let padded = |bytes: usize| json!({ "k": "x".repeat(bytes - r#"{"k":""}"#.len()) });
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "k": inner }));
        for (value, expected) in [
            (json!({}), None),
            (padded(LARGEST_METADATA), None),
            (padded(LARGEST_METADATA + 1), Some("must have at most 32768 bytes")),
            (nested(16), None),
            (nested(17), Some("must not be nested deeper than 16 levels")),
            (json!([]), Some("must be an object")),
            (json!("{}"), Some("must be an object")),
        ] {
            assert_eq!(broken_rule_of_metadata(&value), expected);
        }
    }
}
