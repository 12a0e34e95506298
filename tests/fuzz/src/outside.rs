//! What strangers, flows, queues and operators send.

use std::{collections::BTreeMap, io::Write as _, sync::LazyLock};

use cognigy_fallback_router::{
    config::{self, Role, Sources},
    egress::{Egress, EgressConfig},
    queue,
    secret::Secret,
    signature::{Scheme, Verifier},
    time::EpochMs,
    trigger::TriggerBody,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The body that the seeds' signatures are for; and the time.
const SIGNED: &[u8] = b"{\"signed\":true}";
const NOW: EpochMs = EpochMs(1_700_000_000_000);

/// An accepted trigger keeps the contract's limits.
pub(crate) fn trigger(data: &[u8]) {
    let Ok(body) = TriggerBody::parse(data) else { return };
    for (text, most) in [(&body.conversation_id, 256), (&body.user_id, 256)] {
        assert!((1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control));
    }
    assert!(body.last_message.chars().count() <= 10_000);
    assert!(body.confidence_score.is_none_or(|score| (0.0..=1.0).contains(&score)));
    assert!(body.history.len() <= 50 && body.candidates.len() <= 50);
    assert!(body.deadline_ms.is_none_or(|deadline| (1_000..=300_000).contains(&deadline)));
    assert!(serde_json::to_vec(&body.metadata).unwrap().len() <= 64 * 1024);
}

static VERIFIERS: LazyLock<Vec<Verifier>> = LazyLock::new(|| {
    [Scheme::HexBody, Scheme::HexTsBody, Scheme::Standard, Scheme::ApiKey]
        .map(|scheme| Verifier::new(scheme, &[Secret::new("another-secret-of-32-bytes-or-more"), Secret::new(SECRET)]))
        .into_iter()
        .flatten()
        .chain([Verifier::new(Scheme::Standard, &[Secret::new(SECRET)]).unwrap()])
        .collect()
});

/// Headers, an empty line, a body. What is not signed is never taken for signed: only the seeds' body has a signature.
pub(crate) fn signature(data: &[u8]) {
    let (head, body) =
        data.windows(2).position(|two| two == b"\n\n").map_or((data, &b""[..]), |at| (&data[..at], &data[at + 2..]));
    let headers = parse_headers(head);
    for verifier in VERIFIERS.iter().take(3).chain(VERIFIERS.last()) {
        if verifier.verify(&headers, body, NOW).is_ok() {
            let key_alone = headers.contains_key("x-api-key") || headers.contains_key("authorization");
            assert!(key_alone || body == SIGNED, "a forgery passed");
        }
    }
}

/// `name: value` lines, as far as they are headers.
pub(crate) fn parse_headers(head: &[u8]) -> HeaderMap {
    let lines = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let value = line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]);
        Some((HeaderName::from_bytes(&line[..at]).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut headers = HeaderMap::new();
    lines.take(100).for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

static EGRESS: LazyLock<Egress> = LazyLock::new(|| {
    let allow_hosts = vec!["hooks.example.com".to_owned(), "*.b.example.com:8443".to_owned()];
    Egress::new(&EgressConfig { allow_hosts, ..EgressConfig::default() }, None).unwrap()
});

/// An allowed URL leads to a listed host and port by https, and reads the same a second time.
pub(crate) fn callback_url(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let _ = EGRESS.check_configured_url(raw);
    let Ok(url) = EGRESS.check_trigger_url(raw) else { return };
    let (host, port) = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
    assert_eq!(url.scheme(), "https");
    assert!(
        (host == "hooks.example.com" && port == 443) || (host.ends_with(".b.example.com") && port == 8443),
        "{url}"
    );
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    assert_eq!(EGRESS.check_trigger_url(url.as_str()).as_ref(), Ok(&url));
}

/// Message headers of both queues: what can be read can be written and read again.
pub(crate) fn headers(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        queue::embedded::fuzz::read_headers(text);
    }
    if let Ok(serde_json::Value::Object(table)) = serde_json::from_slice(data) {
        queue::rabbitmq::fuzz::read_headers(&table);
    }
}

/// A settings file: every role either starts or says why not; no secret is in what it says.
pub(crate) fn settings(data: &[u8]) {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile_in("/dev/shm").unwrap();
    file.write_all(data).unwrap();
    let environment = BTreeMap::from([
        ("COGNIGY_WEBHOOK_SECRET".to_owned(), SECRET.to_owned()),
        ("LLM_GATEWAY_API_KEY".to_owned(), SECRET.to_owned()),
    ]);
    let sources = Sources { file: Some(file.path().to_owned()), environment };
    for role in [Role::Ingress, Role::Serve] {
        let said = match config::load(&sources, role) {
            Ok(loaded) => loaded.warnings.join("\n"),
            Err(unusable) => unusable.0.join("\n"),
        };
        assert!(!said.contains(SECRET));
    }
}
