//! Callbacks, over the wire.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cognigy_fallback_router::{
    callback::{self, Callback, CallbackError, Config, Mode, ReplyTo, StoredOutcome, cognigy},
    egress::EgressConfig,
    metrics::{
        Metrics,
        labels::{Upstream, UpstreamStatus},
    },
    outcome::Status,
    secret::Secret,
    signature::Signer,
    time::EpochMs,
    trigger::{IdempotencyKey, TriggerId},
};

use crate::support::stub::{Recorded, Reply, Stub};

const HOOK: &str = "/hooks/fallback";
const NOW: EpochMs = EpochMs(1_700_000_000_999);
const BODY: &[u8] = "{\"status\":\"success\",\"note\":\"ä\"}".as_bytes();

struct Fixture {
    stub: Stub,
    callback: Arc<dyn Callback>,
    metrics: Arc<Metrics>,
}

fn config(url: Option<String>) -> Config {
    Config {
        mode: Mode::Webhook,
        url,
        secrets: secrets(),
        max_age: Duration::from_secs(600),
        connect_timeout: Duration::from_secs(3),
        timeout: Duration::from_secs(10),
        ca_file: None,
        headers: [("x-extra".to_owned(), Secret::new("extra"))].into(),
        cognigy: cognigy::Config::default(),
        egress: EgressConfig {
            allow_hosts: vec!["localhost:*".to_owned(), "10.0.0.1:*".to_owned()],
            allow_private_cidrs: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            allow_http: true,
        },
    }
}

fn secrets() -> Vec<Secret> {
    vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Secret::new("an older secret of the receiver")]
}

async fn fixture() -> Fixture {
    fixture_with(|_| {}).await
}

async fn fixture_with(change: impl FnOnce(&mut Config)) -> Fixture {
    let stub = Stub::start().await;
    let mut config = config(Some(stub.url(HOOK)));
    change(&mut config);
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let callback = callback::connect(&config, &metrics).unwrap().unwrap();
    Fixture { stub, callback, metrics }
}

fn outcome(url: Option<String>) -> StoredOutcome {
    let trigger_id = TriggerId::derived("default", IdempotencyKey::Header("k"));
    StoredOutcome {
        trigger_id,
        url,
        user_id: "u".to_owned(),
        session_id: None,
        reply_to: ReplyTo::default(),
        status: Status::Success,
        body: Bytes::from_static(BODY),
        attempt: 3,
    }
}

impl Fixture {
    async fn send(&self) -> Result<(), CallbackError> {
        self.callback.send(&outcome(None), NOW).await
    }

    async fn answered(&self, reply: Reply) -> Result<(), CallbackError> {
        self.stub.next(HOOK, reply);
        self.send().await
    }

    fn posted(&self) -> Vec<Recorded> {
        self.stub.requests_to(HOOK)
    }
}

fn unavailable() -> Result<(), CallbackError> {
    Err(CallbackError::Unavailable { retry_after: None })
}

#[tokio::test]
async fn the_frozen_bytes_are_posted_with_both_signatures() {
    let f = fixture().await;
    assert_eq!(f.answered(Reply::status(200)).await, Ok(()));
    let request = &f.posted()[0];
    let id = outcome(None).trigger_id.to_string();
    let signer = Signer::new(&secrets()).unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.body, BODY);
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), id);
    assert_eq!(request.header("webhook-timestamp"), "1700000000");
    assert_eq!(request.header("webhook-signature"), signer.standard(&id, NOW, BODY));
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2, "one for each secret");
    assert_eq!(request.header("x-webhook-signature"), signer.hex_body(BODY));
    assert_eq!(request.header("fallback-attempt"), "3");
    assert_eq!(request.header("x-extra"), "extra");
    assert!(request.headers.get("authorization").is_none());
    assert_eq!(f.metrics.upstream_requests.get(Upstream::Cognigy, UpstreamStatus::Success).get(), 1);
}

#[tokio::test]
async fn the_status_says_whether_to_try_again() {
    let rejected = |why| Err(CallbackError::Rejected(why));
    let f = fixture().await;
    for (status, expected) in [
        (200, Ok(())),
        (202, Ok(())),
        (204, Ok(())),
        (299, Ok(())),
        (301, rejected("redirected")),
        (302, rejected("redirected")),
        (304, rejected("redirected")),
        (307, rejected("redirected")),
        (400, rejected("refused")),
        (401, rejected("refused")),
        (403, rejected("refused")),
        (404, rejected("refused")),
        (405, rejected("refused")),
        (408, unavailable()),
        (409, rejected("refused")),
        (410, rejected("gone")),
        (413, rejected("refused")),
        (422, rejected("refused")),
        (425, unavailable()),
        (429, Err(CallbackError::RateLimited { retry_after: None })),
        (500, unavailable()),
        (501, unavailable()),
        (502, unavailable()),
        (503, unavailable()),
        (504, unavailable()),
        (599, unavailable()),
    ] {
        let reply = Reply::status(status).header("location", "/elsewhere");
        assert_eq!(f.answered(reply).await, expected, "{status}");
    }
    assert!(f.stub.requests_to("/elsewhere").is_empty(), "redirects are not followed");
}

#[tokio::test]
async fn the_pause_that_the_receiver_asks_for_is_passed_on() {
    let f = fixture().await;
    let pause = Some(Duration::from_secs(7));
    let reply = |status| Reply::status(status).header("retry-after", "7");
    assert_eq!(f.answered(reply(429)).await, Err(CallbackError::RateLimited { retry_after: pause }));
    assert_eq!(f.answered(reply(503)).await, Err(CallbackError::Unavailable { retry_after: pause }));
}

#[tokio::test]
async fn no_answer_is_tried_again() {
    let f = fixture_with(|config| config.timeout = Duration::from_millis(200)).await;
    assert_eq!(f.answered(Reply::close()).await, unavailable());
    assert_eq!(f.answered(Reply::hang()).await, unavailable());

    let gone = fixture_with(|config| config.url = Some("http://127.0.0.1:1/x".to_owned())).await;
    assert_eq!(gone.send().await, unavailable());
}

#[tokio::test]
async fn a_status_acknowledges_whatever_follows_it() {
    let f = fixture_with(|config| config.timeout = Duration::from_millis(200)).await;
    for reply in [
        Reply::status(200).body("x".repeat(1 << 20)),
        Reply::status(200).body("half").half(),
        Reply::status(200).body("never").hang_in_body(),
        Reply::status(200).header("content-encoding", "gzip").body("no gzip"),
    ] {
        assert_eq!(f.answered(reply).await, Ok(()), "reply {}", f.posted().len());
    }
    assert_eq!(f.answered(Reply::status(503).body("half").half()).await, unavailable());
}

#[tokio::test]
async fn a_url_of_the_trigger_is_called_only_if_its_host_is_allowed() {
    let f = fixture().await;
    let other = Stub::start().await;
    other.always(HOOK, Reply::status(200));
    let allowed = format!("http://localhost:{}{HOOK}", other.port());
    assert_eq!(f.callback.send(&outcome(Some(allowed)), NOW).await, Ok(()));
    assert_eq!(other.requests().len(), 1);
    assert!(f.posted().is_empty());

    for url in
        ["http://127.0.0.1/x", "https://example.com/x", "http://10.0.0.1/x", "http://169.254.169.254/", "nonsense"]
    {
        let sent = f.callback.send(&outcome(Some(url.to_owned())), NOW).await;
        assert_eq!(sent, Err(CallbackError::Rejected("url not allowed")), "{url}");
    }
}

#[tokio::test]
async fn further_headers_go_to_the_configured_origin_and_to_no_other_that_a_trigger_names() {
    let f = fixture_with(|config| config.egress.allow_hosts.push("127.0.0.1:*".to_owned())).await;
    let other = Stub::start().await;
    let at = |host: &str, port: u16| Some(format!("http://{host}:{port}/named"));
    for (url, expected) in [
        (None, Some("extra")),
        (at("127.0.0.1", f.stub.port()), Some("extra")),
        (at("127.0.0.1", other.port()), None),
        (at("localhost", other.port()), None),
        (at("localhost", f.stub.port()), None),
    ] {
        let called =
            if url.as_ref().is_some_and(|url| url.contains(&other.port().to_string())) { &other } else { &f.stub };
        called.always(url.as_ref().map_or(HOOK, |_| "/named"), Reply::status(200));
        assert_eq!(f.callback.send(&outcome(url.clone()), NOW).await, Ok(()), "{url:?}");
        let request = called.requests().pop().unwrap();
        assert_eq!(request.headers.get("x-extra").map(|value| value.to_str().unwrap()), expected, "{url:?}");
        assert!(request.headers.contains_key("x-webhook-signature"), "{url:?}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_called() {
    let f = fixture_with(|config| {
        config.url = None;
        config.egress.allow_private_cidrs.clear();
    })
    .await;
    let url = format!("http://localhost:{}{HOOK}", f.stub.port());
    assert_eq!(f.callback.send(&outcome(Some(url)), NOW).await, Err(CallbackError::Rejected("address not allowed")));
    assert!(f.posted().is_empty());
}

#[tokio::test]
async fn without_any_url_there_is_nothing_to_try_again() {
    let f = fixture_with(|config| config.url = None).await;
    assert_eq!(f.send().await, Err(CallbackError::Rejected("no url")));
}

#[test]
fn a_profile_that_cannot_post_is_refused_at_the_start() {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let https_only = |config: &mut Config| config.egress.allow_http = false;
    let no_secret = |config: &mut Config| config.secrets.clear();
    let metadata = |config: &mut Config| config.url = Some("http://169.254.169.254/".to_owned());
    let changes: [&dyn Fn(&mut Config); 3] = [&https_only, &no_secret, &metadata];
    for change in changes {
        let mut config = config(Some("http://127.0.0.1:1/x".to_owned()));
        change(&mut config);
        assert!(callback::connect(&config, &metrics).is_err());
    }
}

#[test]
fn mode_none_posts_nothing() {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let config = Config { mode: Mode::None, ..config(None) };
    assert!(callback::connect(&config, &metrics).unwrap().is_none());
}
