//! Names of the headers, and reading them strictly: once each, in one form only.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;

use super::{Forged, key::Tag};

pub(super) const SIGNATURE: &str = "x-webhook-signature";
pub(super) const TIMESTAMP: &str = "x-webhook-timestamp";
pub(super) const STANDARD_ID: &str = "webhook-id";
pub(super) const STANDARD_TIMESTAMP: &str = "webhook-timestamp";
pub(super) const STANDARD_SIGNATURE: &str = "webhook-signature";
pub(super) const API_KEY: &str = "x-api-key";

/// Signatures looked at in one `webhook-signature`; a rotation needs two.
const MOST_SIGNATURES: usize = 10;

/// Longest `webhook-id`, in characters.
const LONGEST_ID: usize = 256;

/// The header's only value. A proxy and we might each read another one of two, so two are as bad as none.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], Forged> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        _ => Err(Forged::Missing),
    }
}

/// `[sha256=]<64 hex digits, either case>`.
pub(super) fn hex_signature(value: &[u8]) -> Result<Tag, Forged> {
    let mut tag = Tag::default();
    hex::decode_to_slice(value.strip_prefix(b"sha256=").unwrap_or(value), &mut tag).map_err(|_| Forged::Malformed)?;
    Ok(tag)
}

/// `v1,<base64>` entries, separated by spaces. What is not of this form (also `v1a`, which is Ed25519) is skipped.
pub(super) fn standard_signatures(value: &[u8]) -> Result<Vec<Tag>, Forged> {
    let entries: Vec<_> = value.split(|byte| *byte == b' ').filter(|entry| !entry.is_empty()).collect();
    if entries.len() > MOST_SIGNATURES {
        return Err(Forged::Malformed);
    }
    let tags: Vec<_> = entries.into_iter().filter_map(standard_signature).collect();
    if tags.is_empty() { Err(Forged::Malformed) } else { Ok(tags) }
}

fn standard_signature(entry: &[u8]) -> Option<Tag> {
    STANDARD.decode(entry.strip_prefix(b"v1,")?).ok()?.try_into().ok()
}

/// Unix seconds in 1 to 12 digits.
pub(super) fn timestamp(value: &[u8]) -> Result<u64, Forged> {
    if value.is_empty() || value.len() > 12 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Forged::Malformed);
    }
    Ok(value.iter().fold(0, |seconds, digit| seconds * 10 + u64::from(digit - b'0')))
}

/// 1 to 256 visible ASCII characters without a dot, which would blur where the id ends in the signed bytes.
pub(super) fn standard_id(value: &[u8]) -> Result<&str, Forged> {
    let visible = value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
    if value.is_empty() || value.len() > LONGEST_ID || !visible {
        return Err(Forged::Malformed);
    }
    str::from_utf8(value).map_err(|_| Forged::Malformed)
}
