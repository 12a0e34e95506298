//! The security code of a payment card: three or four digits that only the words beside them give away, or the card that
//! they come directly after.

use std::ops::Range;

use regex::Regex;

use super::digits::{digit, only_digits};

/// Words that mean nothing else.
const STRONG: &str = r"cv[vc](?:2\b)?";
/// Words that mean it where there is a card as well. Any other code may be called so.
const WEAK: &str = r"\b(?:cid|csc|cvn2?|cav2?|security[\ -]?(?:code|number|digits)|verification[\ -]?(?:code|number|value)
    |sicherheits(?:code|nummer)|(?:karten)?prüf(?:nummer|ziffer|code)|code\ de\ s[ée]curit[ée]|cryptogramme
    |c[óo]digo\ de\ segur(?:idad|an[çc]a)|codice\ di\ sicurezza|beveiligingscode|安全码|セキュリティコード)";
/// Between the word and the code: what parts them, and a few words that say no more than that it comes.
const BETWEEN: &str = r#"[\s:=\#.,()"'„“”‘’–-]{0,4}"#;
const FILLERS: &str = r"(?:code|number|nummer|no|nr|is|was|ist|lautet|est|es|è|é)\b";
const CODE: &str = r"(?P<code>\d{3,4}|\d(?:\ \d){2,3})";
/// Between a code and the word after it: without these it rather belongs to what stands before it.
const NAMED: &str =
    r"(?:\s?[(=]\s?|\ (?:is|was|as|ist|est|es|è|é)\ (?:(?:my|the|a|its|meine?|die|der|mon|le|mi|el|il)\ )?)";

/// Between a card and what follows it, and between its expiry date and the code. After a date `/` and `-` stand between
/// blanks only: `12/12/2027` has no code in it.
const AFTER_CARD: &str = r"[\s.,;:|/()\-–—]";
const AFTER_EXPIRY: &str = r"(?:\s[\-–—/]\s|[\s.,;:|()]){1,4}";
/// `12/27`, `12 / 2027`, `12-27`. Without a sign between, it cannot be told from a code of four digits, and counts as one.
const EXPIRY: &str = r"\d{1,2}\s?[/|\-–]\s?(?:\d{4}|\d{2})";
const EXPIRES: &str = r"(?:exp(?:iry|ires|iration|ire)?\.?(?:\ date|\ le)?|valid(?:\ (?:thru|through|until|till|to))?|good\ thru
    |(?:gültig\ )?bis|ablauf(?:datum)?|caduca|vence|scade(?:nza)?|valable\ jusqu['’]au)";

/// Finds codes by the words beside them, and by the card before them.
#[derive(Debug)]
pub(super) struct Codes {
    strong: [Regex; 2],
    weak: [Regex; 2],
    after_card: Regex,
}

impl Codes {
    pub(super) fn new<E>(build: impl Fn(&str) -> Result<Regex, E>) -> Result<Self, E> {
        let of = |words: &str| {
            let before = format!(r"(?ix)(?:{words}){BETWEEN}(?:{FILLERS}{BETWEEN}){{0,2}}{CODE}");
            let after = format!(r"(?ix){CODE}{NAMED}(?:{words})\b");
            Ok([build(&before)?, build(&after)?])
        };
        let expiry = format!(r"(?:(?:{EXPIRES}{AFTER_CARD}{{0,4}})?{EXPIRY}{AFTER_EXPIRY})?");
        let after_card = build(&format!(r"(?ix)\A{AFTER_CARD}{{1,4}}{expiry}(?P<code>\d{{3,4}})"))?;
        Ok(Self { strong: of(STRONG)?, weak: of(WEAK)?, after_card })
    }

    /// The code that the text after a card begins with, or has after the card's expiry date. Two where there are two: the
    /// first may be the date (`1227 123`).
    pub(super) fn after_card(&self, rest: &str) -> Vec<(Range<usize>, String)> {
        let Some(first) = self.code_at(rest) else { return Vec::new() };
        let end = first.0.end;
        let second = self.code_at(&rest[end..]).map(|(range, code)| (end + range.start..end + range.end, code));
        std::iter::once(first).chain(second).collect()
    }

    fn code_at(&self, rest: &str) -> Option<(Range<usize>, String)> {
        let code = self.after_card.captures(rest)?.name("code")?;
        stands_alone(rest, &code.range()).then(|| (code.range(), only_digits(code.as_str())))
    }

    /// The codes in a part of a text. `card`: there is a card about as well.
    pub(super) fn find(&self, part: &str, card: bool) -> Vec<(Range<usize>, String)> {
        let strong = self.strong.iter().filter(|_| may_be_named(part));
        let weak = self.weak.iter().filter(|_| card);
        let mut found: Vec<(Range<usize>, String)> = Vec::new();
        for pattern in strong.chain(weak) {
            for captures in pattern.captures_iter(part) {
                let Some(code) = captures.name("code") else { continue };
                let overlaps =
                    |(other, _): &(Range<usize>, String)| other.start < code.end() && code.start() < other.end;
                if stands_alone(part, &code.range()) && !found.iter().any(overlaps) {
                    found.push((code.range(), only_digits(code.as_str())));
                }
            }
        }
        found
    }
}

/// True for the name of a field that holds such a code: `cvv`, `cardCvc`, `CVV2`.
pub(super) fn is_name(name: &str) -> bool {
    let name = name.trim_end_matches(['2', '_', '-']).to_ascii_lowercase();
    name.ends_with("cvv") || name.ends_with("cvc")
}

/// True for what such a field holds.
pub(super) fn is_code(value: &str) -> bool {
    let value = value.trim();
    (3..=4).contains(&value.chars().count()) && value.chars().all(|c| digit(c).is_some())
}

/// Whether one of the strong words can be there at all: most texts have no `cv`.
fn may_be_named(text: &str) -> bool {
    // Sixteen pairs at once; a small letter differs from its capital in one bit.
    let is_named = |(first, second): (u8, u8)| (first | 0x20 == b'c') & (second | 0x20 == b'v');
    text.bytes().zip(text.bytes().skip(1)).fold(false, |any, pair| any | is_named(pair))
}

/// Not a part of a longer number or of a word.
fn stands_alone(text: &str, code: &Range<usize>) -> bool {
    let mut after = text[code.end..].chars();
    let next = after.next();
    let goes_on = matches!(next, Some('-' | '.' | ',' | '/')) && after.next().is_some_and(|c| digit(c).is_some());
    let before = text[..code.start].chars().next_back();
    !goes_on && !next.is_some_and(char::is_alphanumeric) && before.is_none_or(|c| digit(c).is_none())
}
