//! The filters our templates have beyond Tera's own.

use tera::{Kwargs, State, TeraResult, Value};

/// `json`: the value as compact JSON in which `<` is written `\u003c`. In JSON a `<` can only stand inside a string,
/// where the two mean the same; so no text can contain the mark that closes the data block.
pub(super) fn json(value: &Value, _: Kwargs, _: &State<'_>) -> TeraResult<String> {
    let text = serde_json::to_string(value).map_err(|_| tera::Error::message("value has no JSON form"))?;
    Ok(if text.contains('<') { text.replace('<', "\\u003c") } else { text })
}
