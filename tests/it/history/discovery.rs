//! From an access key to a token and the tenant's host.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigy_fallback_router::{
    egress::EgressConfig,
    history::{self, Config, HistoryError, Provider},
    http_client::UpstreamError,
    secret::Secret,
};
use serde_json::{Value, json};

use super::digital::{CASE, DIGITAL_TOKEN, MESSAGES, OPENID, TENANT, id_token, message, page};
use crate::support::{
    history::{Fetching, config, loopback, said, status, trigger_of_case},
    stub::{Reply, Stub},
};

/// Settings with which discovery begins at `issuer` and may lead to the hosts of `egress`.
pub(super) fn digital_config(issuer: String, egress: EgressConfig) -> Config {
    let mut config = config(Provider::CxoneDigital);
    let digital = &mut config.cxone_digital;
    digital.environment_url = issuer;
    digital.access_key_id = Some("key id=".to_owned());
    digital.access_key_secret = Some(Secret::new("key&secret="));
    digital.client_id = Some("client".to_owned());
    digital.client_secret = Some(Secret::new("client-secret"));
    digital.egress = egress;
    config
}

const FORBIDDEN: HistoryError = HistoryError::Upstream(UpstreamError::Forbidden);

#[tokio::test]
async fn the_way_to_a_tenant_is_asked_exactly_as_documented() {
    let stub = Stub::start().await;
    let (port, own) = (stub.port(), stub.url(""));
    stub.always(OPENID, Reply::json(&json!({"issuer": own, "token_endpoint": stub.url(DIGITAL_TOKEN)})));
    let id_token = id_token(&own, "tenant 1&x");
    stub.always(
        DIGITAL_TOKEN,
        Reply::json(&json!({"access_token": "t1", "token_type": "bearer", "expires_in": 3600, "refresh_token": "r",
                            "id_token": id_token})),
    );
    stub.always(TENANT, Reply::json(&json!({"api_endpoint": own, "area": "na1", "domain": "niceincontact.com"})));
    stub.always(MESSAGES, page(&[message("m1", "inbound", "hello")], None));
    let config = digital_config(own, loopback(&[&format!("127.0.0.1:{port}")]));
    let fetching = Fetching::new(stub, &config);
    let conversation = fetching.fetch(&trigger_of_case(None, Some(CASE))).await.unwrap();
    assert_eq!(conversation.turns.len(), 1);

    let requests = fetching.stub.requests();
    let paths: Vec<_> = requests.iter().map(|request| format!("{} {}", request.method, request.uri.path())).collect();
    assert_eq!(
        paths,
        [format!("GET {OPENID}"), format!("POST {DIGITAL_TOKEN}"), format!("GET {TENANT}"), format!("GET {MESSAGES}")]
    );
    let token = &requests[1];
    assert_eq!(token.header("authorization"), "Basic Y2xpZW50OmNsaWVudC1zZWNyZXQ=");
    assert_eq!(token.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(token.body, "grant_type=password&username=key+id%3D&password=key%26secret%3D");
    assert_eq!(requests[2].uri.query(), Some("tenantId=tenant+1%26x"));
    assert_eq!(requests[3].header("authorization"), "Bearer t1");
    for request in [&requests[0], &requests[2]] {
        assert_eq!(request.header("authorization"), "", "only the API needs to know the token");
    }
}

/// What discovery answers, and what comes of it.
async fn led(openid: Value, token: Value, tenant: Value) -> (Result<usize, HistoryError>, Vec<String>) {
    let (stub, stranger) = (Stub::start().await, Stub::start().await);
    let place = |value: Value| {
        let text = value.to_string().replace("STRANGER", &stranger.url("")).replace("OWN", &stub.url(""));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut token = place(token);
    if let Some(claims) = token.get("claims") {
        token["id_token"] = json!(format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string())));
    }
    for server in [&stub, &stranger] {
        server.always(OPENID, Reply::json(&place(openid.clone())));
        server.always(DIGITAL_TOKEN, Reply::json(&token));
        server.always(TENANT, Reply::json(&place(tenant.clone())));
        server.always(MESSAGES, page(&[message("m1", "inbound", "hello")], None));
    }
    let config = digital_config(stub.url(""), loopback(&[&format!("127.0.0.1:{}", stub.port())]));
    let fetching = Fetching::new(stub, &config);
    let got = fetching.fetch(&trigger_of_case(None, Some(CASE))).await;
    let stranger_got = stranger.requests().iter().map(|request| request.uri.to_string()).collect();
    (got.map(|conversation| conversation.turns.len()), stranger_got)
}

#[tokio::test]
async fn a_discovered_address_outside_the_configured_domains_is_never_asked() {
    let openid = json!({"token_endpoint": format!("OWN{DIGITAL_TOKEN}")});
    let token = json!({"access_token": "t1", "claims": {"iss": "OWN", "tenantId": "t"}});
    let tenant = json!({"api_endpoint": "OWN"});
    assert_eq!(led(openid.clone(), token.clone(), tenant.clone()).await, (Ok(1), vec![]));

    let elsewhere = |url: &str| {
        [
            (json!({"token_endpoint": url}), token.clone(), tenant.clone()),
            (openid.clone(), json!({"access_token": "t1", "claims": {"iss": url, "tenantId": "t"}}), tenant.clone()),
            (openid.clone(), token.clone(), json!({"api_endpoint": url})),
        ]
    };
    for url in ["STRANGER", "http://169.254.169.254", "http://user@127.0.0.1:1", "file:///etc/passwd", "//x", ""] {
        for (openid, token, tenant) in elsewhere(url) {
            let what = format!("{openid} {token} {tenant}");
            assert_eq!(led(openid, token, tenant).await, (Err(FORBIDDEN), vec![]), "{what}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_discovery_is_an_error() {
    let openid = json!({"token_endpoint": format!("OWN{DIGITAL_TOKEN}")});
    let token = json!({"access_token": "t1", "claims": {"iss": "OWN", "tenantId": "t"}});
    let tenant = json!({"api_endpoint": "OWN"});
    for (openid, token, tenant) in [
        (json!({}), token.clone(), tenant.clone()),
        (json!([]), token.clone(), tenant.clone()),
        (openid.clone(), json!({}), tenant.clone()),
        (openid.clone(), json!({"access_token": "opaque"}), tenant.clone()),
        (openid.clone(), json!({"access_token": "t1", "claims": {"iss": "OWN"}}), tenant.clone()),
        (openid.clone(), token.clone(), json!({})),
    ] {
        let what = format!("{openid} {token} {tenant}");
        let (got, _) = led(openid, token, tenant).await;
        assert!(matches!(got, Err(HistoryError::Upstream(UpstreamError::Malformed(_)))), "{what}: {got:?}");
    }
}

#[tokio::test]
async fn a_configured_base_url_needs_no_tenant() {
    let stub = Stub::start().await;
    stub.always(OPENID, Reply::json(&json!({"token_endpoint": stub.url(DIGITAL_TOKEN)})));
    stub.always(DIGITAL_TOKEN, Reply::json(&json!({"access_token": "opaque", "expires_in": 3600})));
    stub.always("/api/dfo/3.0/contacts/4711/messages", page(&[message("m1", "inbound", "hello")], None));
    let mut config = digital_config(stub.url(""), loopback(&[]));
    config.cxone_digital.base_url = Some(stub.url("/api/"));
    config.cxone_digital.http1_only = true;
    config.cxone_digital.identity_encoding = true;
    let fetching = Fetching::new(stub, &config);
    let conversation = fetching.fetch(&trigger_of_case(None, Some(CASE))).await.unwrap();
    assert_eq!(said(&conversation).len(), 1);
    let requests = fetching.stub.requests();
    assert!(requests.iter().all(|request| request.header("accept-encoding") == "identity"));
    assert!(fetching.asked(TENANT).is_empty());
}

#[tokio::test]
async fn a_refused_access_key_is_an_error_and_asks_for_no_message() {
    let stub = Stub::start().await;
    stub.always(OPENID, Reply::json(&json!({"token_endpoint": stub.url(DIGITAL_TOKEN)})));
    stub.always(DIGITAL_TOKEN, Reply::status(401));
    let config = digital_config(stub.url(""), loopback(&[]));
    let fetching = Fetching::new(stub, &config);
    assert_eq!(fetching.fetch(&trigger_of_case(None, Some(CASE))).await, Err(status(401)));
    assert_eq!(fetching.stub.requests().len(), 2);
}

#[test]
fn settings_that_cannot_be_used_are_named_by_their_key() {
    type Change = fn(&mut Config);
    let changes: [(Change, &str); 5] = [
        (|config| config.cxone_digital.environment_url = "http://10.0.0.1".to_owned(), "environment_url"),
        (|config| config.cxone_digital.base_url = Some("ftp://x".to_owned()), "base_url"),
        (|config| config.cxone_digital.access_key_secret = None, "access_key_secret"),
        (|config| config.cxone_digital.client_id = None, "client_id"),
        (|config| config.cxone_digital.egress.allow_hosts = vec!["a b".to_owned()], "allow_hosts"),
    ];
    for (change, key) in changes {
        let mut config = digital_config("https://cxone.niceincontact.com".to_owned(), EgressConfig::default());
        change(&mut config);
        let metrics = std::sync::Arc::new(cognigy_fallback_router::metrics::Metrics::new("test").unwrap());
        let problem = format!("{:#}", history::connect(&config, &metrics).err().unwrap());
        assert!(problem.contains(key), "{problem}");
        assert!(!problem.contains("secret="), "{problem}");
    }
}
