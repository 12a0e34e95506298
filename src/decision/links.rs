//! Links in the suggested response: only to the hosts that the profile lists.
//!
//! Chat windows make links of nearly everything that looks like one, so what counts is the look: addresses with a
//! scheme, bare domains and e-mail addresses alike.

use std::sync::LazyLock;

use regex::{Captures, Match, Regex};

use super::{
    SchemaError,
    clean::{Pattern, compiled},
};

/// Country code domains, and the generic ones that messengers are known to turn into links.
const TOP_LEVEL: &str = "ac|ad|ae|af|ag|ai|al|am|ao|aq|ar|as|at|au|aw|ax|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bm|bn|bo|br|bs|\
    bt|bw|by|bz|ca|cc|cd|cf|cg|ch|ci|ck|cl|cm|cn|co|cr|cu|cv|cw|cx|cy|cz|de|dj|dk|dm|do|dz|ec|ee|eg|er|es|et|eu|fi|fj|\
    fk|fm|fo|fr|ga|gb|gd|ge|gf|gg|gh|gi|gl|gm|gn|gp|gq|gr|gs|gt|gu|gw|gy|hk|hm|hn|hr|ht|hu|id|ie|il|im|in|io|iq|ir|is|\
    it|je|jm|jo|jp|ke|kg|kh|ki|km|kn|kp|kr|kw|ky|kz|la|lb|lc|li|lk|lr|ls|lt|lu|lv|ly|ma|mc|md|me|mg|mh|mk|ml|mm|mn|mo|\
    mp|mq|mr|ms|mt|mu|mv|mw|mx|my|mz|na|nc|ne|nf|ng|ni|nl|no|np|nr|nu|nz|om|pa|pe|pf|pg|ph|pk|pl|pm|pn|pr|ps|pt|pw|py|\
    qa|re|ro|rs|ru|rw|sa|sb|sc|sd|se|sg|sh|si|sk|sl|sm|sn|so|sr|ss|st|su|sv|sx|sy|sz|tc|td|tf|tg|th|tj|tk|tl|tm|tn|to|\
    tr|tt|tv|tw|tz|ua|ug|uk|us|uy|uz|va|vc|ve|vg|vi|vn|vu|wf|ws|ye|yt|za|zm|zw|\
    com|net|org|info|biz|edu|gov|mil|int|arpa|aero|app|art|asia|autos|bank|bar|beauty|best|bet|bid|blog|bond|buzz|cam|\
    cash|casino|cat|center|cfd|chat|city|click|cloud|club|company|coop|credit|cyou|date|dev|digital|direct|email|\
    exchange|expert|express|finance|fit|foundation|fun|games|gdn|global|gmbh|group|guru|health|host|icu|inc|ink|jobs|\
    kim|land|life|link|live|llc|loan|lol|ltd|market|media|men|mobi|money|monster|museum|name|network|news|ninja|one|\
    online|ooo|page|party|pay|plus|press|pro|quest|racing|red|rent|rest|review|rocks|sale|sbs|school|science|services|\
    shop|site|social|software|solutions|space|store|stream|studio|support|systems|team|tech|tel|tips|today|tools|top|\
    trade|travel|vip|video|wang|web|website|wiki|win|work|world|wtf|xin|xyz|zip|zone|xn--[a-z0-9-]+";

/// The same in other scripts.
const TOP_LEVEL_ELSEWHERE: &str = "рф|рус|онлайн|сайт|укр|бел|срб|мкд|中国|中國|中文网|公司|网络|在线|香港|台湾|みんな|コム|한국|닷컴|\
    السعودية|مصر|امارات|भारत|ไทย";

/// What may stand in an address after its scheme or its host. ASCII only: the text around it need not use blanks.
const ADDRESS: &str = r##"[!#-&*-;=?-Z\\_a-z~]"##;

static IMAGES: Pattern = LazyLock::new(|| Regex::new(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"));

/// A markdown link: its text, its target.
static MARKDOWN: Pattern = LazyLock::new(|| Regex::new(r"\[([^\[\]]*)\]\(\s*<?([^)\s>]*)[^)]*\)"));

/// An address with a scheme (1; browsers take backslashes for slashes, and need neither after `https:`), a script, data or telephone address, a bare domain or e-mail address (2) with what may
/// surround it, or an IP address with a port or path.
///
/// A label is ASCII or has none of it, so that words of a language without blanks end where a domain begins. Between
/// ASCII labels every dot counts that browsers accept.
static ADDRESSES: Pattern = LazyLock::new(|| {
    let ascii = "[a-z0-9][a-z0-9_-]*";
    let other = r"[\p{L}\p{M}\p{N}&&[^\x00-\x7f]]+";
    let end = format!("(?:{TOP_LEVEL})(?-u:\\b)");
    let domain = format!("(?:(?:{ascii}|{other})[.．])+(?:{end}|{TOP_LEVEL_ELSEWHERE})|(?:{ascii}[.。．｡])+{end}");
    Regex::new(&format!(
        "(?i)([a-z][a-z0-9+.-]*:[/\\\\]{{2}}(?:\\[[0-9a-f:.%]*\\])?{ADDRESS}*|(?:https?|ftp|wss?):{ADDRESS}+)\
        |(?:(?:java|vb)script:|data:[a-z]+/)\\S+|(?:tel|sms):{ADDRESS}+\
        |(?:mailto:)?((?:[a-z0-9._%+-]+[@＠])?(?:{domain}))(?::[0-9]+)?(?:[/?#]{ADDRESS}*)?\
        |(?-u:\\b)[0-9]{{1,3}}(?:[.][0-9]{{1,3}}){{3}}[:/]{ADDRESS}*"
    ))
});

/// Removes links to hosts that are not on a list.
pub(super) struct Links {
    hosts: Vec<String>,
    images: Regex,
    markdown: Regex,
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
        let text = self.images.replace_all(text, "");
        let text = self.markdown.replace_all(&text, |link: &Captures<'_>| {
            let part = |group| link.get(group).map_or("", |m: Match<'_>| m.as_str());
            let kept = if self.allows_address(part(2)) { part(0) } else { part(1) };
            kept.to_owned()
        });
        self.without_addresses(&text.replace("![", "! ["), look)
    }

    fn without_addresses(&self, text: &str, look: Look) -> String {
        let mut kept = String::with_capacity(text.len());
        let mut end = 0;
        for found in self.addresses.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            kept.push_str(&text[end..whole.start()]);
            let link = whole.as_str().trim_end_matches(['.', ',', ';', ':', '!', '?']);
            end = whole.start() + link.len();
            let passes = look == Look::Scheme && found.get(1).is_none() && !has_scheme(link);
            let verdict = if passes { Verdict::Prose } else { self.judge(&found, &text[whole.end()..]) };
            match verdict {
                Verdict::Foreign => close_gap(&mut kept, &text[end..]),
                Verdict::Allowed if kept.ends_with(|c: char| !c.is_whitespace() && may_join(c)) => {
                    kept.extend([" ", link]);
                }
                Verdict::Allowed | Verdict::Prose => kept.push_str(link),
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
        let (Some(domain), Some(whole)) = (found.get(2), found.get(0)) else { return Verdict::Foreign };
        let goes_on = whole.end() > domain.end() || after.starts_with(['/', ':']);
        if after.starts_with(is_accented) || (!goes_on && is_sentence_joint(domain.as_str())) {
            return Verdict::Prose;
        }
        let host = domain.as_str().rsplit(['@', '＠']).next().unwrap_or_default();
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

enum Verdict {
    /// No link at all.
    Prose,
    Allowed,
    Foreign,
}

/// A character that could make another domain of the one that follows it.
fn may_join(c: char) -> bool {
    !c.is_ascii() || matches!(c, '-' | '_' | '.')
}

/// Two sentences without a blank between them (`is done.It will`): a capital begins the second. Not so for the domains
/// that nobody takes for a word.
fn is_sentence_joint(domain: &str) -> bool {
    let last = domain.rsplit(['.', '。', '．', '｡']).next().unwrap_or_default();
    let mut letters = last.chars();
    let capitalised = letters.next().is_some_and(char::is_uppercase) && letters.all(char::is_lowercase);
    let surely = matches!(last.to_ascii_lowercase().as_str(), "com" | "net" | "org");
    capitalised && !surely && !domain.to_lowercase().starts_with("www.") && !domain.contains(['@', '＠'])
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
