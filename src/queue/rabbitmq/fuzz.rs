//! Doors for `tests/fuzz`: only there is this compiled.

use lapin::{
    protocol::BasicProperties,
    types::{AMQPValue, FieldArray, FieldTable},
};
use serde_json::{Map, Value};

use super::headers;

/// Reads a message's headers, given as JSON.
///
/// # Panics
/// When what was read is not what is read after writing it again.
pub fn read_headers(fields: &Map<String, Value>) {
    let properties = BasicProperties::default().with_headers(table(fields));
    let _ = (headers::decode_what_is_there(&properties), headers::returns(&properties, false));
    let _ = headers::unreadable(&properties);
    if let Ok(envelope) = headers::decode(&properties, "fr.work") {
        let again = headers::decode(&headers::encode(&envelope, "work"), "fr.work");
        assert_eq!(again.as_ref(), Ok(&envelope));
    }
}

fn table(fields: &Map<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        // Longer names do not fit into AMQP.
        if name.len() <= 255 {
            table.insert(name.as_str().into(), amqp(value));
        }
    }
    table
}

/// A value in one of the types that other clients choose for it.
fn amqp(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(yes) => AMQPValue::Boolean(*yes),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(small), ..) if i8::try_from(small).is_ok() => AMQPValue::ShortShortInt(small as i8),
            (Some(small), ..) if i32::try_from(small).is_ok() => AMQPValue::LongInt(small as i32),
            (Some(large), ..) => AMQPValue::LongLongInt(large),
            (_, Some(larger), _) => AMQPValue::Timestamp(larger),
            (.., float) => AMQPValue::Double(float.unwrap_or(0.0)),
        },
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(items) => AMQPValue::FieldArray(FieldArray::from(items.iter().map(amqp).collect::<Vec<_>>())),
        Value::Object(fields) => AMQPValue::FieldTable(table(fields)),
    }
}
