//! Decimal digits of every script that phones and computers let people type, and what people put between them.

use std::ops::Range;

/// The zeros of all scripts whose digits follow one another (Unicode 15, general category Nd).
#[rustfmt::skip]
const ZEROS: [char; 61] = [
    '\u{30}', '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}',
    '\u{c66}', '\u{ce6}', '\u{d66}', '\u{de6}', '\u{e50}', '\u{ed0}', '\u{f20}', '\u{1040}', '\u{1090}', '\u{17e0}',
    '\u{1810}', '\u{1946}', '\u{19d0}', '\u{1a80}', '\u{1a90}', '\u{1b50}', '\u{1bb0}', '\u{1c40}', '\u{1c50}',
    '\u{a620}', '\u{a8d0}', '\u{a900}', '\u{a9d0}', '\u{a9f0}', '\u{aa50}', '\u{abf0}', '\u{ff10}', '\u{104a0}',
    '\u{10d30}', '\u{11066}', '\u{110f0}', '\u{11136}', '\u{111d0}', '\u{112f0}', '\u{11450}', '\u{114d0}',
    '\u{11650}', '\u{116c0}', '\u{11730}', '\u{118e0}', '\u{11950}', '\u{11c50}', '\u{11d50}', '\u{11da0}',
    '\u{16a60}', '\u{16ac0}', '\u{16b50}', '\u{1e140}', '\u{1e2f0}', '\u{1e950}', '\u{1fbf0}',
];

/// The mathematical digits: five alphabets of ten, without a gap.
const MATHEMATICAL: std::ops::RangeInclusive<char> = '\u{1d7ce}'..='\u{1d7ff}';

/// Most separators between two characters of one IBAN (` - `).
pub(super) const MAX_GAP: usize = 3;

/// What begins a number with its country, as keyboards have it.
pub(super) const PLUS: [char; 2] = ['+', '＋'];

/// The value of a decimal digit, whatever its script; of a raised, lowered or circled one, too.
pub(super) fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| c as u8 - b'0');
    }
    let code = u32::from(c);
    let from = |zero: u32| code.checked_sub(zero).and_then(|value| u8::try_from(value).ok());
    match c {
        c if MATHEMATICAL.contains(&c) => from(u32::from(*MATHEMATICAL.start())).map(|value| value % 10),
        '\u{b9}' => Some(1),
        '\u{b2}' | '\u{b3}' => from(0xb0),
        '\u{2070}' | '\u{2074}'..='\u{2079}' => from(0x2070),
        '\u{2080}'..='\u{2089}' => from(0x2080),
        '\u{24ea}' => Some(0),
        '\u{2460}'..='\u{2468}' => from(0x245f),
        _ => ZEROS.iter().find_map(|zero| from(u32::from(*zero)).filter(|value| *value < 10)),
    }
}

/// How many numerals a text has, of whatever script and kind.
pub(super) fn count(text: &str) -> usize {
    if text.is_ascii() {
        // Bytes are counted sixteen at once.
        return text.bytes().filter(u8::is_ascii_digit).count();
    }
    text.chars().filter(|c| c.is_numeric()).count()
}

/// The most numerals that stand together without a letter of ASCII between them: no number has one in it.
pub(super) fn most_apart_from_letters(text: &str) -> usize {
    if !text.is_ascii() {
        return count(text);
    }
    text.as_bytes()
        .split(u8::is_ascii_alphabetic)
        .map(|part| part.iter().filter(|byte| byte.is_ascii_digit()).count())
        .max()
        .unwrap_or(0)
}

/// The digits of a text in ASCII, everything else left out.
pub(super) fn only_digits(text: &str) -> String {
    text.chars().filter_map(digit).map(|value| char::from(b'0' + value)).collect()
}

/// What may stand between the digits of one number: blanks and line ends, hyphens and dashes, dots, slashes, and what makes
/// a keycap of a digit.
pub(super) fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | ',' | '_' | '/' | '\t' | '\n' | '\u{a0}' | '\u{b7}' | '\u{2000}'
            ..='\u{2015}'
                | '\u{202f}'
                | '\u{205f}'
                | '\u{20e3}'
                | '\u{2212}'
                | '\u{3000}'
                | '\u{fe0f}'
                | '\u{ff0d}'
                | '\u{ff0e}'
    )
}

/// True when a number is not a part of a word, of an identifier or of a longer number.
pub(super) fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    begins_alone(&text[..range.start], &text[range.clone()]) && ends_alone(&text[range.end..])
}

/// A `+` begins a number even where a word runs into it. Underscores join only what is beyond them: else they are the
/// marks of italics.
fn begins_alone(before: &str, number: &str) -> bool {
    if number.starts_with(PLUS) {
        return !before.ends_with(char::is_numeric);
    }
    !before.ends_with('-') && !before.trim_end_matches('_').ends_with(char::is_alphanumeric)
}

/// After a dot only a digit goes on with a number: a letter begins the next sentence. After a hyphen a digit does, or what
/// an identifier has (`-A1`): a mere word does not.
fn ends_alone(after: &str) -> bool {
    if let Some(rest) = after.strip_prefix('.') {
        return !rest.starts_with(char::is_numeric);
    }
    if let Some(rest) = after.strip_prefix('-') {
        return !rest.trim_start_matches(char::is_alphabetic).starts_with(char::is_numeric);
    }
    !after.trim_start_matches('_').starts_with(char::is_alphanumeric)
}
