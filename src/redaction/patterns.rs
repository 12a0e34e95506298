//! The rules of a profile, compiled: what is looked for, in which order, and what wins where two overlap.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use regex::{Captures, Regex, RegexBuilder};

use super::{
    Config, Found, Pattern, cards,
    codes::{self, Codes},
    digits::{self, only_digits, stands_alone},
    ibans,
    moments::is_moment,
    phones::Phones,
    search::{Search, fitting},
};

pub(super) const CARD: &str = "CARD";
pub(super) const CODE: &str = "CVV";
const IBAN: &str = "IBAN";
const EMAIL: &str = "EMAIL";
const SSN: &str = "SSN";
pub(super) const PHONE: &str = "PHONE";
const NUMBER: &str = "NUMBER";

/// Largest compiled form of one of the operator's patterns, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// RFC 6531 and 5891: any letters, with the marks that some scripts write vowels with; also a quoted name. A slash, `=` and
/// `?` are left out of what RFC 5322 allows: they rather part an address from the link it stands in. One blank on either
/// side of the sign is how people spell an address that a form would refuse. A quoted name has no brackets, in which
/// placeholders stand, ours and what looks like them; of another one its last word is found.
const EMAILS: &str = r#"(?x)
    (?: "[^"\s\[\]()][^"\n\[\]()]{0,62}" | [\p{L}\p{N}_%+] [\p{L}\p{M}\p{N}._%+'!\#$&*^{|}~-]* "? ) (?: [@＠﹫] | [\ \u{a0}][@＠﹫][\ \u{a0}] )
    (?: [\p{L}\p{M}\p{N}-]+ [.。．｡] )+ (?: (?i:xn--[a-z0-9-]+) | \p{L}[\p{L}\p{M}]+ )"#;
const SSNS: &str = r"\d{3}[-\u{2010}-\u{2013}\u{2212}\u{ff0d}]\d{2}[-\u{2010}-\u{2013}\u{2212}\u{ff0d}]\d{4}";

/// The sign of an e-mail address, as keyboards have it.
const SIGNS: [char; 3] = ['@', '＠', '﹫'];

const UUIDS: &str = r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const DATES: &str = r"(?x)
    (?:19|20)\d{2} [-./] (?:1[0-2]|0?[1-9]) [-./] (?:[12]\d|3[01]|0?[1-9])
  | (?:[12]\d|3[01]|0?[1-9]) [-./] (?:[12]\d|3[01]|0?[1-9]) [-./] (?:19|20)\d{2}";

/// How often numbers are looked for in one text.
const MAX_ROUNDS: usize = 16;

/// Seven digits and more, whatever parts them.
const NUMBERS: &str = r"[+＋(]*\d(?:[\W_]{0,3}\d){6,}";

/// Digits of the shortest number of each kind.
const SHORTEST_CARD: usize = 13;
const SHORTEST_PHONE: usize = 7;
const SHORTEST_CODE: usize = 3;
const SSN_DIGITS: usize = 9;

/// What our own placeholders look like.
const PLACEHOLDERS: &str = r"\[[A-Z][A-Z0-9_]*_[0-9]+\]";

/// The patterns of a profile, compiled once.
#[derive(Debug)]
pub struct RedactionRules {
    own: Vec<(String, Regex)>,
    /// With cards come the patterns of their security codes.
    cards: Option<Codes>,
    ibans: bool,
    emails: Option<Regex>,
    ssns: Option<Regex>,
    phones: Option<Phones>,
    numbers: Regex,
    uuids: Regex,
    dates: Regex,
    placeholders: Regex,
    restore: bool,
}

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
    /// [`RedactionError`], for the first pattern that cannot be used: a name that is no placeholder word, a broken or
    /// oversized regular expression, or one that matches the empty text.
    pub fn new(config: &Config) -> Result<Self, RedactionError> {
        let optional = |wanted: bool, name, pattern| wanted.then(|| built(name, pattern)).transpose();
        Ok(Self {
            own: config.patterns.iter().map(own).collect::<Result<_, _>>()?,
            cards: config.cards.then(|| Codes::new(|pattern| built(CODE, pattern))).transpose()?,
            ibans: config.ibans,
            emails: optional(config.emails, EMAIL, EMAILS)?,
            ssns: optional(config.ssns, SSN, SSNS)?,
            phones: config.phones.then(Phones::new).transpose()?,
            numbers: built(NUMBER, NUMBERS)?,
            uuids: built("UUID", UUIDS)?,
            dates: built("DATE", DATES)?,
            placeholders: built("PLACEHOLDER", PLACEHOLDERS)?,
            restore: config.restore,
        })
    }

    /// Everything to be replaced in a text, in its order and without overlaps. What the operator asked for wins, then
    /// what a checksum vouches for. `card`: there was a card in another text of the same trigger.
    pub(super) fn find<'r>(&'r self, text: &str, card: bool) -> Vec<Found<'r>> {
        if self.own.is_empty() && is_moment(text) { Vec::new() } else { self.find_all(text, card) }
    }

    fn find_all<'r>(&'r self, text: &str, card: bool) -> Vec<Found<'r>> {
        let mut search = Search::new(text);
        for (name, pattern) in &self.own {
            search
                .look(Some(name.as_str()), |part| pattern.find_iter(part).map(|m| (m.range(), m.as_str().to_owned())));
        }
        if let Some(emails) = self.emails.as_ref().filter(|_| has_sign(text)) {
            search.look(Some(EMAIL), |part| emails.find_iter(part).map(|m| (m.range(), address(m.as_str()))));
        }
        let digits = digits::count(text);
        if digits > 0 {
            self.find_numbers(text, digits, card, &mut search);
        }
        self.find_placeholders(text, &mut search);
        search.into_found()
    }

    /// True for values that may be put back.
    pub(super) fn restores(&self, name: &str) -> bool {
        self.restore && name != CARD && name != CODE
    }

    /// The text with each placeholder that has an original replaced by it.
    pub(super) fn restored<'t>(&self, text: &'t str, originals: &HashMap<String, String>) -> Cow<'t, str> {
        self.placeholders.replace_all(text, |found: &Captures<'_>| {
            let placeholder = &found[0];
            originals.get(placeholder).map_or(placeholder, String::as_str).to_owned()
        })
    }

    /// True for the digits of nothing but a card number.
    pub(super) fn is_card(&self, number: &str) -> bool {
        self.cards.is_some() && cards::find(number).into_iter().any(|(range, _)| range == (0..number.len()))
    }

    /// True for a field of that name that holds the security code of a card.
    pub(super) fn is_code(&self, name: &str, value: &str) -> bool {
        self.cards.is_some() && codes::is_name(name) && codes::is_code(value)
    }

    /// `digits` is how many digits the text has: most texts have too few for most kinds of number.
    ///
    /// Where a number was found, one beside it may now end that ran into it before, so it is looked again.
    fn find_numbers<'r>(&'r self, text: &str, digits: usize, card: bool, search: &mut Search<'_, 'r>) {
        for _ in 0..MAX_ROUNDS {
            let before = search.count();
            self.find_checked_numbers(text, digits, search);
            self.find_other_numbers(text, digits, search);
            if let Some(codes) = self.cards.as_ref().filter(|_| digits >= SHORTEST_CODE) {
                let found = search.has(CARD);
                search.look(Some(CODE), |part| codes.find(part, card || found));
                if found {
                    search.look_after(CARD, Some(CODE), |rest| codes.after_card(rest));
                }
            }
            if search.count() == before {
                return;
            }
        }
        // Nobody writes so many numbers into one another: then every long one goes, whatever it is.
        search.look(Some(NUMBER), |part| numbered(part, self.numbers.find_iter(part).map(|m| m.range()).collect()));
    }

    fn find_placeholders<'r>(&'r self, text: &str, search: &mut Search<'_, 'r>) {
        if text.contains('[') {
            search.look(None, |part| self.placeholders.find_iter(part).map(|m| (m.range(), String::new())));
        }
    }

    /// Numbers that a checksum vouches for.
    fn find_checked_numbers<'r>(&'r self, text: &str, digits: usize, search: &mut Search<'_, 'r>) {
        if self.ibans {
            search.look(Some(IBAN), ibans::find);
        }
        if digits >= SHORTEST_PHONE && text.contains('-') {
            search.set_aside(self.uuids.find_iter(text).map(|m| m.range()));
        }
        if self.cards.is_some() && digits >= SHORTEST_CARD && digits::most_apart_from_letters(text) >= SHORTEST_CARD {
            search.look(Some(CARD), cards::find);
        }
    }

    /// Numbers that only their form gives away.
    fn find_other_numbers<'r>(&'r self, text: &str, digits: usize, search: &mut Search<'_, 'r>) {
        if let Some(ssns) = self.ssns.as_ref().filter(|_| digits >= SSN_DIGITS) {
            let fits = |part: &str, range: &Range<usize>| {
                stands_alone(part, range) && is_issued(&only_digits(&part[range.clone()]))
            };
            search.look(Some(SSN), |part| numbered(part, fitting(ssns, part, fits, str::len)));
        }
        if let Some(phones) = self.phones.as_ref().filter(|phones| digits >= SHORTEST_PHONE && phones.are_in(text)) {
            search.set_aside(self.dates.find_iter(text).map(|m| m.range()).filter(|date| is_whole(text, date)));
            search.look(Some(PHONE), |part| numbered(part, phones.find(part)));
        }
    }
}

pub(super) fn built(name: &str, pattern: &str) -> Result<Regex, RedactionError> {
    let refused = |error: regex::Error| RedactionError { name: name.to_owned(), problem: error.to_string() };
    RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().map_err(refused)
}

fn own(pattern: &Pattern) -> Result<(String, Regex), RedactionError> {
    let refused = |problem: &str| RedactionError { name: pattern.name.clone(), problem: problem.to_owned() };
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !pattern.name.starts_with(|c: char| c.is_ascii_uppercase()) || !pattern.name.chars().all(plain) {
        return Err(refused("a name has only capital letters, digits and \"_\", and begins with a letter"));
    }
    let regex = built(&pattern.name, &pattern.regex)?;
    if regex.is_match("") {
        return Err(refused("must not match the empty text"));
    }
    Ok((pattern.name.clone(), regex))
}

fn numbered(text: &str, ranges: Vec<Range<usize>>) -> Vec<(Range<usize>, String)> {
    ranges.into_iter().map(|range| (range.clone(), only_digits(&text[range]))).collect()
}

fn has_sign(text: &str) -> bool {
    text.as_bytes().contains(&b'@') || (!text.is_ascii() && text.contains(SIGNS))
}

/// An e-mail address in its plain spelling.
fn address(text: &str) -> String {
    let plain = text.to_lowercase().replace(SIGNS, "@").replace(['。', '．', '｡'], ".");
    plain.replace([' ', '\u{a0}'], "")
}

/// A part of a longer number is no date.
fn is_whole(text: &str, date: &Range<usize>) -> bool {
    !text[..date.start].ends_with(char::is_numeric) && !text[date.end..].starts_with(char::is_numeric)
}

/// Numbers that the US administration has never issued are left alone.
fn is_issued(ssn: &str) -> bool {
    let (area, rest) = ssn.split_at(3);
    area != "000" && area != "666" && !area.starts_with('9') && !rest.starts_with("00") && !rest.ends_with("0000")
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static RULES: LazyLock<RedactionRules> = LazyLock::new(|| RedactionRules::new(&Config::default()).unwrap());

    /// Where a value is found, a part begins that is no longer inside a word.
    #[test]
    fn an_iban_is_found_directly_after_a_card() {
        let found = RULES.find("4111111111111111DE89370400440532013000", false);
        assert_eq!(found.iter().filter_map(|found| found.name).collect::<Vec<_>>(), [CARD, IBAN]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn in_a_moment_nothing_is_found(
            text in "(19|20)[0-9]{2}-(0[0-9]|1[0-2])-([0-2][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\
                     (\\.[0-9]{1,6}Z?|(\\.[0-9]{1,3})?([+-][0-9]{2}:[0-9]{2})?)",
            card: bool,
        ) {
            prop_assert!(is_moment(&text), "{text}");
            prop_assert!(RULES.find_all(&text, card).is_empty(), "{text}");
        }
    }
}
