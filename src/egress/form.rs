//! The form of a callback URL: what is wrong with its text, whoever wrote it.

use url::Url;

use super::EgressError;
use crate::customer_text;

/// Longest URL, in bytes.
const LONGEST: usize = 2048;

/// Parses a URL and refuses what has no business in a callback.
///
/// The URL standard repairs much before it parses: it drops tabs and line ends, trims, reads `\` as `/`, and forgets an
/// empty `@`; and international names lose their invisible characters. Whoever checked or logged the text before would have seen another URL, so the text is judged first.
pub(super) fn parse(raw: &str, allow_http: bool) -> Result<Url, EgressError> {
    if raw.len() > LONGEST {
        return Err(EgressError::TooLong);
    }
    if !is_clear(raw) {
        return Err(EgressError::Character);
    }
    // With fewer or more than two slashes the standard would find a host all the same.
    let rest = raw.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//")).ok_or(EgressError::NotAUrl)?;
    if rest.starts_with('/') {
        return Err(EgressError::NotAUrl);
    }
    let url = Url::parse(raw).map_err(|_| EgressError::NotAUrl)?;
    if !(url.scheme() == "https" || (allow_http && url.scheme() == "http")) {
        return Err(EgressError::Scheme);
    }
    if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(EgressError::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(EgressError::Fragment);
    }
    if url.port() == Some(0) {
        return Err(EgressError::Port);
    }
    Ok(url)
}

/// True for a text that everybody reads alike.
fn is_clear(raw: &str) -> bool {
    let unclear = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if raw.is_ascii() {
        return raw.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    }
    !raw.chars().any(unclear) && customer_text::is_visible(raw)
}
