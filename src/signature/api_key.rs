//! Scheme `api-key`: the secret itself in a header, in the four forms that Cognigy's HTTP Request node can send.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Forged, headers, key::Tag};

/// Hash of a key. Hashes have one length, so comparing them tells nothing about the length of the secret.
pub(super) fn digest(key: &[u8]) -> Tag {
    Sha256::digest(key).into()
}

/// The hash of the one key in the headers. Two credentials, even equal ones, are as bad as none.
pub(super) fn presented(headers: &HeaderMap) -> Result<Tag, Forged> {
    match (headers.contains_key(headers::API_KEY), headers.contains_key(AUTHORIZATION)) {
        (true, false) => headers::only(headers, headers::API_KEY).map(digest),
        (false, true) => authorization(headers::only(headers, AUTHORIZATION.as_str())?),
        _ => Err(Forged::Missing),
    }
}

/// `ApiKey k`, `Bearer k` or `Basic base64(user:k)`; the scheme's name in any case (RFC 9110 §11.1).
fn authorization(value: &[u8]) -> Result<Tag, Forged> {
    let space = value.iter().position(|byte| *byte == b' ').ok_or(Forged::Malformed)?;
    let (scheme, credentials) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"ApiKey") || scheme.eq_ignore_ascii_case(b"Bearer") {
        Ok(digest(credentials))
    } else if scheme.eq_ignore_ascii_case(b"Basic") {
        basic_password(credentials)
    } else {
        Err(Forged::Malformed)
    }
}

/// The password of RFC 7617: all after the first colon. The user's name means nothing here.
fn basic_password(credentials: &[u8]) -> Result<Tag, Forged> {
    let pair = Zeroizing::new(STANDARD.decode(credentials).map_err(|_| Forged::Malformed)?);
    let colon = pair.iter().position(|byte| *byte == b':').ok_or(Forged::Malformed)?;
    Ok(digest(&pair[colon + 1..]))
}
