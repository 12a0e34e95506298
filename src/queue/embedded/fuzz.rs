//! Doors for `tests/fuzz`: only there is this compiled.

use super::headers;

/// Reads a message's headers as they stand in the database.
///
/// # Panics
/// When what was read is not what is read after writing it again.
pub fn read_headers(text: &str) {
    if let Some(envelope) = headers::decode(text, 1, None)
        && let Ok(again) = headers::encode(&envelope)
    {
        assert_eq!(headers::decode(&again, 1, None), Some(envelope));
    }
}
