//! What strangers, flows, queues and operators send.

use std::{collections::BTreeMap, io::Write as _, sync::LazyLock};

use cognigy_fallback_router::{
    config::{self, Role, Sources},
    egress::{Egress, EgressConfig},
    message::{NewerTrigger, Progress},
    pipeline::{self, HistoryLimits},
    prompt::TemplateSet,
    queue,
    secret::Secret,
    signature::{Scheme, Verifier},
    time::EpochMs,
    trigger::TriggerBody,
    worker,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The body that the seeds' signatures are for; and the time.
const SIGNED: &[u8] = b"{\"signed\":true}";
const NOW: EpochMs = EpochMs(1_700_000_000_000);

static TEMPLATES: LazyLock<TemplateSet> = LazyLock::new(|| TemplateSet::load(None, "default").unwrap());

/// An accepted trigger keeps the contract's limits, and a refused one is told why in a few words of ours.
pub(crate) fn trigger(data: &[u8]) {
    let body = match TriggerBody::parse(data) {
        Ok(body) => body,
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.message.len() < 200 && problem.message.is_ascii()));
            return;
        }
    };
    for (text, most) in [(&body.conversation_id, 256), (&body.user_id, 256)] {
        assert!((1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control));
    }
    assert!(body.last_message.chars().count() <= 10_000);
    assert!(body.confidence_score.is_none_or(|score| (0.0..=1.0).contains(&score)));
    assert!(body.history.len() <= 50 && body.candidates.len() <= 50);
    assert!(body.deadline_ms.is_none_or(|deadline| (1_000..=300_000).contains(&deadline)));
    assert!(serde_json::to_vec(&body.metadata).unwrap().len() <= 64 * 1024);
    prompt(&body);
}

/// Whatever a customer wrote is a string in the one document of the one data block.
fn prompt(body: &TriggerBody) {
    let limits = HistoryLimits { max_turns: 20, max_characters: 6_000, timeout: std::time::Duration::ZERO };
    let prompt = pipeline::preview(&TEMPLATES, &crate::customer::RULES, &[], limits, body).unwrap();
    let bare = pipeline::preview(&TEMPLATES, &crate::customer::RULES, &[], limits, &TriggerBody::default()).unwrap();
    let system = |prompt: &str| prompt.lines().filter(|line| !line.contains("customer_data")).collect::<Vec<_>>().join("\n");
    assert_eq!(system(&prompt.system), system(&bare.system), "the operator's words depend on the customer's");
    let inside = prompt.user.trim().strip_prefix("<customer_data id=\"").and_then(|rest| rest.strip_suffix("</customer_data>"));
    let (_, document) = inside.unwrap().split_once("\">").unwrap();
    assert!(!document.contains('<'), "{document}");
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    assert_eq!(document.as_object().unwrap().len(), 6);
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
    if let Ok(url) = EGRESS.check_configured_url(raw) {
        assert!(!raw.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\'));
        match url.host().unwrap() {
            url::Host::Ipv4(address) => public_v4(address),
            url::Host::Ipv6(address) => public_v6(address),
            url::Host::Domain(_) => {}
        }
    }
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

fn public_v4(address: std::net::Ipv4Addr) {
    let [first, second, ..] = address.octets();
    assert!(!address.is_private() && !address.is_loopback() && !address.is_link_local() && !address.is_broadcast());
    assert!(!address.is_multicast() && !address.is_documentation() && first != 0 && first < 240);
    assert!((first, second & 0xc0) != (100, 64) && (first, second & 0xfe) != (198, 18));
}

fn public_v6(address: std::net::Ipv6Addr) {
    let [first, second, ..] = address.segments();
    match (address.to_ipv4_mapped(), first, second) {
        (Some(inside), ..) => public_v4(inside),
        (None, 0x64, 0xff9b) => {
            let [.., a, b, c, d] = address.octets();
            public_v4(std::net::Ipv4Addr::new(a, b, c, d));
        }
        _ => assert!(first & 0xe000 == 0x2000 && first != 0x2002 && (first, second) != (0x2001, 0), "{address}"),
    }
}

/// Message headers of both queues, notices and stored outcomes: what can be read can be written and read again.
pub(crate) fn headers(data: &[u8]) {
    worker::fuzz::read_record(data);
    if let Ok(progress) = serde_json::from_slice::<Progress<'_>>(data) {
        let written = serde_json::to_vec(&progress).unwrap();
        let again: Progress<'_> = serde_json::from_slice(&written).unwrap();
        assert_eq!((again.trigger_id, &again.profile), (progress.trigger_id, &progress.profile));
        assert_eq!(again.outcome.map(RawValue::get), progress.outcome.map(RawValue::get));
    }
    if let Ok(newer) = serde_json::from_slice::<NewerTrigger>(data) {
        let written = serde_json::to_vec(&newer).unwrap();
        assert_eq!(serde_json::from_slice::<NewerTrigger>(&written).unwrap(), newer);
    }
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
