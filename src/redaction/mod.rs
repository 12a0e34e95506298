//! Masking what a model, a log or an operator has no business to see.
//!
//! What is found is replaced by a numbered placeholder, so that a model can still tell two cards apart and name one in
//! its answer. Nothing is put back, but into the extracted parameters of a profile that asks for it, and a card number
//! or its security code never. Identifiers (UUIDs, dates, timestamps, `r-00000001`) are left alone: a model
//! that cannot see the order number cannot extract it.

mod cards;
mod codes;
mod digits;
mod ibans;
mod moments;
mod patterns;
mod phones;
mod search;

use std::{borrow::Cow, collections::HashMap, ops::Range};

use serde::Deserialize;
use serde_json::{Map, Number, Value};

pub use self::patterns::{RedactionError, RedactionRules};

/// No card number is as large.
const LARGEST_CARD: f64 = 1e19;

/// What to mask. Everything built in is on by default.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Payment card numbers: 13–19 digits, however grouped, that pass the Luhn check and begin like those of a brand. Also
    /// their security codes: three or four digits beside a word like CVV or CVC, or, where a card was found, CID or
    /// "security code"; and such digits directly after a card or its expiry date.
    pub cards: bool,
    /// International bank account numbers that pass the mod-97 check (ISO 13616).
    pub ibans: bool,
    /// E-mail addresses.
    pub emails: bool,
    /// Telephone numbers written with a `+`, or with separators and a leading zero, or as North Americans group them, or
    /// with an area code in brackets, or as mobile numbers are grouped in China (3-4-4), and, between
    /// blanks, in Spain (3-2-2-2) and India (5-5).
    pub phones: bool,
    /// US social security numbers written with dashes; not those that are never issued (000, 666, 9xx).
    pub ssns: bool,
    /// The operator's own patterns.
    pub patterns: Vec<Pattern>,
    /// Puts what was masked back into the extracted parameters of a decision: a flow that was told "my new address is
    /// …" wants the address. The model never sees it; the outcome then holds it. Card numbers stay masked.
    pub restore: bool,
}

/// A pattern of the operator's.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Word of the placeholder: `CUSTOMER_NUMBER` gives `[CUSTOMER_NUMBER_1]`. Capital letters, digits and `_`.
    pub name: String,
    /// What to mask, in the syntax of the `regex` crate (linear time, no look-around).
    pub regex: String,
}

/// Something to be replaced.
struct Found<'r> {
    range: Range<usize>,
    /// The word of its placeholder; `None` for text that only looks like a placeholder.
    name: Option<&'r str>,
    /// The value in its canonical spelling: what makes two spellings the same.
    value: String,
}

/// Masks sensitive values in the texts of one trigger, with numbered placeholders: the same value gets the same number
/// within one [`Redactor`], so one is made for each trigger.
pub struct Redactor<'r> {
    rules: &'r RedactionRules,
    numbers: HashMap<(&'r str, String), usize>,
    counts: HashMap<&'r str, usize>,
    /// What each placeholder stands for, as it was first written; empty where nothing is put back.
    originals: HashMap<String, String>,
}

impl<'r> Redactor<'r> {
    /// A redactor that has not yet seen any text.
    #[must_use]
    pub fn new(rules: &'r RedactionRules) -> Self {
        Self { rules, numbers: HashMap::new(), counts: HashMap::new(), originals: HashMap::new() }
    }

    /// The text with every sensitive value replaced by its placeholder, e.g. `[CARD_1]`. Text that a customer made look
    /// like a placeholder gets round brackets. Time is linear in the text; most texts come back without a copy.
    pub fn redact<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let card = self.counts.contains_key(patterns::CARD);
        let found = self.rules.find(text, card);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for Found { range, name, value } in found {
            masked.push_str(&text[end..range.start]);
            match name {
                Some(name) => masked.push_str(&self.placeholder(name, value, &text[range.clone()])),
                None => masked.extend(["(", &text[range.start + 1..range.end - 1], ")"]),
            }
            end = range.end + decoration(&text[range.end..]);
        }
        masked.push_str(&text[end..]);
        Cow::Owned(masked)
    }

    /// Redacts every string inside a JSON value, names of fields included, and numbers that are card numbers.
    pub fn redact_value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.redact(text) {
                    *text = masked;
                }
            }
            Value::Number(number) => {
                if let Some(masked) = digits_of(number).and_then(|digits| self.redact_number(&digits)) {
                    *value = Value::String(masked);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            Value::Object(fields) => self.redact_fields(fields),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Puts the originals back for the placeholders in every string inside a value, names of fields excepted. Does nothing
    /// unless [`Config::restore`] asks for it; card numbers are never put back, and text of a customer's that only looks
    /// like a placeholder is none.
    pub fn restore_value(&self, value: &mut Value) {
        if self.originals.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Cow::Owned(restored) = self.rules.restored(text, &self.originals) {
                    *text = restored;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.restore_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.restore_value(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// True once anything was replaced.
    #[must_use]
    pub fn redacted(&self) -> bool {
        !self.numbers.is_empty()
    }

    fn redact_fields(&mut self, fields: &mut Map<String, Value>) {
        for (name, value) in fields.iter_mut() {
            match self.redact_code(name, value) {
                Some(masked) => *value = Value::String(masked),
                None => self.redact_value(value),
            }
        }
        if fields.keys().all(|name| matches!(self.redact(name), Cow::Borrowed(_))) {
            return;
        }
        *fields =
            std::mem::take(fields).into_iter().map(|(name, value)| (self.redact(&name).into_owned(), value)).collect();
    }

    /// Numbers have no separators, so only a card number can be told from any other quantity.
    fn redact_number(&mut self, number: &str) -> Option<String> {
        self.rules.is_card(number).then(|| self.placeholder(patterns::CARD, number.to_owned(), number))
    }

    /// A field may say by its name alone that it holds the security code of a card.
    fn redact_code(&mut self, name: &str, value: &Value) -> Option<String> {
        let code = match value {
            Value::String(text) => Cow::Borrowed(text.trim()),
            Value::Number(number) => Cow::Owned(digits_of(number)?),
            _ => return None,
        };
        let code = Some(code).filter(|code| self.rules.is_code(name, code))?;
        Some(self.placeholder(patterns::CODE, digits::only_digits(&code), &code))
    }

    fn placeholder(&mut self, name: &'r str, value: String, original: &str) -> String {
        let count = self.counts.entry(name).or_default();
        let number = self.numbers.entry((name, value)).or_insert_with(|| {
            *count += 1;
            *count
        });
        let placeholder = format!("[{name}_{number}]");
        if self.rules.restores(name) && !self.originals.contains_key(&placeholder) {
            self.originals.insert(placeholder.clone(), original.to_owned());
        }
        placeholder
    }
}

/// The digits of a whole number, whatever its sign and however it is written: `4.0`, `-4`, `4e0`.
fn digits_of(number: &Number) -> Option<String> {
    let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)).map(|whole| whole.to_string());
    whole.or_else(|| {
        let size = number.as_f64()?.abs();
        (size.fract() == 0.0 && size < LARGEST_CARD).then(|| format!("{size:.0}"))
    })
}

/// Length of what makes a keycap or an emoji of the last digit before it: without that it decorates nothing.
fn decoration(rest: &str) -> usize {
    rest.chars().take_while(|c| matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}')).map(char::len_utf8).sum()
}

impl Default for Config {
    fn default() -> Self {
        Self { cards: true, ibans: true, emails: true, phones: true, ssns: true, patterns: Vec::new(), restore: false }
    }
}

// The values are what nobody shall see.
impl std::fmt::Debug for Redactor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("replaced", &self.numbers.len()).finish_non_exhaustive()
    }
}
