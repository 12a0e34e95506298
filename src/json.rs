//! Reading JSON of a known shape.

use serde::Deserialize;

/// What [`serde_json::from_slice`] reads, at less cost: whether it is UTF-8 is seen of the whole text at once, and not of each
/// string again.
///
/// # Errors
/// As [`serde_json::from_slice`].
pub fn read<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> serde_json::Result<T> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        // What nobody reads of it may be broken.
        Err(_) => serde_json::from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Known {
        a: String,
    }

    #[test]
    fn it_is_read_as_serde_json_reads_it() {
        for bytes in [
            &br#"{"a":"\u00e9"}"#[..],
            "{\"b\":[1],\"a\":\"é\"}".as_bytes(),
            b"{\"b\":\"\xff\",\"a\":\"x\"}",
            b"{\"a\":\"\xff\"}",
            br#"{"a":1}"#,
            b"",
        ] {
            let (ours, theirs) = (read::<Known>(bytes), serde_json::from_slice::<Known>(bytes));
            assert_eq!(ours.map_err(|error| error.to_string()), theirs.map_err(|error| error.to_string()));
        }
    }
}
