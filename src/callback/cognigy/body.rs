//! What is posted. The signature covers named fields, joined by line feeds, because a transformer in Cognigy sees parsed
//! JSON and not the bytes that were sent.

use serde::Serialize;

use crate::{signature::Signer, time::EpochMs, trigger::TriggerId};

/// Version of the form of `data.fallbackRouter`.
const VERSION: u32 = 1;

/// Whose session it is.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) user_id: &'a str,
    pub(super) session_id: &'a str,
    pub(super) url_token: &'a str,
}

/// What is said in it.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) session: Session<'a>,
    pub(super) text: &'a str,
    pub(super) trigger_id: TriggerId,
    /// JSON; it is sent as a string, so that its bytes stay as they were signed.
    pub(super) payload: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Json<'a> {
    user_id: &'a str,
    session_id: &'a str,
    text: &'a str,
    #[serde(rename = "URLToken", skip_serializing_if = "Option::is_none")]
    url_token: Option<&'a str>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    fallback_router: Proof<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof<'a> {
    v: u32,
    trigger_id: TriggerId,
    /// Seconds since the epoch, of this try.
    ts: u64,
    payload: &'a str,
    sig: String,
}

impl<'a> Json<'a> {
    /// The body, signed as of `now`; `url_token` only where the URL does not hold it.
    pub(super) fn signed(body: &Body<'a>, url_token: Option<&'a str>, signer: &Signer, now: EpochMs) -> Self {
        let Body { session: Session { user_id, session_id, .. }, text, trigger_id, payload } = *body;
        let ts = now.seconds();
        // Unambiguous: neither ids nor the payload, which is compact JSON, hold a line feed; only the text may.
        let signed = format!("{ts}\n{trigger_id}\n{user_id}\n{session_id}\n{text}\n{payload}");
        Self::with(body, url_token, now, signer.hex_body(signed.as_bytes()))
    }

    /// The body with something in the place of its signature.
    pub(super) fn with(body: &Body<'a>, url_token: Option<&'a str>, now: EpochMs, sig: String) -> Self {
        let Body { session: Session { user_id, session_id, .. }, text, trigger_id, payload } = *body;
        let proof = Proof { v: VERSION, trigger_id, ts: now.seconds(), payload, sig };
        Self { user_id, session_id, text, url_token, data: Data { fallback_router: proof } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_signature_covers_time_trigger_session_text_and_payload_and_nothing_else_is_sent() {
        let trigger_id = TriggerId(uuid::Uuid::from_u128(7));
        let session = Session { user_id: "u-1", session_id: "s-1", url_token: "4e5e" };
        let body = Body { session, text: "cIntent:Reset|hi\nthere", trigger_id, payload: "{\"status\":\"success\"}" };
        let signer = Signer::new(&[Secret::new("first secret"), Secret::new("second")]).unwrap();
        let json =
            |token| serde_json::to_value(Json::signed(&body, token, &signer, EpochMs(1_767_225_605_999))).unwrap();
        let signed = format!("1767225605\n{trigger_id}\nu-1\ns-1\ncIntent:Reset|hi\nthere\n{{\"status\":\"success\"}}");
        let sig = Signer::new(&[Secret::new("first secret")]).unwrap().hex_body(signed.as_bytes());
        let mut expected: Value = json!({
            "userId": "u-1", "sessionId": "s-1", "text": "cIntent:Reset|hi\nthere",
            "data": {"fallbackRouter": {"v": 1, "triggerId": trigger_id.to_string(), "ts": 1_767_225_605,
                "payload": "{\"status\":\"success\"}", "sig": sig}},
        });
        assert_eq!(json(None), expected);
        expected["URLToken"] = json!("4e5e");
        assert_eq!(json(Some("4e5e")), expected);
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Vector {
        secret: String,
        ts: u64,
        trigger_id: TriggerId,
        user_id: String,
        session_id: String,
        text: String,
        payload: String,
        sig: String,
    }

    /// The vectors that the Extension's node *Receive fallback result* and the transformer are tested with.
    #[test]
    fn the_extension_and_the_transformer_take_what_is_posted() {
        #[derive(serde::Deserialize)]
        struct Vectors {
            injects: Vec<Vector>,
        }
        let file = include_str!("../../../deploy/cognigy-extension/test/signature-vectors.json");
        let Vectors { injects } = serde_json::from_str(file).unwrap();
        assert!(!injects.is_empty());
        for vector in &injects {
            let session = Session { user_id: &vector.user_id, session_id: &vector.session_id, url_token: "t" };
            let (text, payload) = (vector.text.as_str(), vector.payload.as_str());
            let body = Body { session, text, trigger_id: vector.trigger_id, payload };
            let signer = Signer::new(&[Secret::new(vector.secret.clone())]).unwrap();
            let json = Json::signed(&body, None, &signer, EpochMs(vector.ts * 1000));
            assert_eq!(json.data.fallback_router.sig, vector.sig);
        }
    }
}
