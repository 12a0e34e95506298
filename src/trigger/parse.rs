//! Bytes → [`TriggerBody`]: every rule of the contract, and all broken ones at once.

use std::borrow::Cow;

use serde::Serialize;

use super::TriggerBody;

/// One broken rule: where (JSON pointer, RFC 6901; empty for the whole document) and what is wrong, without the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer of the offending place.
    pub pointer: String,
    /// What the rule is, in words that never repeat what was sent.
    pub message: Cow<'static, str>,
}

impl TriggerBody {
    /// Parses and validates a request body.
    ///
    /// # Errors
    /// Every broken rule of the contract's table, in the order of the fields.
    pub fn parse(_body: &[u8]) -> Result<Self, Vec<Problem>> {
        unimplemented!()
    }
}
