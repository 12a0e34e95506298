//! Taking the fields of one JSON object, and noting every rule that one of them breaks.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Problem;

/// Longest identifier: Cognigy's own limit for user and session ids.
const LONGEST_IDENTIFIER: usize = 256;

/// One object of the body, and where in it we are. Problems name a place and a rule, never a value; places are made of the
/// contract's names and of positions, none of which needs the escapes of RFC 6901.
pub(super) struct Fields<'a> {
    object: Map<String, Value>,
    place: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// The fields of the whole body.
    pub(super) fn of_body(object: Map<String, Value>, problems: &'a mut Vec<Problem>) -> Self {
        Self { object, place: String::new(), problems }
    }

    /// Takes a field out; `null` is the same as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Notes a broken rule of the field `name`.
    pub(super) fn problem(&mut self, name: &str, message: impl Into<Cow<'static, str>>) {
        self.problems.push(Problem { pointer: format!("{}/{name}", self.place), message: message.into() });
    }

    /// A value read from the field, if it is there and `read` accepts it; `rule` is the problem otherwise.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        rule: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.take(name)?);
        if value.is_none() {
            self.problem(name, rule);
        }
        value
    }

    /// A field that must be there, read by `read`.
    pub(super) fn required<T>(&mut self, name: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.problem(name, "is required");
            return None;
        }
        read(self, name)
    }

    /// Any string.
    pub(super) fn string(&mut self, name: &str) -> Option<String> {
        self.read(name, "must be a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A string of at most `most` characters.
    pub(super) fn text(&mut self, name: &str, most: usize) -> Option<String> {
        let text = self.string(name)?;
        // No string has more characters than bytes: counting is for the few that are near the limit.
        if text.len() > most && text.chars().count() > most {
            self.problem(name, format!("must have at most {most} characters"));
            return None;
        }
        Some(text)
    }

    /// A name that a system gave: short, and without control characters.
    pub(super) fn name(&mut self, name: &str) -> Option<String> {
        let text = self.text(name, LONGEST_IDENTIFIER)?;
        if text.chars().any(char::is_control) {
            self.problem(name, "must not contain control characters");
            return None;
        }
        Some(text)
    }

    /// A name that is not blank.
    pub(super) fn identifier(&mut self, name: &str) -> Option<String> {
        let text = self.name(name)?;
        if text.trim().is_empty() {
            self.problem(name, "must not be blank");
            return None;
        }
        Some(text)
    }

    /// A name, where blank means absent: a flow's expression that finds nothing yields an empty string, and an empty
    /// `inputId` taken at its word would make every message of a conversation the same one.
    pub(super) fn optional_identifier(&mut self, name: &str) -> Option<String> {
        self.name(name).filter(|text| !text.trim().is_empty())
    }

    /// An object's own fields.
    pub(super) fn object(&mut self, name: &str) -> Option<Fields<'_>> {
        let object = self.read(name, "must be an object", |value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        })?;
        Some(Fields { object, place: format!("{}/{name}", self.place), problems: self.problems })
    }

    /// An array of at most `most` objects, each read by `read`. Of a longer one nothing is read.
    pub(super) fn list<T>(&mut self, name: &str, most: usize, read: impl Fn(&mut Fields<'_>) -> Option<T>) -> Vec<T> {
        let items = self.read(name, "must be an array", |value| match value {
            Value::Array(items) => Some(items),
            _ => None,
        });
        let items = items.unwrap_or_default();
        if items.len() > most {
            self.problem(name, format!("must have at most {most} entries"));
            return Vec::new();
        }
        items.into_iter().enumerate().filter_map(|(index, item)| self.item(name, index, item, &read)).collect()
    }

    fn item<T>(
        &mut self,
        name: &str,
        index: usize,
        item: Value,
        read: impl Fn(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let Value::Object(object) = item else {
            self.problem(&format!("{name}/{index}"), "must be an object");
            return None;
        };
        let place = format!("{}/{name}/{index}", self.place);
        read(&mut Fields { object, place, problems: self.problems })
    }
}
