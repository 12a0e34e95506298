//! Secret text → HMAC key.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Scheme;
use crate::secret::Secret;

/// What Standard Webhooks puts before a secret in base64.
const PREFIX: &str = "whsec_";

/// OWASP's least length of a webhook secret, in bytes.
const STRONG: usize = 32;

/// Padding of a *secret* may be missing (people lose it when copying); a *signature* must have it.
const SECRET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret cannot serve as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Empty, only white space, or nothing after `whsec_`. Also: no secret at all.
    #[error("is empty")]
    Blank,
    /// Scheme `standard` needs base64, and so does everything after `whsec_`.
    #[error("is not valid base64")]
    Undecodable,
}

/// True for a secret with less than 32 bytes of key: usable, but worth a warning. The decoded ones count after `whsec_`,
/// and in scheme `standard` always.
#[must_use]
pub fn weak(scheme: Scheme, secret: &Secret) -> bool {
    let text = secret.expose();
    let encoded = text.strip_prefix(PREFIX).or((scheme == Scheme::Standard).then_some(text));
    match encoded.map(decode) {
        Some(Ok(key)) => key.len() < STRONG,
        _ => text.len() < STRONG,
    }
}

/// A 256-bit MAC.
pub(super) type Tag = [u8; 32];

/// An HMAC-SHA256 key with its first block already absorbed; wiped when dropped, as a secret is.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    /// The text itself is the key: the `hex-*` schemes, as the original service had it.
    pub(super) fn from_text(secret: &Secret) -> Result<Self, KeyError> {
        refuse_blank(secret)?;
        Self::from_bytes(secret.expose().as_bytes())
    }

    /// The text is base64, with or without `whsec_`: scheme `standard`.
    pub(super) fn from_base64(secret: &Secret) -> Result<Self, KeyError> {
        refuse_blank(secret)?;
        let text = secret.expose();
        Self::from_bytes(&decode(text.strip_prefix(PREFIX).unwrap_or(text))?)
    }

    /// The MAC of the parts, one after the other.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Hmac::new_from_slice(bytes).map(Self).map_err(|_| KeyError::Undecodable)
    }
}

/// Refuses what nobody can have meant as a secret, whatever the scheme.
pub(super) fn refuse_blank(secret: &Secret) -> Result<(), KeyError> {
    let text = secret.expose();
    let blank = text.strip_prefix(PREFIX).unwrap_or(text).trim().is_empty();
    if blank { Err(KeyError::Blank) } else { Ok(()) }
}

/// True when the text says of itself that it is base64.
pub(super) fn is_prefixed(secret: &Secret) -> bool {
    secret.expose().starts_with(PREFIX)
}

fn decode(encoded: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let key = SECRET_BASE64.decode(encoded).map_err(|_| KeyError::Undecodable)?;
    if key.is_empty() { Err(KeyError::Undecodable) } else { Ok(Zeroizing::new(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1, 2, 3, 4, 6 and 7 (5 truncates the output).
    #[test]
    fn the_vectors_of_rfc_4231_hold() {
        for (key, data, expected) in [
            (vec![0x0b; 20], b"Hi There".to_vec(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (vec![0xaa; 20], vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            ((1..=25).collect(), vec![0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                vec![0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size data. \
                  The key needs to be hashed before being used by the HMAC algorithm."
                    .to_vec(),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            let key = Key::from_bytes(&key).unwrap();
            let (front, back) = data.split_at(data.len() / 2);
            assert_eq!(hex::encode(key.tag(&[&data])), expected);
            assert_eq!(hex::encode(key.tag(&[front, b"", back])), expected, "in parts");
        }
    }

    #[test]
    fn a_secret_serves_or_is_refused_by_scheme() {
        use KeyError::{Blank, Undecodable};
        for (text, as_text, as_base64) in [
            ("plain text secret", None, Some(Undecodable)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None, None),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None, None),
            ("whsec_AAE=", None, None),
            ("whsec_AAE", None, None),
            ("whsec_A", None, Some(Undecodable)),
            ("whsec_====", None, Some(Undecodable)),
            ("whsec_-_-_", None, Some(Undecodable)),
            ("whsec_not base64!", None, Some(Undecodable)),
            ("WHSEC_AAE=", None, Some(Undecodable)),
            ("", Some(Blank), Some(Blank)),
            (" \t\n", Some(Blank), Some(Blank)),
            ("whsec_", Some(Blank), Some(Blank)),
            ("whsec_  ", Some(Blank), Some(Blank)),
        ] {
            let secret = Secret::new(text);
            assert_eq!(Key::from_text(&secret).err(), as_text, "{text:?} as text");
            assert_eq!(Key::from_base64(&secret).err(), as_base64, "{text:?} as base64");
        }
    }

    #[test]
    fn a_secret_under_32_bytes_of_key_is_weak() {
        let encoded = |bytes: usize| format!("whsec_{}", SECRET_BASE64.encode(vec![7; bytes]));
        let bare = |bytes: usize| SECRET_BASE64.encode(vec![7; bytes]);
        for (text, as_text, as_base64) in [
            ("a".repeat(31), true, true),
            ("a".repeat(32), false, true),
            ("é".repeat(16), false, false),
            (encoded(31), true, true),
            (encoded(32), false, false),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), false, true),
            (bare(31), false, true),
            (bare(32), false, false),
            ("whsec_!".repeat(5), false, false),
        ] {
            let secret = Secret::new(text.clone());
            for scheme in [Scheme::HexBody, Scheme::HexTsBody, Scheme::ApiKey] {
                assert_eq!(weak(scheme, &secret), as_text, "{text}, {scheme:?}");
            }
            assert_eq!(weak(Scheme::Standard, &secret), as_base64, "{text}");
        }
    }
}
