//! JSON without surprises: duplicate keys, trailing data, a byte order mark and deep nesting are errors.
//!
//! RFC 8259 leaves the meaning of duplicate keys open and `serde_json::Value` silently keeps the last one, so two readers
//! of one signed body could see two different documents. Here such a body has no meaning at all.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};

/// The deepest nesting that [`parse`] can be asked to accept: one level below where `serde_json` itself gives up.
pub const DEEPEST: usize = 126;

/// Why a text is not acceptable JSON. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all, a number out of range, or data after the document.
    #[error("not valid JSON")]
    Syntax,
    /// An object names the same key twice.
    #[error("an object has the same key twice")]
    DuplicateKey,
    /// Nested deeper than allowed.
    #[error("nested too deeply")]
    TooDeep,
}

/// Parses one JSON document of at most `max_depth` (never more than [`DEEPEST`]) nested arrays and objects; a scalar has
/// depth 0. Integers beyond 64 bits become the nearest double, as in `serde_json`.
///
/// # Errors
/// [`JsonError`], for the first thing that is wrong.
pub fn parse(text: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    let fault = Cell::new(None);
    let seed = Node { depth_left: max_depth.min(DEEPEST), fault: &fault };
    // Seen of the whole text at once, and not of each string again.
    let text = std::str::from_utf8(text).map_err(|_| JsonError::Syntax)?;
    let mut document = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut document).map_err(|_| fault.get().unwrap_or(JsonError::Syntax))?;
    document.end().map_err(|_| JsonError::Syntax)?;
    Ok(value)
}

/// One value at some depth. Serde's errors carry only text, so the kind of a fault of ours travels in the cell.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth_left: usize,
    fault: &'a Cell<Option<JsonError>>,
}

impl Node<'_> {
    fn child<E: Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.fail(JsonError::TooDeep)),
        }
    }

    fn fail<E: Error>(self, fault: JsonError) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.fail(JsonError::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let child = self.child()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(child)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let child = self.child()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Entry::Vacant(free) = object.entry(key) else {
                return Err(self.fail(JsonError::DuplicateKey));
            };
            free.insert(entries.next_value_seed(child)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &[u8]) -> Option<JsonError> {
        parse(text, 3).err()
    }

    #[test]
    fn only_one_plain_document_is_accepted() {
        use JsonError::{DuplicateKey, Syntax, TooDeep};
        for (text, expected) in [
            (&br#"{"a":1,"b":[true,null,"x"]}"#[..], None),
            (b" \t\r\n 1.5 \n", None),
            (br#"{"a":{"x":1},"b":{"x":1}}"#, None),
            (b"[[[1]]]", None),
            (br#"{"":1}"#, None),
            (b"1e-400", None),
            (b"", Some(Syntax)),
            (b" ", Some(Syntax)),
            (b"{}{}", Some(Syntax)),
            (b"{} x", Some(Syntax)),
            (b"1\0", Some(Syntax)),
            (b"\xEF\xBB\xBF{}", Some(Syntax)),
            (b"\xFE\xFF\0{\0}", Some(Syntax)),
            (b"NaN", Some(Syntax)),
            (b"Infinity", Some(Syntax)),
            (b"-Infinity", Some(Syntax)),
            (b"1e999", Some(Syntax)),
            (b"[-1e999]", Some(Syntax)),
            (b"01", Some(Syntax)),
            (b"+1", Some(Syntax)),
            (b".5", Some(Syntax)),
            (b"1.", Some(Syntax)),
            (b"0x1", Some(Syntax)),
            (b"'a'", Some(Syntax)),
            (b"\"\x01\"", Some(Syntax)),
            (b"\"\xFF\"", Some(Syntax)),
            (br#""\ud800""#, Some(Syntax)),
            (br#"{"a":1,}"#, Some(Syntax)),
            (b"[1,]", Some(Syntax)),
            (b"// c\n1", Some(Syntax)),
            (br#"{"a":1,"a":1}"#, Some(DuplicateKey)),
            (br#"{"a":1,"b":2,"\u0061":3}"#, Some(DuplicateKey)),
            (br#"[{"a":{"k":1,"k":2}}]"#, Some(DuplicateKey)),
            (br#"{"":1,"":1}"#, Some(DuplicateKey)),
            (b"[[[[1]]]]", Some(TooDeep)),
            (br#"{"a":{"a":{"a":{}}}}"#, Some(TooDeep)),
        ] {
            assert_eq!(fault(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn the_value_is_the_one_that_serde_json_gives() {
        for text in
            [r#"{"b":-1,"a":[18446744073709551615,1e2,0.1,-0.0,"é\n\u0000",{"z":{}}]}"#, "null", "-9e18", "\"\""]
        {
            assert_eq!(
                parse(text.as_bytes(), DEEPEST).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_that_serde_json_reserves_for_itself_is_a_plain_key() {
        let value = parse(br#"{"$serde_json::private::RawValue":"[1]"}"#, 3).unwrap();
        assert!(value.is_object(), "read as raw JSON");
    }

    #[test]
    fn the_depth_limit_holds_at_its_edge_and_cannot_exceed_the_deepest() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        for (depth, limit, expected) in [
            (0, 0, Some(JsonError::Syntax)),
            (1, 0, Some(JsonError::TooDeep)),
            (1, 1, None),
            (DEEPEST, DEEPEST, None),
            (DEEPEST + 1, DEEPEST, Some(JsonError::TooDeep)),
            (DEEPEST + 1, usize::MAX, Some(JsonError::TooDeep)),
            (100_000, usize::MAX, Some(JsonError::TooDeep)),
        ] {
            assert_eq!(parse(nested(depth).as_bytes(), limit).err(), expected, "{depth} within {limit}");
        }
    }
}
