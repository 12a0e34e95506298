//! The hosts that a trigger may name.

use url::{Host, Url};

use super::EgressError;

/// The parsed entries of `allow_hosts`.
pub(super) struct AllowList(Vec<Entry>);

struct Entry {
    host: HostRule,
    port: PortRule,
}

enum HostRule {
    Exactly(Host),
    /// Every name that ends so; it starts with the dot, so that `badexample.com` is not below `example.com`.
    Below(String),
}

enum PortRule {
    /// That of the URL's scheme: 443 for `https`, 80 for `http`.
    OfScheme,
    Exactly(u16),
    Any,
}

impl AllowList {
    pub(super) fn new(entries: &[String]) -> Result<Self, EgressError> {
        let parsed = (1..).zip(entries).map(|(number, text)| Entry::parse(text).ok_or(EgressError::AllowList(number)));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn allows(&self, url: &Url) -> bool {
        self.0.iter().any(|entry| entry.port.allows(url) && entry.host.allows(url))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_port(text)?;
        let host = match host.strip_prefix("*.") {
            Some(parent) => HostRule::below(parent)?,
            None => HostRule::Exactly(parse_host(host)?),
        };
        Some(Self { host, port })
    }
}

impl HostRule {
    fn below(parent: &str) -> Option<Self> {
        match parse_host(parent)? {
            Host::Domain(name) => Some(Self::Below(format!(".{name}"))),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    fn allows(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Self::Exactly(wanted), Some(host)) => *wanted == host,
            (Self::Below(ending), Some(Host::Domain(name))) => {
                name.strip_suffix(ending.as_str()).is_some_and(|front| !front.is_empty())
            }
            _ => false,
        }
    }
}

impl PortRule {
    fn allows(&self, url: &Url) -> bool {
        match self {
            Self::OfScheme => url.port().is_none(),
            Self::Exactly(port) => url.port_or_known_default() == Some(*port),
            Self::Any => true,
        }
    }
}

/// Splits `host[:port]`; the colons inside `[…]` belong to the host.
fn split_port(text: &str) -> Option<(&str, PortRule)> {
    let host_end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = text[host_end..].find(':') else { return Some((text, PortRule::OfScheme)) };
    let (host, port) = (&text[..host_end + colon], &text[host_end + colon + 1..]);
    if port == "*" {
        return Some((host, PortRule::Any));
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0)?;
    Some((host, PortRule::Exactly(port)))
}

/// Normalises a host as the URL standard does, so that an entry and a URL meet in one spelling.
fn parse_host(text: &str) -> Option<Host> {
    let plain = !text.is_empty() && !text.starts_with('.') && !text.contains('*');
    plain.then(|| Host::parse(text).ok()).flatten()
}
