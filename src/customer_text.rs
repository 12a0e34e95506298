//! Customer text as it may go on: without what a human reader could not see, and without the marks by which a model
//! tells one speaker from another.
//!
//! Invisible characters are the cheapest way to hide an instruction from the people who read a conversation, and to
//! slip a word past a check. Stripping them costs a few scripts their joiners (Persian and emoji sequences fall apart
//! into their visible parts); they stay readable.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// Marks that chat templates put between speakers; a space inside takes their power and leaves them readable.
/// Compared without regard to ASCII case.
const TEMPLATE_MARKS: [&str; 12] = [
    "<|",
    "|>",
    "<｜",
    "｜>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<think>",
    "</think>",
];

/// The shortest run of a mask character that counts as masked.
const MASK_RUN: usize = 4;

/// The text in Unicode normal form C, [`visible`], and with the marks of chat templates made harmless (`<|im_start|>`
/// becomes `< |im_start| >`). Plain text comes back as it is, without a copy. Cleaning twice changes nothing more.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| is_plain(byte) && !matches!(byte, b'<' | b'|' | b'[')) {
        return Cow::Borrowed(text);
    }
    let visible = visible(text);
    let cleaned = without_template_marks(visible.nfc());
    if cleaned == text { Cow::Borrowed(text) } else { Cow::Owned(cleaned) }
}

/// The text without control characters (except line feed and tabulator), zero-width and bidirectional controls,
/// Unicode tags, variation selectors that carry data, private use and noncharacters. Every other line break becomes a
/// line feed.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) || !text.chars().any(|c| c == '\r' || is_line_break(c) || is_invisible(c)) {
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
            c => kept.push(c),
        }
    }
    Cow::Owned(kept)
}

/// True for a text in which the sender has already masked something: four or more mask characters in a row
/// (`****1111`, `••••`), `XXXX` beside a digit, or a note such as `[CREDIT CARD REDACTED]` or `<redacted: 4 chars>`.
#[must_use]
pub fn is_masked(text: &str) -> bool {
    has_mask_run(text) || has_masked_digits(text) || has_note(text)
}

/// ASCII that everybody can see, line feed and tabulator.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\t' | b' '..=b'~')
}

/// NEL, line separator, paragraph separator, and the C0 controls that printers took for a new line.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{0b}' | '\u{0c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
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
        // Variation selectors; 15 and 16 choose text or emoji and are the only ones in common use.
        '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => true,
        // Interlinear annotation, object replacement, musical format controls, shorthand controls.
        '\u{fff0}'..='\u{fffc}' | '\u{1d173}'..='\u{1d17a}' | '\u{1bca0}'..='\u{1bca3}' => true,
        // Unicode tags and the rest of their block.
        '\u{e0000}'..='\u{e0fff}' => true,
        // Private use.
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => true,
        // Noncharacters.
        c => matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe,
    }
}

fn without_template_marks(text: impl Iterator<Item = char>) -> String {
    let text: String = text.collect();
    if !text.contains(['<', '|', '｜', '[']) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        safe.push(c);
        if matches!(c, '<' | '|' | '｜' | '[') && TEMPLATE_MARKS.iter().any(|mark| begins_with(&text[at..], mark)) {
            safe.push(' ');
        }
    }
    safe
}

fn begins_with(text: &str, mark: &str) -> bool {
    text.as_bytes().get(..mark.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(mark.as_bytes()))
}

fn has_mask_run(text: &str) -> bool {
    // Most texts have none of these characters.
    if text.bytes().all(|byte| byte.is_ascii() && byte != b'*') {
        return false;
    }
    let mut run = (' ', 0);
    text.chars().any(|c| {
        run = if run.0 == c { (c, run.1 + 1) } else { (c, 1) };
        matches!(c, '*' | '•' | '●' | '█' | '▪' | '＊') && run.1 >= MASK_RUN
    })
}

/// `XXXX-XXXX-XXXX-1111`, `xxxx1111`: letters X can be kisses, unless digits belong to them.
fn has_masked_digits(text: &str) -> bool {
    let is_run = |part: &[u8]| matches!(part[0], b'x' | b'X' | b'#') && part.iter().all(|byte| *byte == part[0]);
    text.as_bytes().windows(MASK_RUN).any(is_run) && has_masked_word(text)
}

fn has_masked_word(text: &str) -> bool {
    text.split(|c: char| !(c.is_ascii_digit() || matches!(c, 'x' | 'X' | '-' | '#' | '_'))).any(|word| {
        let run = |c: char| word.as_bytes().chunk_by(|a, b| a == b).any(|same| same[0] == c as u8 && same.len() >= 4);
        word.contains(|c: char| c.is_ascii_digit()) && (run('x') || run('X') || run('#'))
    })
}

fn has_note(text: &str) -> bool {
    let words = ["redacted", "masked"];
    let noted = |note: &str| {
        let end = note.find([']', '>']).unwrap_or(0);
        let note = note.as_bytes()[..end.min(64)].to_ascii_lowercase();
        words.iter().any(|word| note.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    text.match_indices(['[', '<']).any(|(at, _)| noted(&text[at..]))
}
