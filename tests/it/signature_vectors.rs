//! The signature vectors that the Extension for Cognigy is tested with, too: both sides make and take the same bytes.

use cognigy_fallback_router::{
    secret::Secret,
    signature::{Scheme, Signer, Verifier, request_headers},
    time::EpochMs,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    requests: Vec<Request>,
    injects: Vec<Inject>,
}

#[derive(Deserialize)]
struct Request {
    name: String,
    scheme: Scheme,
    secret: String,
    id: String,
    seconds: u64,
    content: String,
    headers: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inject {
    name: String,
    secret: String,
    ts: u64,
    trigger_id: String,
    user_id: String,
    session_id: String,
    text: String,
    payload: String,
    sig: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../deploy/cognigy-extension/test/signature-vectors.json")).unwrap()
}

#[test]
fn requests_that_the_extension_signs_are_verified() {
    let requests = vectors().requests;
    assert!(requests.len() >= 15);
    for Request { name, scheme, secret, id, seconds, content, headers } in requests {
        let (secret, now) = (Secret::new(secret), EpochMs(seconds * 1000));
        let sent: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let verifier = Verifier::new(scheme, std::slice::from_ref(&secret)).unwrap();
        verifier.verify(&sent, content.as_bytes(), now).unwrap_or_else(|forged| panic!("{name}: {forged:?}"));
        assert!(scheme == Scheme::ApiKey || verifier.verify(&sent, b"other", now).is_err(), "{name}");

        let ours = request_headers(scheme, &secret, &id, now, content.as_bytes()).unwrap();
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(headers, ours, "{name}");
    }
}

#[test]
fn results_are_signed_as_the_extension_checks_them() {
    let injects = vectors().injects;
    assert!(injects.len() >= 7);
    for Inject { name, secret, ts, trigger_id, user_id, session_id, text, payload, sig } in injects {
        let signer = Signer::new(&[Secret::new(secret)]).unwrap();
        let lines = [ts.to_string(), trigger_id, user_id, session_id, text, payload].join("\n");
        assert_eq!(signer.hex_body(lines.as_bytes()), sig, "{name}");
    }
}
