//! Webhook signatures: verifying those of Cognigy, making those of our callbacks. The clock is an argument.

use http::HeaderMap;
use serde::Deserialize;

use crate::{secret::Secret, time::EpochMs};

/// How a request proves where it comes from. One per profile; never a fall-back to a weaker one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// `X-Webhook-Signature: [sha256=]<64 hex>` over the raw body.
    #[default]
    HexBody,
}

/// A request was not signed by a holder of the secret. It does not say why: the answer to a stranger is always the same.
/// The reason is for a metric only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forged {
    /// No signature header, or more than one.
    Missing,
    /// The header is not of the scheme's form.
    Malformed,
    /// No secret gives this signature.
    Mismatch,
    /// The timestamp is more than 300 s from now.
    Stale,
}

/// A secret cannot serve as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Empty or only white space.
    #[error("is empty")]
    Blank,
    /// Not decodable in the scheme's form.
    #[error("is not valid base64 after `whsec_`")]
    Undecodable,
}

/// Verifies the requests of one profile, with all its live secrets.
pub struct Verifier {}

impl Verifier {
    /// Prepares the keys.
    ///
    /// # Errors
    /// When a secret is blank or undecodable, or there is none.
    pub fn new(_scheme: Scheme, _secrets: &[Secret]) -> Result<Self, KeyError> {
        unimplemented!()
    }

    /// Checks a request's signature over its raw bytes, in constant time for each secret.
    ///
    /// # Errors
    /// [`Forged`] for everything but exactly one valid signature header.
    pub fn verify(&self, _headers: &HeaderMap, _body: &[u8], _now: EpochMs) -> Result<(), Forged> {
        unimplemented!()
    }
}

/// Signs what we send.
pub struct Signer {}

impl Signer {
    /// Prepares the keys; the first signs `X-Webhook-Signature`, all of them appear in `webhook-signature`.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn new(_secrets: &[Secret]) -> Result<Self, KeyError> {
        unimplemented!()
    }

    /// Lower-case hex HMAC-SHA256 of the raw body.
    #[must_use]
    pub fn hex_body(&self, _body: &[u8]) -> String {
        unimplemented!()
    }

    /// The value of `webhook-signature` (Standard Webhooks): `v1,<base64>` for each live key, separated by spaces.
    #[must_use]
    pub fn standard(&self, _id: &str, _now: EpochMs, _body: &[u8]) -> String {
        unimplemented!()
    }
}
