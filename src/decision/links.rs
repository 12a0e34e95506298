//! Links in the suggested response: only to the hosts that the profile lists.
//!
//! Chat windows make links of nearly everything that looks like one, so what counts is the look: addresses with a
//! scheme, bare domains and e-mail addresses alike.

use regex::{Captures, Match, Regex};

use super::{
    SchemaError,
    clean::compiled,
    link_patterns::{ADDRESSES, AT, DOTS, IMAGES, MARKDOWN, TARGETS},
};

/// Removes links to hosts that are not on a list.
pub(super) struct Links {
    hosts: Vec<String>,
    images: Regex,
    markdown: Regex,
    targets: Regex,
    addresses: Regex,
}

impl Links {
    pub(super) fn new(hosts: &[String]) -> Result<Self, SchemaError> {
        let plain = |host: &&String| {
            let name = host.strip_prefix("*.").unwrap_or(host);
            name.contains('.') && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'))
        };
        if let Some(host) = hosts.iter().find(|host| !plain(host)) {
            return Err(SchemaError(format!("link host \"{host}\" must be a host such as help.example.com")));
        }
        Ok(Self {
            hosts: hosts.iter().map(|host| host.to_lowercase()).collect(),
            images: compiled(&IMAGES)?,
            markdown: compiled(&MARKDOWN)?,
            targets: compiled(&TARGETS)?,
            addresses: compiled(&ADDRESSES)?,
        })
    }

    /// The text without images and without links that lead elsewhere. Of a markdown link its words stay.
    pub(super) fn without_foreign(&self, text: &str) -> String {
        self.without(text, Look::Any)
    }

    /// The same, but of addresses only those with a scheme are taken out.
    pub(super) fn without_foreign_schemes(&self, text: &str) -> String {
        self.without(text, Look::Scheme)
    }

    fn without(&self, text: &str, look: Look) -> String {
        let part = |link: &Captures<'_>, group| link.get(group).map_or("", |m: Match<'_>| m.as_str()).to_owned();
        let text = self.images.replace_all(text, "");
        let text = self.markdown.replace_all(&text, |link: &Captures<'_>| {
            let kept = if self.allows_address(&part(link, 2)) { 0 } else { 1 };
            part(link, kept)
        });
        let text = self.targets.replace_all(&text, |link: &Captures<'_>| {
            if self.allows_address(&part(link, 1)) { part(link, 0) } else { "]".to_owned() }
        });
        self.without_addresses(&text.replace("![", "! ["), look)
    }

    fn without_addresses(&self, text: &str, look: Look) -> String {
        let mut kept = String::with_capacity(text.len());
        let mut end = 0;
        for found in self.addresses.captures_iter(text) {
            let Some(whole) = found.get(0).filter(|whole| whole.start() >= end) else { continue };
            kept.push_str(&text[end..whole.start()]);
            let link = whole.as_str().trim_end_matches(['.', ',', ';', ':', '!', '?']);
            end = whole.start() + link.len();
            let is_scheme = found.get(1).is_some() || has_scheme(link) || goes_on_as_scheme(&text[whole.end()..]);
            let passes = look == Look::Scheme && !is_scheme;
            let verdict = if passes { Verdict::Prose } else { self.judge(&found, &text[whole.end()..]) };
            let verdict = if verdict == Verdict::Allowed { with_tail(&found, &text[end..]) } else { verdict };
            match verdict {
                Verdict::Prose => kept.push_str(link),
                Verdict::Allowed => push_apart(&mut kept, link),
                Verdict::Joined => {
                    push_apart(&mut kept, link);
                    kept.push(' ');
                }
                Verdict::Foreign => close_gap(&mut kept, &text[end..]),
                Verdict::Astray => {
                    end += word(&text[end..]).len();
                    close_gap(&mut kept, &text[end..]);
                }
            }
        }
        kept.push_str(&text[end..]);
        kept
    }

    fn judge(&self, found: &Captures<'_>, after: &str) -> Verdict {
        let verdict = |allowed| if allowed { Verdict::Allowed } else { Verdict::Foreign };
        if let Some(address) = found.get(1) {
            return verdict(self.allows_address(address.as_str()));
        }
        let (Some(domain), Some(whole)) = (domain(found), found.get(0)) else { return Verdict::Foreign };
        let goes_on = whole.len() > domain.len() || after.starts_with(['/', ':']);
        let name = domain.as_str();
        if !goes_on && !is_surely_link(name) && (after.starts_with(is_accented) || is_sentence_joint(name)) {
            return Verdict::Prose;
        }
        let host = name.rsplit(AT).next().unwrap_or_default().trim_start_matches(['/', '\\']);
        verdict(self.allows_host(host))
    }

    /// An http address whose host is on the list, with nothing before the host that could pass for one.
    fn allows_address(&self, address: &str) -> bool {
        let lower = address.to_ascii_lowercase();
        let Some(rest) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) else { return false };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let host = authority.split(':').next().unwrap_or(authority).trim_end_matches(['.', ',', ';', '!']);
        !authority.contains(['@', '\\', '%']) && self.allows_host(host)
    }

    fn allows_host(&self, host: &str) -> bool {
        let host = host.to_lowercase();
        self.hosts.iter().any(|allowed| match allowed.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
            None => host == *allowed,
        })
    }
}

/// What is taken for a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Whatever a chat window could make one of.
    Any,
    /// Only what says so itself.
    Scheme,
}

/// An address that runs something, or one with another inside its path.
fn has_scheme(link: &str) -> bool {
    let scheme = link.split(':').next().unwrap_or_default();
    let executable = ["javascript", "vbscript", "data"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    executable || [":/", ":\\"].iter().any(|mark| link.contains(mark))
}

/// What was found is the scheme of an address itself, by what follows it (`a@b.c://d`).
fn goes_on_as_scheme(after: &str) -> bool {
    after.starts_with(":/") || after.starts_with(":\\")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// No link at all.
    Prose,
    Allowed,
    /// Allowed, and what follows without a blank could be taken for more of it.
    Joined,
    Foreign,
    /// Allowed but for what follows, with which it leads elsewhere: foreign up to the next blank.
    Astray,
}

/// The bare domain that was found, or the e-mail address.
fn domain<'t>(found: &Captures<'t>) -> Option<Match<'t>> {
    found.get(2).or_else(|| found.get(3))
}

/// The verdict on an allowed link, by what follows it. A browser reads more as the host than is ever written in one: all
/// up to a slash, a question mark or a hash; and what stands before an `@` is only the name of a user to it.
fn with_tail(found: &Captures<'_>, after: &str) -> Verdict {
    let tail = word(after).split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if has_closed_host(found) {
        return Verdict::Allowed;
    }
    let to_user = tail.contains(AT);
    if found.get(1).is_none() {
        return if to_user { Verdict::Joined } else { Verdict::Allowed };
    }
    let is_under_another = tail.strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    if to_user || is_under_another {
        Verdict::Astray
    } else if tail.trim_start_matches(DOTS).starts_with(char::is_alphanumeric) || may_name_another(tail) {
        Verdict::Joined
    } else {
        Verdict::Allowed
    }
}

/// Whether a link says itself where its host ends.
fn has_closed_host(found: &Captures<'_>) -> bool {
    let rest = match (found.get(1), found.get(0), domain(found)) {
        (Some(address), ..) => address.as_str().split_once("//").map(|(_, rest)| rest),
        (None, Some(whole), Some(domain)) => whole.as_str().get(domain.end() - whole.start()..),
        _ => None,
    };
    rest.is_some_and(|rest| rest.contains(['/', '?', '#']))
}

/// Whether a domain could hide behind the marks that follow a link (`'.evil.com`). A full stop of a language without
/// blanks hides none unless ASCII follows it.
fn may_name_another(tail: &str) -> bool {
    let after_dot = |(at, dot): (usize, &str)| {
        let next = tail[at + dot.len()..].chars().next();
        next.is_some_and(|c| c.is_alphanumeric() && (c.is_ascii() || !matches!(dot, "。" | "｡")))
    };
    tail.contains('%') || tail.match_indices(DOTS).any(after_dot)
}

/// What stands before the first blank.
fn word(text: &str) -> &str {
    text.split(char::is_whitespace).next().unwrap_or_default()
}

/// Puts a link behind what cannot be taken for its beginning.
fn push_apart(kept: &mut String, link: &str) {
    if kept.ends_with(|c: char| !c.is_whitespace() && may_join(c)) {
        kept.push(' ');
    }
    kept.push_str(link);
}

/// A character that could make another domain of the one that follows it.
fn may_join(c: char) -> bool {
    !c.is_ascii() || matches!(c, '-' | '_' | '.')
}

/// What nobody takes for words, whatever its last label.
fn is_surely_link(domain: &str) -> bool {
    let domain = domain.to_lowercase();
    let is_www = domain.strip_prefix("www").is_some_and(|rest| rest.starts_with(DOTS));
    is_www || domain.contains(AT) || domain.starts_with(['/', '\\'])
}

/// Two sentences without a blank between them (`is done.It will`): letters and one dot, and a capital begins the second.
/// Not so for the domains that nobody takes for a word.
fn is_sentence_joint(domain: &str) -> bool {
    let Some((first, second)) = domain.split_once(DOTS) else { return false };
    let mut letters = second.chars();
    let capitalised = letters.next().is_some_and(char::is_uppercase) && letters.all(char::is_lowercase);
    let surely = matches!(second.to_ascii_lowercase().as_str(), "com" | "net" | "org");
    first.chars().all(char::is_alphabetic) && capitalised && !surely
}

/// A Latin letter beyond ASCII: a word that begins like a top-level domain goes on with it (`fini.naïf`).
fn is_accented(c: char) -> bool {
    c.is_alphabetic() && ('\u{c0}'..'\u{250}').contains(&c)
}

/// Leaves one blank where something was taken out between words, and none before punctuation.
fn close_gap(kept: &mut String, after: &str) {
    let next = after.chars().next();
    if next.is_none_or(|c| c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')')) {
        kept.truncate(kept.trim_end_matches(' ').len());
    } else if !kept.is_empty() && !kept.ends_with(|c: char| c.is_whitespace() || matches!(c, '(' | '[')) {
        kept.push(' ');
    }
}
