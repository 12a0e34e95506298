//! Signing what we send: callbacks, and the sample requests of the operator's command.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    KeyError, Scheme, headers,
    key::{self, Key},
};
use crate::{secret::Secret, time::EpochMs};

/// Signs what we send.
pub struct Signer {
    current: Key,
    standard: Vec<Key>,
}

impl Signer {
    /// Prepares the keys; the first secret signs [`Signer::hex_body`], all of them appear in [`Signer::standard`].
    ///
    /// `hex_body` is keyed with the text of the secret, as scheme `hex-body` is. `standard` is keyed with the decoded
    /// bytes, as scheme `standard` is and as the libraries of Standard Webhooks do; a secret that is not base64 at all
    /// signs there with its text, which such a library is given as `whsec_` + base64 of the text.
    ///
    /// # Errors
    /// When a secret is blank or not base64 after `whsec_`, or there is none.
    pub fn new(secrets: &[Secret]) -> Result<Self, KeyError> {
        let current = Key::from_text(secrets.first().ok_or(KeyError::Blank)?)?;
        let standard = secrets.iter().map(standard_key).collect::<Result<_, _>>()?;
        Ok(Self { current, standard })
    }

    /// Lower-case hex HMAC-SHA256 of the raw body (or of any other bytes that a receiver shall check).
    #[must_use]
    pub fn hex_body(&self, body: &[u8]) -> String {
        hex::encode(self.current.tag(&[body]))
    }

    /// The value of `webhook-signature` (Standard Webhooks): `v1,<base64>` for each live key, separated by spaces.
    /// `webhook-id` must be `id` (without a dot in it), and `webhook-timestamp` the whole seconds of `now`.
    #[must_use]
    pub fn standard(&self, id: &str, now: EpochMs, body: &[u8]) -> String {
        let seconds = now.seconds().to_string();
        let signatures: Vec<_> = self.standard.iter().map(|key| standard_signature(key, id, &seconds, body)).collect();
        signatures.join(" ")
    }
}

/// The headers that prove to a [`super::Verifier`] of `scheme` that a holder of `secret` sent `content` (the raw body, or
/// the path and query of a request without one). `id` serves scheme `standard` only. The values may hold the secret
/// itself (`api-key`): they are for the wire and for an operator's own screen.
///
/// # Errors
/// When the secret cannot serve this scheme.
pub fn request_headers(
    scheme: Scheme,
    secret: &Secret,
    id: &str,
    now: EpochMs,
    content: &[u8],
) -> Result<Vec<(&'static str, String)>, KeyError> {
    let seconds = now.seconds().to_string();
    Ok(match scheme {
        Scheme::HexBody => vec![(headers::SIGNATURE, hex::encode(Key::from_text(secret)?.tag(&[content])))],
        Scheme::HexTsBody => {
            let tag = Key::from_text(secret)?.tag(&[seconds.as_bytes(), b".", content]);
            vec![(headers::TIMESTAMP, seconds), (headers::SIGNATURE, hex::encode(tag))]
        }
        Scheme::Standard => {
            let signature = standard_signature(&Key::from_base64(secret)?, id, &seconds, content);
            vec![
                (headers::STANDARD_ID, id.to_owned()),
                (headers::STANDARD_TIMESTAMP, seconds),
                (headers::STANDARD_SIGNATURE, signature),
            ]
        }
        Scheme::ApiKey => {
            key::refuse_blank(secret)?;
            vec![(headers::API_KEY, secret.expose().to_owned())]
        }
    })
}

fn standard_key(secret: &Secret) -> Result<Key, KeyError> {
    match Key::from_base64(secret) {
        Err(KeyError::Undecodable) if !key::is_prefixed(secret) => Key::from_text(secret),
        key => key,
    }
}

fn standard_signature(key: &Key, id: &str, seconds: &str, body: &[u8]) -> String {
    let tag = key.tag(&[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the libraries of Standard Webhooks share.
    #[test]
    fn the_official_vector_of_standard_webhooks_holds() {
        let now = EpochMs(1_614_265_330_999);
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let signer = Signer::new(&[Secret::new(secret)]).unwrap();
            let signature = signer.standard("msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn the_first_secret_signs_the_hex_form_and_all_sign_the_standard_form() {
        let secrets = [Secret::new("new secret"), Secret::new("whsec_AAECAwQ=")];
        let signer = Signer::new(&secrets).unwrap();
        assert_eq!(signer.hex_body(b"x"), Signer::new(&secrets[..1]).unwrap().hex_body(b"x"));
        let [first, second] =
            [0, 1].map(|index| Signer::new(&secrets[index..=index]).unwrap().standard("id", EpochMs(5000), b"x"));
        assert_eq!(signer.standard("id", EpochMs(5000), b"x"), format!("{first} {second}"));
    }

    #[test]
    fn a_signer_refuses_secrets_that_nobody_can_have_meant() {
        for (secrets, expected) in [
            (vec![], KeyError::Blank),
            (vec![""], KeyError::Blank),
            (vec!["good", " "], KeyError::Blank),
            (vec!["good", "whsec_"], KeyError::Blank),
            (vec!["whsec_%%"], KeyError::Undecodable),
        ] {
            let secrets: Vec<_> = secrets.into_iter().map(Secret::new).collect();
            assert_eq!(Signer::new(&secrets).err(), Some(expected));
        }
    }
}
