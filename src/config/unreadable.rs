//! What the `config` crate says about settings that it cannot read, told without the value: it may be a secret.

use std::{error::Error, io};

use config::ConfigError;

const LISTED: &str = "`cfr check-config --reference` lists what would be right";

/// Which key is wrong, what stands there, and what would be right.
pub(super) fn sentence(error: &ConfigError) -> String {
    match error {
        ConfigError::NotFound(key) => format!("{key}: is not set"),
        ConfigError::Type { unexpected, expected, key, .. } => {
            at(key.as_deref(), &of_type(&unexpected.to_string(), expected))
        }
        ConfigError::At { error, key, .. } => at(key.as_deref(), &sentence(error)),
        ConfigError::Message(text) => of_message(text),
        ConfigError::FileParse { uri, cause } => at(uri.as_deref(), &of_syntax(cause.as_ref())),
        // What the system says of a file holds nothing of what is in it.
        ConfigError::Foreign(cause) if cause.is::<io::Error>() => cause.to_string(),
        _ => "cannot be read".to_owned(),
    }
}

fn at(place: Option<&str>, sentence: &str) -> String {
    place.map_or_else(|| sentence.to_owned(), |place| format!("{place}: {sentence}"))
}

/// The sentences of serde and of the types themselves. Those that are not known here may quote the value.
fn of_message(text: &str) -> String {
    // The value stands between the two, and may say ", expected " itself.
    let (front, expected) = text.rsplit_once(", expected ").unwrap_or((text, ""));
    if let Some(found) = front.strip_prefix("invalid type: ") {
        return of_type(found, expected);
    }
    if front.starts_with("invalid value: ") || front.starts_with("invalid length ") {
        return format!("cannot be used; {} would be right", plain(expected));
    }
    // These quote only the names of keys.
    if front.starts_with("unknown field `") || front.starts_with("duplicate field `") {
        return text.to_owned();
    }
    match text {
        "invalid socket address syntax" => {
            "is not an address with its port; 0.0.0.0:8000 or [::]:8000 would be right".to_owned()
        }
        "invalid IP address syntax" => "is not a network; 10.0.0.0/8 or fd00::/8 would be right".to_owned(),
        _ if text.starts_with("enum ") => format!("is none of the words that it can be; {LISTED}"),
        _ => format!("cannot be used; {LISTED}"),
    }
}

fn of_type(found: &str, expected: &str) -> String {
    format!("is {}; {} would be right", kind(found), plain(expected))
}

/// The kind of a value, from what `config` and serde call it in front of the value.
fn kind(found: &str) -> &'static str {
    let begins = |words: &[&str]| words.iter().any(|word| found.starts_with(word));
    if begins(&["string"]) {
        "a string"
    } else if begins(&["boolean"]) {
        "a boolean"
    } else if begins(&["integer", "64-bit", "128-bit", "floating point"]) {
        "a number"
    } else if begins(&["sequence"]) {
        "a list"
    } else if begins(&["map"]) {
        "a table"
    } else {
        "of another type"
    }
}

/// What was expected, in the words of TOML.
fn plain(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list, such as [\"a\", \"b\"],",
        "a map" => "a table",
        "a duration" => "a duration, such as \"10s\",",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

/// What is wrong with a file's text, by line and column: the parser itself would show the line.
fn of_syntax(cause: &(dyn Error + 'static)) -> String {
    let Some(error) = cause.downcast_ref::<toml::de::Error>() else {
        return "it is not TOML, or a number in it is out of range".to_owned();
    };
    // The parser tells the line only in front of its picture of it, whose first row names both and shows nothing.
    let picture = error.to_string();
    let place = error.span().and(picture.lines().next());
    at(place, error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sentence_of_serde_or_of_a_type_passes_the_value_on() {
        for (text, expected) in [
            (
                "invalid type: string \"MARKER\", expected a sequence",
                "is a string; a list, such as [\"a\", \"b\"], would be right",
            ),
            ("invalid type: string \"MARKER, expected MARKER\", expected a map", "is a string; a table would be right"),
            ("invalid type: map, expected a string", "is a table; a string would be right"),
            ("invalid type: integer `4711`, expected struct Llm", "is a number; a table would be right"),
            (
                "invalid value: string \"MARKER\", expected a duration",
                "cannot be used; a duration, such as \"10s\", would be right",
            ),
            ("invalid value: integer `0`, expected a nonzero u16", "cannot be used; a nonzero u16 would be right"),
            ("unknown field `key`, expected `a` or `b`", "unknown field `key`, expected `a` or `b`"),
            ("enum Mode does not have variant constructor MARKER", "is none of the words"),
            ("invalid IP address syntax", "is not a network"),
            ("MARKER is no such thing, expected MARKER", "cannot be used; `cfr check-config"),
        ] {
            let said = sentence(&ConfigError::Message(text.to_owned()));
            assert!(said.starts_with(expected) && !said.contains("MARKER") && !said.contains("4711"), "{text}: {said}");
        }
    }
}
