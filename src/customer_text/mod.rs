//! Customer text as it may go on: without what a human reader could not see, and without the marks by which a model
//! tells one speaker from another.
//!
//! Invisible characters are the cheapest way to hide an instruction from the people who read a conversation, and to
//! slip a word past a check. Stripping them costs a few scripts their joiners (Persian and emoji sequences fall apart
//! into their visible parts); they stay readable.

mod marks;
mod masked;

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

pub use self::masked::is_masked;

/// The text in Unicode normal form C, [`visible`], and with the marks of chat templates made harmless (`<|im_start|>`
/// becomes `< |im_start| >`). Plain text comes back as it is, without a copy. Cleaning twice changes nothing more.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if all_bytes(text, |byte| is_plain(byte) && !matches!(byte, b'<' | b'|' | b'[')) {
        return Cow::Borrowed(text);
    }
    // Normalised before and after: what decides on a selector is the character as it will be, and what is stripped can
    // bring a letter and its accent together.
    let normal: String = text.nfc().collect();
    let cleaned = marks::without(visible(&normal).nfc().collect());
    if cleaned == text { Cow::Borrowed(text) } else { Cow::Owned(cleaned) }
}

/// The text without control characters (except line feed and tabulator), zero-width and bidirectional controls,
/// Unicode tags, variation selectors that carry data, private use and noncharacters. Every other line break becomes a
/// line feed.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c == '\r' || is_line_break(c) || is_selector(c) || is_invisible(c);
    if all_bytes(text, is_plain) || !text.chars().any(odd) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' => kept.push('\n'),
            c if is_line_break(c) => kept.push('\n'),
            c if is_invisible(c) => {}
            c if is_selector(c) && !kept.chars().next_back().is_some_and(has_two_looks) => {}
            c => kept.push(c),
        }
    }
    if kept == text { Cow::Borrowed(text) } else { Cow::Owned(kept) }
}

/// True for a text in which there is nothing that [`visible`] would take out, nor a selector.
#[must_use]
pub fn is_visible(text: &str) -> bool {
    all_bytes(text, is_plain) || !text.chars().any(|c| is_selector(c) || is_invisible(c))
}

/// True if every byte of a text is of a kind. All of them are looked at: texts mostly pass, and a loop without a way out
/// takes sixteen at once.
fn all_bytes(text: &str, is: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, byte| all & is(byte))
}

/// ASCII that everybody can see, line feed and tabulator.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\t' | b' '..=b'~')
}

/// NEL, line separator, paragraph separator, and the C0 controls that printers took for a new line.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{0b}' | '\u{0c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Variation selectors 15 and 16 choose text or emoji.
fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// A character of which there is a text and an emoji form, or near enough: after any other, and after a second selector,
/// one is a bit that somebody hides.
fn has_two_looks(c: char) -> bool {
    match c {
        '0'..='9' | '#' | '*' | 'ℹ' | 'Ⓜ' | '\u{1f170}'..='\u{1f251}' => true,
        c => !(c.is_ascii() || c.is_alphabetic() || c.is_whitespace() || is_combining_mark(c) || is_selector(c)),
    }
}

fn is_invisible(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // C0, DEL and C1.
        c if c.is_control() => true,
        // Soft hyphen, grapheme joiner, Arabic letter mark, Hangul fillers, Khmer inherent vowels, Mongolian selectors.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{3164}'
        | '\u{ffa0}' => true,
        // Zero-width characters and bidirectional controls.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        // Variation selectors but 15 and 16, which are the only ones in common use.
        '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => true,
        // Interlinear annotation, object replacement, musical format controls, shorthand controls.
        '\u{fff0}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}' | '\u{1bca0}'..='\u{1bca3}' => true,
        // Controls of hieroglyphs.
        '\u{13430}'..='\u{1343f}' => true,
        // Unicode tags and the rest of their block.
        '\u{e0000}'..='\u{e0fff}' => true,
        // Private use.
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => true,
        // Noncharacters.
        c => matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe,
    }
}
