//! Payment card numbers in running text.

use std::ops::Range;

use super::digits::{digit, is_separator};

/// Most separators between two digits of one number.
const MAX_GAP: usize = 6;

/// What may stand between the groups of a card number, but not between the digits of other lists: times and amounts are
/// written so.
const BETWEEN_GROUPS: [char; 3] = [':', '\'', '’'];

/// One digit and where it stands.
struct Digit {
    range: Range<usize>,
    value: u8,
    /// For the first one of a group, what separates it from the group before: the last character that is no blank.
    begins: Option<char>,
}

/// Every card number in a text and its digits. A number begins and ends where a group of digits does, so that an expiry
/// date after it does not hide it, and a part of a longer number is none.
pub(super) fn find(text: &str) -> Vec<(Range<usize>, String)> {
    let (mut found, mut run) = (Vec::new(), Vec::<Digit>::new());
    let (mut gap, mut separator) = (0, ' ');
    for (at, c) in text.char_indices() {
        if let Some(value) = digit(c) {
            let begins = (gap > 0 || run.is_empty()).then_some(separator);
            run.push(Digit { range: at..at + c.len_utf8(), value, begins });
            (gap, separator) = (0, ' ');
        } else if (is_separator(c) || BETWEEN_GROUPS.contains(&c)) && gap < MAX_GAP {
            gap += 1;
            separator = if c.is_whitespace() { separator } else { c };
        } else {
            search(&run, &mut found);
            run.clear();
            (gap, separator) = (0, ' ');
        }
    }
    search(&run, &mut found);
    found
}

fn search(run: &[Digit], found: &mut Vec<(Range<usize>, String)>) {
    let mut start = 0;
    while start + 13 <= run.len() {
        let ends_group = |end: usize| run.get(end).is_none_or(|next| next.begins.is_some());
        let fits = |length: &usize| {
            start + length <= run.len() && ends_group(start + length) && is_card(&run[start..start + length])
        };
        let length = run[start].begins.and_then(|_| (13..=19).rev().find(fits));
        let Some(length) = length else {
            start += 1;
            continue;
        };
        let number = &run[start..start + length];
        let digits = number.iter().map(|digit| char::from(b'0' + digit.value)).collect();
        found.push((number[0].range.start..number[length - 1].range.end, digits));
        start += length;
    }
}

fn is_card(digits: &[Digit]) -> bool {
    has_brand(digits) && passes_luhn(digits) && is_one_number(digits)
}

/// Groups as on a card (four or more digits but for the last group, or all of one length), or at least one kind of
/// separator throughout: otherwise a list of short numbers would be tried in every combination. What parts times and
/// amounts parts nothing but groups as on a card.
fn is_one_number(digits: &[Digit]) -> bool {
    let separators: Vec<_> = digits[1..].iter().filter_map(|digit| digit.begins).collect();
    let lengths: Vec<_> = digits.chunk_by(|_, next| next.begins.is_none()).map(<[Digit]>::len).collect();
    let (last, others) = lengths.split_last().unwrap_or((&0, &[]));
    let as_on_a_card = others.iter().all(|length| *length >= 4);
    let even = others.iter().all(|length| length == &others[0] && length >= last);
    if as_on_a_card || separators.iter().any(|separator| BETWEEN_GROUPS.contains(separator)) {
        return as_on_a_card;
    }
    even || separators.iter().all(|separator| *separator == separators[0])
}

/// Issuer prefixes and lengths (ISO/IEC 7812, as the brands publish them). They keep most order numbers and all
/// timestamps out, a tenth of which would pass the Luhn check.
fn has_brand(digits: &[Digit]) -> bool {
    let prefix = digits[..4].iter().fold(0, |number, digit| number * 10 + u32::from(digit.value));
    match prefix {
        1000..=1999 => digits.len() == 15,
        2200..=2204 | 2221..=2720 => digits.len() == 16,
        3000..=3999 => (14..=19).contains(&digits.len()),
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        5000..=6999 => true,
        8100..=8299 | 9792 => digits.len() >= 16,
        _ => false,
    }
}

/// The check of ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[Digit]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(digit.value)) {
            (0, value) => value,
            (_, value) if value > 4 => value * 2 - 9,
            (_, value) => value * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
