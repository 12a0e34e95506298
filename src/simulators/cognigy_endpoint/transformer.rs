//! What comes to `/inject` and `/notify`: the endpoint's own rules, then those of the transformer in `deploy/cognigy/`.

use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use serde_json::Value;
use sha2::Sha256;

use crate::{secret::Secret, time::EpochMs};

/// Longest `userId` and `sessionId`, in characters; documented by Cognigy, as are the other limits here.
const LONGEST_ID: usize = 256;
/// Longest `text`, in characters.
const LONGEST_TEXT: usize = 10_000;
/// How far a result's time may be from now, in seconds.
const TOLERANCE: u64 = 300;

/// A body that the endpoint takes.
pub(super) struct Taken {
    pub(super) user_id: String,
    pub(super) session_id: String,
    pub(super) text: String,
    pub(super) data: Value,
}

impl Taken {
    /// Reads a body by the endpoint's rules.
    pub(super) fn read(body: &[u8]) -> Result<Self, StatusCode> {
        let body: Value = serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
        let id = |name: &str| {
            let id = body[name].as_str().filter(|id| !id.is_empty() && id.chars().count() <= LONGEST_ID);
            id.map(str::to_owned).ok_or(StatusCode::BAD_REQUEST)
        };
        let text = match &body["text"] {
            Value::Null => String::new(),
            Value::String(text) if text.chars().count() <= LONGEST_TEXT => text.clone(),
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        let data = match &body["data"] {
            data @ (Value::Null | Value::Object(_)) => data.clone(),
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        Ok(Self { user_id: id("userId")?, session_id: id("sessionId")?, text, data })
    }

    /// True when it is a result that was signed for this session with one of the secrets, not long ago.
    pub(super) fn is_genuine(&self, secrets: &[Secret], now: EpochMs) -> bool {
        self.proof(secrets, now).is_some()
    }

    fn proof(&self, secrets: &[Secret], now: EpochMs) -> Option<()> {
        let result = &self.data["fallbackRouter"];
        let (ts, sig) = (result["ts"].as_u64()?, hex::decode(result["sig"].as_str()?).ok()?);
        let (id, payload) = (result["triggerId"].as_str()?, result["payload"].as_str()?);
        let one_line = [id, &self.user_id, &self.session_id, payload];
        if result["v"] != 1
            || one_line.iter().any(|field| field.contains('\n'))
            || ts.abs_diff(now.seconds()) > TOLERANCE
        {
            return None;
        }
        let signed = format!("{ts}\n{id}\n{}\n{}\n{}\n{payload}", self.user_id, self.session_id, self.text);
        let fits = |secret: &Secret| {
            let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
            mac.chain_update(&signed).verify_slice(&sig).ok()
        };
        secrets.iter().find_map(fits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_endpoint_cannot_read_is_a_bad_request() {
        let good = json!({"userId": "u", "sessionId": "s", "text": "t", "data": {"a": 1}});
        assert!(Taken::read(good.to_string().as_bytes()).is_ok());
        for (field, value) in [
            ("userId", Value::Null),
            ("sessionId", json!("")),
            ("sessionId", json!("x".repeat(257))),
            ("userId", json!(7)),
            ("text", json!("x".repeat(10_001))),
            ("text", json!(["t"])),
            ("data", json!("text")),
            ("data", json!([1])),
        ] {
            let mut body = good.clone();
            body[field] = value;
            assert_eq!(Taken::read(body.to_string().as_bytes()).err(), Some(StatusCode::BAD_REQUEST), "{field}");
        }
        assert!(Taken::read(br#"{"userId":"u","sessionId":"s","text":"","data":null}"#).is_ok());
        assert!(Taken::read(b"no json").is_err());
    }

    #[test]
    fn only_a_fresh_signature_over_these_very_fields_is_genuine() {
        let now = EpochMs(1_767_225_605_000);
        let secrets = [Secret::new("new secret"), Secret::new("old secret")];
        let signed = |secret: &str, ts: u64| {
            let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            let mac = mac.chain_update(format!("{ts}\nid\nu\ns\na\nb\n{{}}"));
            let result = json!({"v": 1, "triggerId": "id", "ts": ts, "payload": "{}",
                                "sig": hex::encode(mac.finalize().into_bytes())});
            let (user_id, session_id) = ("u".to_owned(), "s".to_owned());
            Taken { user_id, session_id, text: "a\nb".to_owned(), data: json!({"fallbackRouter": result}) }
        };
        let ts = now.seconds();
        assert!(signed("new secret", ts).is_genuine(&secrets, now));
        assert!(signed("old secret", ts - 300).is_genuine(&secrets, now));
        assert!(!signed("old secret", ts - 301).is_genuine(&secrets, now));
        assert!(!signed("old secret", ts + 301).is_genuine(&secrets, now));
        assert!(!signed("another", ts).is_genuine(&secrets, now));
        type Change = fn(&mut Taken);
        let changes: [Change; 6] = [
            |taken| taken.text = "a".to_owned(),
            |taken| taken.user_id = "v".to_owned(),
            |taken| taken.session_id = "s\na".to_owned(),
            |taken| taken.data["fallbackRouter"]["payload"] = json!("{\"a\":1}"),
            |taken| taken.data["fallbackRouter"]["v"] = json!(2),
            |taken| taken.data = Value::Null,
        ];
        for change in changes {
            let mut taken = signed("new secret", ts);
            change(&mut taken);
            assert!(!taken.is_genuine(&secrets, now));
        }
    }
}
