//! Text in which the channel, or the customer, has already masked something.

use super::all_bytes;

/// The shortest run of a mask character that counts by itself.
const RUN: usize = 4;

/// The shortest run that counts within a number or an address, and the fewest mask characters there.
const SHORT_RUN: usize = 3;
const IN_NUMBER: usize = 5;

/// Longest name before the @ of an address (RFC 5321), and the longest note, in characters and bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_NOTE: usize = 64;

/// True for a text in which the sender has already masked something: four or more mask characters in a row
/// (`****1111`, `••••`), fewer within a number or an e-mail address (`***-**-6789`, `j***@example.com`), `XXXX` beside
/// digits, or a note such as `[CREDIT CARD REDACTED]` or `<redacted: 4 chars>`.
#[must_use]
pub fn is_masked(text: &str) -> bool {
    // Most texts have none of these characters.
    let marked = !all_bytes(text, |byte| byte.is_ascii() && byte != b'*') && text.chars().any(is_mask);
    let doubled = |(first, second): (u8, u8)| (first == second) & is_letter_mask(char::from(first));
    let lettered = text.bytes().zip(text.bytes().skip(1)).fold(false, |any, two| any | doubled(two));
    (marked && (longest_run(text, is_mask) >= RUN || has_masked_address(text)))
        || ((marked || lettered) && has_masked_number(text))
        || (lettered && has_masked_groups(text))
        || has_note(text)
}

fn is_mask(c: char) -> bool {
    matches!(c, '*' | '＊' | '∗' | '﹡' | '•' | '∙' | '●' | '█' | '▓' | '▒' | '░' | '■' | '▪' | '◼' | '⬛')
}

/// Letters that mask too, but mean other things as well: kisses, sizes, headings.
fn is_letter_mask(c: char) -> bool {
    matches!(c, 'x' | 'X' | '#')
}

/// The longest run of one and the same character of a kind.
fn longest_run(text: &str, kind: impl Fn(char) -> bool) -> usize {
    let (mut last, mut run, mut longest) = (None, 0, 0);
    for c in text.chars() {
        run = if last == Some(c) { run + 1 } else { 1 };
        last = Some(c);
        if kind(c) && run > longest {
            longest = run;
        }
    }
    longest
}

/// `XXXX-XXXX-XXXX-1111`, `xxxx1111`, `***-**-6789`: mask characters and digits in one word.
fn has_masked_number(text: &str) -> bool {
    let belongs = |c: char| c.is_ascii_digit() || is_mask(c) || is_letter_mask(c) || matches!(c, '-' | '_');
    text.split(|c: char| !belongs(c)).filter(|word| word.contains(|c: char| c.is_ascii_digit())).any(|word| {
        let kind = |c: char| is_mask(c) || is_letter_mask(c);
        let run = longest_run(word, kind);
        run >= RUN || (run >= SHORT_RUN && word.chars().filter(|c| kind(*c)).count() >= IN_NUMBER)
    })
}

/// `xxxx xxxx xxxx 1111`: two or more words of nothing but X, and then digits.
fn has_masked_groups(text: &str) -> bool {
    let (mut groups, mut masks) = (0, 0);
    for word in text.split_whitespace() {
        let word = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        if word.len() >= 2 && longest_run(word, is_letter_mask) == word.len() {
            (groups, masks) = (groups + 1, masks + word.len());
        } else if groups >= 2 && masks >= IN_NUMBER && word.len() >= 2 && word.bytes().all(|b| b.is_ascii_digit()) {
            return true;
        } else {
            (groups, masks) = (0, 0);
        }
    }
    false
}

/// `j***@example.com`.
fn has_masked_address(text: &str) -> bool {
    text.match_indices(['@', '＠']).any(|(at, _)| {
        let name: String = text[..at].chars().rev().take(LONGEST_NAME).take_while(|c| !c.is_whitespace()).collect();
        longest_run(&name, is_mask) >= SHORT_RUN
    })
}

fn has_note(text: &str) -> bool {
    if all_bytes(text, |byte| !matches!(byte, b'[' | b'<')) {
        return false;
    }
    let words = ["redacted", "masked"];
    let noted = |note: &str| {
        let note = &note.as_bytes()[..note.len().min(LONGEST_NOTE)];
        let end = note.iter().position(|byte| matches!(byte, b']' | b'>')).unwrap_or(0);
        let note = note[..end].to_ascii_lowercase();
        words.iter().any(|word| note.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    text.match_indices(['[', '<']).any(|(at, _)| noted(&text[at..]))
}
