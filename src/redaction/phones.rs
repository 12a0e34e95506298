//! Telephone numbers: by their form, and by what stands around them.

use std::ops::Range;

use regex::Regex;

use super::{
    digits::{PLUS, digit, stands_alone},
    patterns::{PHONE, RedactionError, built},
    search::fitting,
};

/// With a `+`: up to 15 digits (E.164). With a leading zero: nine or more, grouped. North American: 3-3-4, grouped. Others
/// with an area code in brackets; and the mobile numbers of China, 3-4-4.
const PHONES: &str = r"(?x)
    [+＋] [\ ]? \(?\d (?: [\ \u{a0}().\-/\u{b7}\u{2010}-\u{2013}\u{202f}\u{2212}]{0,3} \d ){6,14}
  | \(?[0٠۰０] (?: [\ \u{a0}().\-/\u{b7}\u{2010}-\u{2013}\u{202f}\u{2212}]{0,3} \d ){8,14}
  | (?: 1 [\ \u{a0}.\-] )? (?: \([2-9]\d{2}\)[\ \u{a0}.\-]? | [2-9]\d{2}[\ \u{a0}.\-\u{2010}-\u{2013}] )
    \d{3} [\ \u{a0}.\-\u{2010}-\u{2013}] \d{4}
  | \([1-9]\d{1,3}\) [\ \u{a0}]? \d{3,5} [\ \u{a0}.\-\u{2010}-\u{2013}] \d{4}
  | 1[3-9]\d [\ \u{a0}\-] \d{4} [\ \u{a0}\-] \d{4}";

/// In the same way: mobile numbers of Spain (3-2-2-2) and of India (5-5) between blanks, with the country or without.
const BLANKS: &str = r"
    (?: 34[\ \u{a0}] )? [6-9]\d{2} (?: [\ \u{a0}] \d{2} ){3}
  | (?: 91[\ \u{a0}] )? [6-9]\d{4} [\ \u{a0}] \d{5}";

/// Telephone numbers.
#[derive(Debug)]
pub(super) struct Phones {
    all: Regex,
    /// Those that only blanks group, from their beginning to their end.
    blanks: Regex,
}

impl Phones {
    pub(super) fn new() -> Result<Self, RedactionError> {
        let all = built(PHONE, &format!("{PHONES}|{BLANKS}"))?;
        Ok(Self { all, blanks: built(PHONE, &format!(r"(?x)\A(?:{BLANKS})\z"))? })
    }

    /// Whether there is anything that looks like one.
    pub(super) fn are_in(&self, text: &str) -> bool {
        self.all.is_match(text)
    }

    /// Where telephone numbers stand.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        fitting(&self.all, text, |text, range| self.fits(text, range), fraction_or_all)
    }

    /// True for a match that is a telephone number where it stands.
    fn fits(&self, text: &str, range: &Range<usize>) -> bool {
        let number = &text[range.clone()];
        let alone = stands_alone(text, range) && is_grouped(number);
        alone && (has_no_neighbours(text, range) || !self.blanks.is_match(number))
    }
}

/// Forms that only blanks group are none where more groups of digits are beside them: order numbers are written so.
fn has_no_neighbours(text: &str, range: &Range<usize>) -> bool {
    let blank = |c: char| matches!(c, ' ' | '\u{a0}');
    let before = text[..range.start].trim_end_matches(blank).ends_with(char::is_numeric);
    !before && !text[range.end..].trim_start_matches(blank).starts_with(char::is_numeric)
}

/// A `+` or a separator tells a telephone number from a mere number; a decimal fraction is one.
fn is_grouped(number: &str) -> bool {
    if number.starts_with("0.") {
        return false;
    }
    number.starts_with(PLUS) || number.trim_start_matches('(').chars().any(|c| digit(c).is_none())
}

/// Length of the decimal fraction that a text begins with, else of all of it: what follows a fraction is another number.
fn fraction_or_all(text: &str) -> usize {
    match text.strip_prefix("0.") {
        Some(rest) => 2 + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
        None => text.len(),
    }
}
