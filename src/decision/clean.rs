//! The suggested response as plain text that no channel can take for more than text.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::{SchemaError, links::Links};
use crate::customer_text;

/// A text is cleaned until nothing changes, as what one step takes out can complete what another one looks for. More
/// rounds than this only somebody wants who is up to no good.
const MAX_ROUNDS: usize = 8;

/// Longest response that is cleaned: twice what 2,000 characters can take.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

pub(super) type Pattern = LazyLock<Result<Regex, regex::Error>>;

/// Character references: by number, and by the names that can hide markup or a link.
static REFERENCES: Pattern = LazyLock::new(|| {
    Regex::new(
        r"(?i)&(?:#(\d{1,7});?|#x([0-9a-f]{1,6});?|(amp|lt|gt|quot|apos|nbsp|colon|sol|bsol|period|commat|tab|newline|excl|num|quest|lpar|rpar|shy\
        |lcub|rcub|lbrace|rbrace|lsqb|rsqb|lbrack|rbrack);)",
    )
});

/// Comments, scripts and styles with their content, then single tags. One expression each: as alternatives of one, an
/// opening without its end would be searched to the end of the text again and again.
static MARKUP: [Pattern; 4] = [
    LazyLock::new(|| Regex::new(r"(?s)<!--.*?-->")),
    LazyLock::new(|| Regex::new(r"(?is)<script\b.*?</script\s*>")),
    LazyLock::new(|| Regex::new(r"(?is)<style\b.*?</style\s*>")),
    LazyLock::new(|| Regex::new(r"(?i)<(/?[a-z][a-z0-9]*)[^<>]*>|<[/!?a-z][^<>]*>")),
];

/// What a browser could take for the beginning of a tag.
static OPENINGS: Pattern = LazyLock::new(|| Regex::new(r"<+([A-Za-z/!?])"));

/// Cleans the texts of a decision.
pub(super) struct Cleaner {
    references: Regex,
    markup: Vec<Regex>,
    openings: Regex,
    links: Links,
}

/// The regular expression behind a static, compiled at its first use and shared after it.
pub(super) fn compiled(pattern: &'static Pattern) -> Result<Regex, SchemaError> {
    pattern.as_ref().map(Regex::clone).map_err(|error| SchemaError(error.to_string()))
}

impl Cleaner {
    /// `link_hosts` are the hosts that a response may lead to.
    pub(super) fn new(link_hosts: &[String]) -> Result<Self, SchemaError> {
        Ok(Self {
            references: compiled(&REFERENCES)?,
            markup: MARKUP.iter().map(compiled).collect::<Result<_, _>>()?,
            openings: compiled(&OPENINGS)?,
            links: Links::new(link_hosts)?,
        })
    }

    /// A suggested response: no invisible characters, HTML, markdown images, links to hosts outside the list, or
    /// CognigyScript. The order matters: each step can uncover what a later one removes.
    ///
    /// A text beyond 16 KiB is left to the schema, which refuses it for its length, and one that eight rounds do not make
    /// clean becomes empty, which the schema refuses, too.
    pub(super) fn response(&self, text: &str) -> String {
        if text.len() > MAX_RESPONSE_BYTES {
            return text.to_owned();
        }
        until_stable(self.response_once(text), |text| self.response_once(text))
    }

    fn response_once(&self, text: &str) -> String {
        let text = self.references.replace_all(text, character);
        let text = folded(customer_text::visible(&text));
        let text = self.without_markup(&text);
        let text = self.openings.replace_all(&text, "$1");
        let text = self.links.without_foreign(&text);
        let text = self.openings.replace_all(&text, "< $1");
        without_script(&text).trim().to_owned()
    }

    /// An intent or the value of a parameter: no invisible characters, HTML, addresses with a scheme to hosts outside the
    /// list, or CognigyScript. Bare domains and e-mail addresses stay: they are what customers are asked for.
    pub(super) fn word<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = customer_text::visible(text);
        if !text.contains(['<', '&', '[', ':', '{', '}']) {
            return text;
        }
        let cleaned = until_stable(self.word_once(&text), |text| self.word_once(text));
        if cleaned == text { text } else { Cow::Owned(cleaned) }
    }

    fn word_once(&self, text: &str) -> String {
        let cleaned = self.references.replace_all(text, character);
        let cleaned = customer_text::visible(&cleaned);
        let cleaned = self.without_markup(&cleaned);
        let cleaned = self.openings.replace_all(&cleaned, "$1");
        let cleaned = self.links.without_foreign_schemes(&cleaned);
        let cleaned = self.openings.replace_all(&cleaned, "< $1");
        without_script(&cleaned).into_owned()
    }

    /// The same for every string inside a value; fields whose names could pass for markup or a link are dropped.
    pub(super) fn words(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(cleaned) = self.word(text) {
                    *text = cleaned;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.words(item)),
            Value::Object(fields) => {
                fields.retain(|name, _| is_name(name));
                fields.values_mut().for_each(|value| self.words(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn without_markup<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for _ in 0..MAX_ROUNDS {
            let before = text.len();
            for pattern in &self.markup {
                if let Cow::Owned(less) = pattern.replace_all(&text, gap) {
                    text = Cow::Owned(less);
                }
            }
            if text.len() == before {
                break;
            }
        }
        text
    }
}

/// What is left once another cleaning changes nothing; empty if that takes too many.
fn until_stable(mut text: String, clean: impl Fn(&str) -> String) -> String {
    for _ in 0..MAX_ROUNDS {
        let cleaner = clean(&text);
        if cleaner == text {
            return text;
        }
        text = cleaner;
    }
    String::new()
}

/// Letters, digits and dots in ornamental forms as the plain ones that browsers make of them: a domain can be written so.
fn folded(text: Cow<'_, str>) -> Cow<'_, str> {
    let ornamental = |c: char| matches!(c, '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ' | '\u{2024}' | '\u{24b6}'..='\u{24e9}' | '\u{1d400}'..='\u{1d7ff}');
    if !text.contains(ornamental) {
        return text;
    }
    let plain = |c: char| if ornamental(c) { std::iter::once(c).nfkc().collect::<String>() } else { c.to_string() };
    Cow::Owned(text.chars().map(plain).collect())
}

/// A name that is nothing but a name, also to a program in JavaScript.
fn is_name(name: &str) -> bool {
    if matches!(name, "__proto__" | "constructor" | "prototype") {
        return false;
    }
    let plain = !name.contains(['<', '>', '{', '}', '[', ']', '"', '\\', '`', '&']) && !name.contains("://");
    plain && name.chars().count() <= 128 && matches!(customer_text::visible(name), Cow::Borrowed(_))
}

/// The character that a reference stands for.
fn character(reference: &Captures<'_>) -> String {
    let number =
        |group: usize, radix: u32| reference.get(group).and_then(|m| u32::from_str_radix(m.as_str(), radix).ok());
    if let Some(code) = number(1, 10).or_else(|| number(2, 16)) {
        return char::from_u32(code).map(String::from).unwrap_or_default();
    }
    let name = reference.get(3).map_or("", |m| m.as_str()).to_ascii_lowercase();
    match name.as_str() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        "nbsp" => " ",
        "tab" => "\t",
        "newline" => "\n",
        "shy" => "",
        "excl" => "!",
        "num" => "#",
        "quest" => "?",
        "lpar" => "(",
        "rpar" => ")",
        "lcub" | "lbrace" => "{",
        "rcub" | "rbrace" => "}",
        "lsqb" | "lbrack" => "[",
        "rsqb" | "rbrack" => "]",
        "bsol" => "\\",
        "colon" => ":",
        "sol" => "/",
        "period" => ".",
        _ => "@",
    }
    .to_owned()
}

/// What a tag leaves behind: a link in angle brackets its address, the end of a block a new line, others nothing.
fn gap(tag: &Captures<'_>) -> String {
    let whole = tag.get(0).map_or("", |m| m.as_str());
    let inside = &whole[1..whole.len() - 1];
    if inside.contains("://") && !inside.contains(char::is_whitespace) {
        return inside.to_owned();
    }
    match tag.get(1).map(|name| name.as_str().to_ascii_lowercase()).as_deref() {
        Some("br" | "/p" | "/div" | "/li" | "/tr" | "/h1" | "/h2" | "/h3" | "/h4") => "\n".to_owned(),
        _ => String::new(),
    }
}

/// Parts doubled braces, between which Cognigy would evaluate an expression.
fn without_script(text: &str) -> Cow<'_, str> {
    if !text.contains("{{") && !text.contains("}}") {
        return Cow::Borrowed(text);
    }
    let mut parted = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if matches!(c, '{' | '}') && parted.ends_with(c) {
            parted.push(' ');
        }
        parted.push(c);
    }
    Cow::Owned(parted)
}
