//! International bank account numbers in running text.

use std::ops::Range;

use super::digits::{MAX_GAP, digit, is_separator};

/// Country and length of its IBAN (ISO 13616 registry).
#[rustfmt::skip]
const LENGTHS: [(&[u8; 2], usize); 89] = [
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22),
    (b"BH", 22), (b"BI", 27), (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24),
    (b"DE", 22), (b"DJ", 27), (b"DK", 18), (b"DO", 28), (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18),
    (b"FK", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22), (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27),
    (b"GT", 28), (b"HN", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26),
    (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20),
    (b"LU", 20), (b"LV", 21), (b"LY", 25), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MN", 20),
    (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NI", 28), (b"NL", 18), (b"NO", 15), (b"OM", 23), (b"PK", 24),
    (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"RU", 33), (b"SA", 24),
    (b"SC", 31), (b"SD", 18), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"SO", 23), (b"ST", 25),
    (b"SV", 28), (b"TL", 23), (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20),
    (b"YE", 30),
];

/// Bytes that are looked at together.
const PIECE: usize = 32;

/// What an IBAN is called.
const NAME: [char; 4] = ['I', 'B', 'A', 'N'];

/// Every IBAN in a text, also in small or full-width letters and in groups, and its canonical spelling.
pub(super) fn find(text: &str) -> Vec<(Range<usize>, String)> {
    if may_be_in(text) { search(text) } else { Vec::new() }
}

fn search(text: &str) -> Vec<(Range<usize>, String)> {
    let (mut found, mut end, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        let begins = !inside && at >= end;
        let plain = plain(c);
        inside = plain.is_some();
        if !begins || !plain.is_some_and(|c| c.is_ascii_alphabetic()) {
            continue;
        }
        let at = at + name(&text[at..]);
        if let Some((length, number)) = iban(&text[at..]) {
            end = at + length;
            found.push((at..end, number));
        }
    }
    found
}

/// False where [`search`] would find none, for most texts that have other numbers. A country's two letters stand where a word
/// begins, or the name ends, and before the next digit.
fn may_be_in(text: &str) -> bool {
    if !text.is_ascii() {
        return true;
    }
    let bytes = text.as_bytes();
    let begins = |at: usize| {
        at >= 2 && bytes[at].is_ascii_digit() && !bytes[at - 1].is_ascii_digit() && ends_with_country(&bytes[..at])
    };
    // Most pieces have no digit, which is seen of sixteen bytes at once.
    bytes.chunks(PIECE).enumerate().any(|(number, piece)| {
        let has_digit = piece.iter().fold(false, |any, byte| any | byte.is_ascii_digit());
        has_digit && (0..piece.len()).any(|at| begins(number * PIECE + at))
    })
}

/// Whether a text ends with a word of two letters, but for the name before them and separators after them.
fn ends_with_country(text: &[u8]) -> bool {
    let gap = text.iter().rev().take_while(|byte| is_separator(char::from(**byte))).count();
    if gap > MAX_GAP {
        return false;
    }
    let text = &text[..text.len() - gap];
    let name = NAME.map(|c| c as u8);
    let word = text.iter().rev().take(name.len() + 3).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let word = &text[text.len() - word..];
    let country = match word.split_at_checked(name.len()) {
        Some((first, rest)) if first.eq_ignore_ascii_case(&name) => rest,
        _ => word,
    };
    LENGTHS.iter().any(|(known, _)| country.eq_ignore_ascii_case(*known))
}

/// Length of the word `IBAN` that a text begins with: no country is called so, and some write no blank after it.
fn name(text: &str) -> usize {
    let first = || text.chars().take(NAME.len());
    if first().map(plain).eq(NAME.map(Some)) { first().map(char::len_utf8).sum() } else { 0 }
}

/// A letter or digit of an IBAN as it is stored.
fn plain(c: char) -> Option<char> {
    match c {
        'Ａ'..='Ｚ' | 'ａ'..='ｚ' => char::from_u32(u32::from(c) - 0xfee0).map(|c| c.to_ascii_uppercase()),
        c if c.is_ascii_alphabetic() => Some(c.to_ascii_uppercase()),
        c => digit(c).map(|value| char::from(b'0' + value)),
    }
}

/// The IBAN that a text begins with: its length in bytes and its characters.
fn iban(text: &str) -> Option<(usize, String)> {
    let mut characters = text.char_indices();
    let wanted = length(text)?;
    let (mut number, mut end, mut gap) = (String::with_capacity(wanted), 0, 0);
    while number.len() < wanted {
        let (at, c) = characters.next()?;
        end = at + c.len_utf8();
        match plain(c) {
            Some(c) if c.is_ascii_digit() || !(2..4).contains(&number.len()) => {
                number.push(c);
                gap = 0;
            }
            None if is_separator(c) && gap < MAX_GAP => gap += 1,
            _ => return None,
        }
    }
    let ends = characters.next().is_none_or(|(_, next)| plain(next).is_none());
    (ends && passes_mod_97(&number)).then_some((end, number))
}

/// How many characters the IBAN has that begins with this country. Almost every word of a text is ruled out by its third
/// character, which must be a digit.
fn length(text: &str) -> Option<usize> {
    let mut characters = text.chars();
    let [first, second] = [characters.next().and_then(plain)?, characters.next().and_then(plain)?];
    let third = characters.take(MAX_GAP + 1).find(|c| !is_separator(*c)).and_then(plain)?;
    if !third.is_ascii_digit() {
        return None;
    }
    let country = [u8::try_from(first).ok()?, u8::try_from(second).ok()?];
    LENGTHS.iter().find(|(name, _)| **name == country).map(|(_, length)| *length)
}

/// The check of ISO 7064 (MOD 97-10) over the number with its first four characters put last.
fn passes_mod_97(number: &str) -> bool {
    let (country, account) = number.split_at(4);
    let rest = account
        .chars()
        .chain(country.chars())
        .filter_map(|c| c.to_digit(36))
        .fold(0_u32, |rest, value| if value < 10 { (rest * 10 + value) % 97 } else { (rest * 100 + value) % 97 });
    rest == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_quick_look_passes_by_words_and_other_numbers() {
        for (text, expected) in [
            ("Turn 12: I need help", false),
            ("order r-00000001 of 2024-01-15", false),
            ("DE", false),
            ("DE    89", false),
            ("DE89", true),
            ("iban de-89", true),
            ("IBANDE89", true),
            ("IBAN89", false),
            ("(GB 82", true),
            ("to 12", false),
            ("is 12", true),
            ("ÄDE89", true),
        ] {
            assert_eq!(may_be_in(text), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn what_the_quick_look_passes_by_is_not_found(
            text in "(?:[A-Za-z]{0,3}|IBAN|iban|[ .:_/-]{1,4}|[0-9]{1,3}|[Dd]E89 ?3704-0044 0532 0130 00|gb82west12345698765432){0,6}"
        ) {
            prop_assert!(may_be_in(&text) || search(&text).is_empty(), "{text}");
        }
    }
}
