//! TLS where it is ours: the webhook listener, and upstreams with an authority of their own.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Json, Router, routing::post};
use cognigy_fallback_router::{
    callback::{self, CallbackError, Mode, ReplyTo, StoredOutcome},
    egress::EgressConfig,
    http_client::{self, ClientConfig, Roots},
    http_server::{Limits, Tls, TlsFiles, serve_tls},
    llm::LlmError,
    metrics::Metrics,
    outcome::Status,
    secret::Secret,
    shutdown::Shutdown,
    signature::{Scheme, request_headers},
    trigger::TriggerId,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::{
    app::{TestApp, WEBHOOK_SECRET, trigger},
    certificates::Authority,
    gateway::{Gateway, config},
};

const LIMIT: Duration = Duration::from_secs(30);

fn client(ca: Option<&Path>) -> reqwest::Client {
    let roots = Roots::read(ca).unwrap();
    http_client::build(&ClientConfig { connect_timeout: LIMIT, timeout: LIMIT, https_only: false, roots }).unwrap()
}

fn files(authority: &Authority) -> TlsFiles {
    let identity = authority.issue("server");
    TlsFiles { certificate_file: identity.certificate, key_file: identity.key }
}

/// A TLS server that completes every chat and takes every callback.
async fn server(authority: &Authority, limits: Limits, shutdown: &Shutdown) -> (SocketAddr, JoinHandle<bool>) {
    let reply = json!({"choices": [{"message": {"content": "over TLS"}, "finish_reason": "stop"}]});
    let router = Router::new()
        .route("/v1/chat/completions", post(async move || Json(reply)))
        .route("/callback", post(async || "thanks"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Tls::read(&files(authority)).unwrap();
    (address, tokio::spawn(serve_tls(listener, Some(tls), router, limits, shutdown.clone())))
}

fn limits() -> Limits {
    Limits {
        connections: 16,
        header_timeout: LIMIT,
        idle_timeout: LIMIT,
        drain_delay: Duration::ZERO,
        drain_timeout: LIMIT,
    }
}

#[tokio::test]
async fn the_ingress_speaks_tls_where_it_has_a_certificate_and_nothing_else() {
    let authority = Authority::new();
    let files = files(&authority);
    let settings = [
        ("CFR__INGRESS__TLS__CERTIFICATE_FILE", files.certificate_file.to_str().unwrap()),
        ("CFR__INGRESS__TLS__KEY_FILE", files.key_file.to_str().unwrap()),
    ];
    let app = TestApp::start_with(&settings).await;
    let port = app.running.webhook.unwrap().port();
    let path = "/webhook/cognigy/fallback";
    let secure = format!("https://localhost:{port}{path}");

    let trusting = client(Some(&authority.file()));
    let body = trigger().to_string();
    let (now, secret) = (std::time::SystemTime::now().into(), Secret::new(WEBHOOK_SECRET));
    let mut request = trusting.post(&secure).header("content-type", "application/json").body(body.clone());
    for (name, value) in request_headers(Scheme::HexBody, &secret, "", now, body.as_bytes()).unwrap() {
        request = request.header(name, value);
    }
    assert_eq!(request.send().await.unwrap().status(), 202);

    let stranger = client(None).post(&secure).send().await.unwrap_err();
    assert_eq!(http_client::UpstreamError::from_reqwest(&stranger), http_client::UpstreamError::Tls);
    let plain = trusting.post(format!("http://localhost:{port}{path}")).send().await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test]
async fn an_identity_that_cannot_be_used_stops_the_start_and_is_named() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("one"), authority.issue("other"));
    for (certificate, key, named) in [
        (Path::new("/nonexistent/c.pem"), one.key.as_path(), "/nonexistent/c.pem"),
        (&one.certificate, Path::new("/nonexistent/k.pem"), "/nonexistent/k.pem"),
        (&one.key, &one.key, "one-key.pem"),
        (&one.certificate, &one.certificate, "one-certificate.pem"),
        (&one.certificate, &other.key, "other-key.pem"),
    ] {
        let files = TlsFiles { certificate_file: certificate.to_owned(), key_file: key.to_owned() };
        let error = format!("{:#}", Tls::read(&files).err().unwrap());
        assert!(error.contains(named), "{named} in {error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}

#[tokio::test]
async fn who_never_shakes_hands_is_cut_off_and_does_not_hold_up_a_stop() {
    let authority = Authority::new();
    let shutdown = Shutdown::default();
    let patient = Limits { header_timeout: Duration::from_millis(200), ..limits() };
    let (address, serving) = server(&authority, patient, &shutdown).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    // The first bytes of a handshake, and no more.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    shutdown.drain.cancel();
    assert!(serving.await.unwrap());

    let (address, serving) = server(&authority, limits(), &shutdown).await;
    let _silent = TcpStream::connect(address).await;
    assert!(serving.await.unwrap(), "nobody was being answered");
}

#[tokio::test]
async fn a_gateway_with_an_authority_of_its_own_is_trusted_where_the_settings_name_it() {
    let authority = Authority::new();
    let (address, _serving) = server(&authority, limits(), &Shutdown::default()).await;
    let mut settings = config();
    settings.attempts = 1;
    settings.base_url = Some(format!("https://localhost:{}", address.port()));
    assert_eq!(Gateway::start(settings.clone()).await.ask().await.error(), LlmError::Unavailable);
    settings.ca_file = Some(authority.file());
    assert_eq!(Gateway::start(settings).await.ask().await.content(), "over TLS");
}

#[tokio::test]
async fn a_receiver_with_an_authority_of_its_own_is_trusted_where_the_settings_name_it() {
    let authority = Authority::new();
    let (address, _serving) = server(&authority, limits(), &Shutdown::default()).await;
    let send = async |ca_file| {
        let config = callback::Config {
            mode: Mode::Webhook,
            url: Some(format!("https://localhost:{}/callback", address.port())),
            secrets: vec![Secret::new("a-callback-secret-of-more-than-32-bytes")],
            max_age: LIMIT,
            connect_timeout: LIMIT,
            timeout: LIMIT,
            ca_file,
            headers: Default::default(),
            cognigy: Default::default(),
            egress: EgressConfig {
                allow_private_cidrs: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                ..EgressConfig::default()
            },
        };
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let callback = callback::connect(&config, &metrics).unwrap().unwrap();
        let outcome = StoredOutcome {
            trigger_id: TriggerId(uuid::Uuid::nil()),
            url: None,
            user_id: "u".to_owned(),
            session_id: None,
            reply_to: ReplyTo::default(),
            status: Status::Success,
            body: "{}".into(),
            attempt: 1,
        };
        callback.send(&outcome, std::time::SystemTime::now().into()).await
    };
    assert!(matches!(send(None).await, Err(CallbackError::Unavailable { .. })));
    assert_eq!(send(Some(authority.file())).await, Ok(()));
}

#[test]
fn a_file_of_authorities_that_is_none_stops_the_start_and_is_named() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for file in [Path::new("/nonexistent/ca.pem"), empty.path()] {
        let error = format!("{:#}", Roots::read(Some(file)).unwrap_err());
        assert!(error.contains("ca_file") && error.contains(file.to_str().unwrap()), "{error}");
    }
}
