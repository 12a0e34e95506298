//! Verifying requests: strict parsing first, then one comparison in constant time over all secrets.

use http::HeaderMap;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{
    KeyError, Scheme, api_key, headers,
    key::{self, Key, Tag},
};
use crate::{secret::Secret, time::EpochMs};

/// How far a timestamp may be from now, in seconds, either way and included.
const TOLERANCE_S: u64 = 300;

/// A request was not signed by a holder of the secret. It does not say why: the answer to a stranger is always the same.
/// The reason is for a metric only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forged {
    /// A header that the scheme needs is not there, or is there more than once.
    Missing,
    /// A header is not of the scheme's form.
    Malformed,
    /// No secret gives this signature.
    Mismatch,
    /// The signature is right, but its timestamp is more than 300 s from now: a replay, or a clock that is wrong.
    Stale,
}

/// What a signature proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which of the secrets signed, 0 being the current one: so an operator sees when an old one is no longer used.
    pub secret_index: usize,
    /// The signed `webhook-id` (scheme `standard` only): an idempotency key that a stranger cannot choose.
    pub webhook_id: Option<String>,
}

/// Verifies the requests of one profile, with all its live secrets.
pub struct Verifier {
    scheme: Scheme,
    keys: Vec<VerifyingKey>,
}

enum VerifyingKey {
    Hmac(Key),
    Digest(Tag),
}

impl Verifier {
    /// Prepares the keys: base64 (`whsec_` or bare) for `standard`, the text itself for the other schemes.
    ///
    /// # Errors
    /// When a secret is blank or undecodable, or there is none.
    pub fn new(scheme: Scheme, secrets: &[Secret]) -> Result<Self, KeyError> {
        if secrets.is_empty() {
            return Err(KeyError::Blank);
        }
        let keys = secrets.iter().map(|secret| VerifyingKey::new(scheme, secret)).collect::<Result<_, _>>()?;
        Ok(Self { scheme, keys })
    }

    /// Checks a request's signature over `content`: its raw body, or its path and query where it has none.
    /// All secrets are tried, in a time that does not depend on which one fits or how nearly.
    ///
    /// # Errors
    /// [`Forged`] for everything but exactly one valid set of signature headers.
    pub fn verify(&self, headers: &HeaderMap, content: &[u8], now: EpochMs) -> Result<Verified, Forged> {
        match self.scheme {
            Scheme::HexBody => self.hex_body(headers, content),
            Scheme::HexTsBody => self.hex_ts_body(headers, content, now),
            Scheme::Standard => self.standard(headers, content, now),
            Scheme::ApiKey => self.matching(&[api_key::presented(headers)?], &[]).map(Verified::by),
        }
    }

    fn hex_body(&self, headers: &HeaderMap, content: &[u8]) -> Result<Verified, Forged> {
        let tag = headers::hex_signature(headers::only(headers, headers::SIGNATURE)?)?;
        self.matching(&[tag], &[content]).map(Verified::by)
    }

    fn hex_ts_body(&self, headers: &HeaderMap, content: &[u8], now: EpochMs) -> Result<Verified, Forged> {
        let sent = headers::only(headers, headers::TIMESTAMP)?;
        let tag = headers::hex_signature(headers::only(headers, headers::SIGNATURE)?)?;
        let seconds = headers::timestamp(sent)?;
        let index = self.matching(&[tag], &[sent, b".", content])?;
        refuse_stale(seconds, now)?;
        Ok(Verified::by(index))
    }

    fn standard(&self, headers: &HeaderMap, content: &[u8], now: EpochMs) -> Result<Verified, Forged> {
        let sent = headers::only(headers, headers::STANDARD_TIMESTAMP)?;
        let id = headers::standard_id(headers::only(headers, headers::STANDARD_ID)?)?;
        let tags = headers::standard_signatures(headers::only(headers, headers::STANDARD_SIGNATURE)?)?;
        let seconds = headers::timestamp(sent)?;
        let index = self.matching(&tags, &[id.as_bytes(), b".", sent, b".", content])?;
        refuse_stale(seconds, now)?;
        Ok(Verified { secret_index: index, webhook_id: Some(id.to_owned()) })
    }

    /// Index of the secret that makes one of `tags` out of the signed `parts`.
    fn matching(&self, tags: &[Tag], parts: &[&[u8]]) -> Result<usize, Forged> {
        let (mut index, mut found) = (0_u64, Choice::from(0));
        for (position, key) in (0_u64..).zip(&self.keys) {
            let expected = key.expected(parts);
            let fits = tags.iter().fold(Choice::from(0), |fits, tag| fits | tag.ct_eq(&expected));
            index.conditional_assign(&position, fits & !found);
            found |= fits;
        }
        if bool::from(found) { usize::try_from(index).map_err(|_| Forged::Mismatch) } else { Err(Forged::Mismatch) }
    }
}

impl VerifyingKey {
    fn new(scheme: Scheme, secret: &Secret) -> Result<Self, KeyError> {
        match scheme {
            Scheme::HexBody | Scheme::HexTsBody => Key::from_text(secret).map(Self::Hmac),
            Scheme::Standard => Key::from_base64(secret).map(Self::Hmac),
            Scheme::ApiKey => {
                key::refuse_blank(secret)?;
                Ok(Self::Digest(api_key::digest(secret.expose().as_bytes())))
            }
        }
    }

    fn expected(&self, parts: &[&[u8]]) -> Tag {
        match self {
            Self::Hmac(key) => key.tag(parts),
            Self::Digest(digest) => *digest,
        }
    }
}

impl Verified {
    fn by(secret_index: usize) -> Self {
        Self { secret_index, webhook_id: None }
    }
}

/// Asked after the signature has proved right, so that [`Forged::Stale`] is never a stranger's word.
fn refuse_stale(seconds: u64, now: EpochMs) -> Result<(), Forged> {
    if now.seconds().abs_diff(seconds) > TOLERANCE_S { Err(Forged::Stale) } else { Ok(()) }
}
