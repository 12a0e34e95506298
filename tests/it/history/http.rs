//! Any JSON API, over the wire.

use std::{collections::BTreeMap, time::Duration};

use cognigy_fallback_router::{
    conversation::Role,
    history::{self, AuthKind, Config, HistoryError, HttpOauth, Order, Provider, Speaker},
    http_client::UpstreamError,
    metrics::{
        Metrics,
        labels::{RetryCause, Upstream, UpstreamStatus},
    },
    oauth::ClientAuth,
    secret::Secret,
};
use serde_json::{Value, json};

use crate::support::{
    history::{Fetching, TIMEOUT, config, loopback, said, status, texts, trigger},
    stub::{Reply, Stub},
};

const ITEMS: &str = "/v1/c/items";

fn api(stub: &Stub) -> Config {
    let mut config = config(Provider::Http);
    let http = &mut config.http;
    http.url = Some(stub.url("/v1/{conversationId}/items?size=5"));
    http.items = "/items".to_owned();
    http.text = vec!["/text".to_owned()];
    http.role = "/role".to_owned();
    http.roles = [("bot".to_owned(), Speaker::Assistant), ("agent".to_owned(), Speaker::Agent)].into();
    http.time = "/at".to_owned();
    http.next = "/next".to_owned();
    http.next_parameter = Some("page".to_owned());
    http.max_pages = 4;
    http.api_key_header = "X-API-Key".to_owned();
    http.egress = loopback(&[]);
    config
}

async fn fetching(change: impl FnOnce(&mut Config)) -> Fetching {
    let stub = Stub::start().await;
    let mut config = api(&stub);
    change(&mut config);
    Fetching::new(stub, &config)
}

fn page(texts: &[&str], next: impl Into<Value>) -> Reply {
    let items: Vec<_> = texts.iter().map(|text| json!({"role": "user", "text": text, "at": 1})).collect();
    Reply::json(&json!({"items": items, "next": next.into()}))
}

#[tokio::test]
async fn the_url_has_the_ids_and_the_next_page_its_parameter() {
    let f = fetching(|_| {}).await;
    let path = "/v1/a%2Fb%20%C3%A4/items";
    let items = json!([{"role": "Agent", "text": "d", "at": "t4"}, {"role": "bot", "text": "c", "at": 3}]);
    f.stub.next(path, Reply::json(&json!({"items": items, "next": 2}))).next(path, page(&["b", "a"], ""));
    let conversation = f.fetch(&trigger("a/b ä")).await.unwrap();
    let expected = [(Role::User, "a"), (Role::User, "b"), (Role::Assistant, "c"), (Role::Agent, "d")];
    assert_eq!(said(&conversation), expected);
    assert_eq!(conversation.turns[2].timestamp.as_deref(), Some("3"));
    assert!(!conversation.partial);
    let asked = f.asked(path);
    let queries: Vec<_> = asked.iter().map(|request| request.uri.query().unwrap()).collect();
    assert_eq!(queries, ["size=5", "size=5&page=2"]);
    assert_eq!((asked[0].method.as_str(), asked[0].header("accept")), ("GET", "application/json"));
    assert_eq!(f.metrics.upstream_requests.get(Upstream::Cxone, UpstreamStatus::Success).get(), 2);
}

#[tokio::test]
async fn requests_prove_who_they_are_as_the_settings_say() {
    type Change = fn(&mut Config);
    let secret = |text| Some(Secret::new(text));
    assert!(secret("x").is_some());
    let changes: [(Change, &str, &str); 5] = [
        (|_| {}, "authorization", ""),
        (
            |config| {
                (config.http.auth, config.http.api_key) = (AuthKind::Header, Some(Secret::new("k1")));
            },
            "x-api-key",
            "k1",
        ),
        (
            |config| {
                (config.http.auth, config.http.token) = (AuthKind::Bearer, Some(Secret::new("t1")));
            },
            "authorization",
            "Bearer t1",
        ),
        (
            |config| {
                config.http.auth = AuthKind::Basic;
                (config.http.username, config.http.password) = (Some("u".to_owned()), Some(Secret::new("p:w")));
            },
            "authorization",
            "Basic dTpwOnc=",
        ),
        (
            |config| config.http.headers = BTreeMap::from([("X-Tenant".to_owned(), Secret::new("seven"))]),
            "x-tenant",
            "seven",
        ),
    ];
    for (change, header, expected) in changes {
        let f = fetching(change).await;
        f.stub.always(ITEMS, page(&["a"], Value::Null));
        f.fetch(&trigger("c")).await.unwrap();
        assert_eq!(f.asked(ITEMS)[0].header(header), expected);
    }
}

async fn with_oauth(client_auth: ClientAuth, scope: &str) -> Fetching {
    let stub = Stub::start().await;
    let mut config = api(&stub);
    config.http.auth = AuthKind::Oauth2;
    config.http.oauth = HttpOauth {
        token_url: Some(stub.url("/token")),
        client_id: Some("id:1".to_owned()),
        client_secret: Some(Secret::new("s&1")),
        scope: scope.to_owned(),
        client_auth,
    };
    stub.always("/token", Reply::json(&json!({"access_token": "t2", "expires_in": 3600})));
    stub.next("/token", Reply::json(&json!({"access_token": "t1", "expires_in": 3600})));
    stub.always(ITEMS, page(&["a"], Value::Null));
    Fetching::new(stub, &config)
}

#[tokio::test]
async fn client_credentials_go_the_way_that_the_server_wants() {
    for (client_auth, scope, header, body) in [
        (ClientAuth::Basic, "read all", "Basic aWQlM0ExOnMlMjYx", "grant_type=client_credentials&scope=read+all"),
        (ClientAuth::Form, "", "", "grant_type=client_credentials&client_id=id%3A1&client_secret=s%261"),
        (
            ClientAuth::Both,
            "",
            "Basic aWQ6MTpzJjE=",
            "grant_type=client_credentials&client_id=id%3A1&client_secret=s%261",
        ),
    ] {
        let f = with_oauth(client_auth, scope).await;
        f.fetch(&trigger("c")).await.unwrap();
        let token = &f.asked("/token")[0];
        assert_eq!((token.header("authorization"), &token.body[..]), (header, body.as_bytes()), "{client_auth:?}");
        assert_eq!(f.asked(ITEMS)[0].header("authorization"), "Bearer t1");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_a_missing_permission_is_not_a_reason() {
    let f = with_oauth(ClientAuth::Basic, "").await;
    f.stub.next(ITEMS, Reply::status(401));
    assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["a"]);
    assert_eq!(f.asked(ITEMS)[1].header("authorization"), "Bearer t2");
    f.stub.next(ITEMS, Reply::status(403));
    assert_eq!(f.fetch(&trigger("c")).await, Err(status(403)));
    f.stub.next(ITEMS, Reply::status(401)).next(ITEMS, Reply::status(401));
    assert_eq!(f.fetch(&trigger("c")).await, Err(status(401)));
    assert_eq!(f.asked("/token").len(), 3);
}

#[tokio::test]
async fn what_may_heal_is_asked_again_and_what_cannot_is_not() {
    for (reply, cause) in [
        (Reply::status(429).header("retry-after-ms", "5"), RetryCause::RateLimited),
        (Reply::status(503), RetryCause::ServerError),
        (Reply::html(), RetryCause::InvalidAnswer),
        (Reply::close(), RetryCause::Connect),
    ] {
        let f = fetching(|_| {}).await;
        f.stub.next(ITEMS, reply).next(ITEMS, page(&["a"], Value::Null));
        assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["a"], "{cause:?}");
        assert_eq!(f.retries(Upstream::Cxone, cause), 1, "{cause:?}");
    }
    for code in [302, 400, 401, 403, 404] {
        let f = fetching(|_| {}).await;
        f.stub.always(ITEMS, Reply::status(code).header("location", "/elsewhere"));
        assert_eq!(f.fetch(&trigger("c")).await, Err(status(code)));
        assert_eq!(f.stub.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn silence_is_a_time_out_or_leaves_what_there_is() {
    let (f, short) = (fetching(|_| {}).await, Duration::from_secs(3));
    f.stub.next(ITEMS, Reply::hang());
    assert_eq!(f.fetch_within(&trigger("c"), short).await, Err(TIMEOUT));
    f.stub.next(ITEMS, page(&["b", "a"], 2)).next(ITEMS, page(&["x"], 3).hang_in_body());
    let conversation = f.fetch_within(&trigger("c"), short).await.unwrap();
    assert_eq!((texts(&conversation), conversation.partial), (vec!["a", "b"], true));
}

#[tokio::test]
async fn nonsense_is_an_error_or_leaves_what_there_is() {
    for body in ["", "<html>", "{}", "[]", r#"{"items":{}}"#, r#"{"items":["#] {
        let f = fetching(|_| {}).await;
        f.stub.always(ITEMS, Reply::status(200).body(body));
        let error = f.fetch(&trigger("c")).await.unwrap_err();
        assert!(matches!(error, HistoryError::Upstream(UpstreamError::Malformed(_))), "{error} for {body}");
    }
    let f = fetching(|_| {}).await;
    f.stub.next(ITEMS, page(&["a"], 2)).next(ITEMS, Reply::json(&json!({"items": 7})));
    assert!(f.fetch(&trigger("c")).await.unwrap().partial);
}

#[tokio::test]
async fn pages_and_bytes_have_bounds() {
    let f = fetching(|config| config.max_turns = 100).await;
    for n in 0..6 {
        f.stub.next(ITEMS, page(&[&n.to_string()], n + 1));
    }
    let conversation = f.fetch(&trigger("c")).await.unwrap();
    assert_eq!((conversation.turns.len(), conversation.partial), (4, true));
    assert_eq!(f.asked(ITEMS).len(), 4);

    let huge = "x".repeat(1 << 20);
    let f = fetching(|_| {}).await;
    f.stub.next(ITEMS, page(&["a"], 2));
    f.stub.always(ITEMS, page(&[&huge], 3));
    let conversation = f.fetch(&trigger("c")).await.unwrap();
    assert_eq!((texts(&conversation), conversation.partial), (vec!["a"], true));

    // 900 kB a page: the ninth is over the 8 MiB of one fetch.
    let f = fetching(|config| (config.max_turns, config.http.max_pages) = (100, 100)).await;
    for n in 0..12 {
        f.stub.next(ITEMS, page(&[&huge[..900_000]], n + 1));
    }
    let conversation = f.fetch(&trigger("c")).await.unwrap();
    assert_eq!((conversation.turns.len(), conversation.partial), (9, true));
}

#[tokio::test]
async fn a_circle_of_tokens_ends_as_partial() {
    let f = fetching(|_| {}).await;
    f.stub.next(ITEMS, page(&["c"], "x")).next(ITEMS, page(&["b"], "y")).next(ITEMS, page(&["a"], "x"));
    let conversation = f.fetch(&trigger("c")).await.unwrap();
    assert_eq!((texts(&conversation), conversation.partial), (vec!["a", "b", "c"], true));
    assert_eq!(f.asked(ITEMS).len(), 3);
}

#[tokio::test]
async fn an_api_that_tells_the_oldest_first_is_read_to_its_end() {
    let f = fetching(|config| (config.http.order, config.max_turns) = (Some(Order::OldestFirst), 2)).await;
    f.stub.next(ITEMS, page(&["a", "b"], 2)).next(ITEMS, page(&["c"], Value::Null));
    let conversation = f.fetch(&trigger("c")).await.unwrap();
    assert_eq!((texts(&conversation), conversation.partial), (vec!["b", "c"], false));
}

#[tokio::test]
async fn a_next_page_by_url_stays_with_the_host_that_knows_our_credentials() {
    let stranger = Stub::start().await;
    let stub = Stub::start().await;
    let mut config = api(&stub);
    config.http.next_parameter = None;
    (config.http.auth, config.http.token) = (AuthKind::Bearer, Some(Secret::new("t1")));
    let f = Fetching::new(stub, &config);
    f.stub.always("/v1/c/more", page(&["a"], Value::Null));
    for next in ["more?p=2".to_owned(), "/v1/c/more".to_owned(), f.stub.url("/v1/c/more")] {
        f.stub.next(ITEMS, page(&["b"], next.clone()));
        assert_eq!(texts(&f.fetch(&trigger("c")).await.unwrap()), ["a", "b"], "{next}");
    }
    for next in [stranger.url("/x"), "//127.0.0.1:9/x".to_owned(), "file:///etc/passwd".to_owned()] {
        f.stub.next(ITEMS, page(&["b"], next.clone()));
        let conversation = f.fetch(&trigger("c")).await.unwrap();
        assert_eq!((texts(&conversation), conversation.partial), (vec!["b"], true), "{next}");
    }
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn a_private_address_is_not_asked_unless_its_network_is_allowed() {
    let stub = Stub::start().await;
    let mut config = api(&stub);
    config.http.url = Some(format!("http://localhost:{}/v1/{{conversationId}}/items", stub.port()));
    config.http.egress.allow_private_cidrs.clear();
    let f = Fetching::new(stub, &config);
    let refused = HistoryError::Upstream(UpstreamError::Forbidden);
    assert_eq!(f.fetch(&trigger("c")).await, Err(refused));
    assert!(f.stub.requests().is_empty());
}

#[tokio::test]
async fn an_id_that_the_trigger_does_not_bring_asks_nobody() {
    let f =
        fetching(|config| config.http.url = config.http.url.take().map(|url| url.replace("conversationId", "caseId")))
            .await;
    assert_eq!(f.fetch(&trigger("c")).await, Err(HistoryError::Incomplete("caseId")));
    assert!(f.stub.requests().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named_by_their_key() {
    type Change = fn(&mut Config);
    let stub = Stub::start().await;
    let changes: [(Change, &str); 9] = [
        (|config| config.http.url = None, "http.url"),
        (|config| config.http.url = Some("http://127.0.0.1/all".to_owned()), "http.url"),
        (|config| config.http.url = Some("http://10.0.0.1/{conversationId}".to_owned()), "http.url"),
        (|config| config.http.items = "items".to_owned(), "http.items"),
        (|config| config.http.text.clear(), "http.text"),
        (|config| config.http.auth = AuthKind::Bearer, "http.token"),
        (
            |config| {
                (config.http.auth, config.http.api_key) = (AuthKind::Header, Some(Secret::new("a secret\n")));
            },
            "http.api_key",
        ),
        (|config| config.http.headers = [("a b".to_owned(), Secret::new("x"))].into(), "http.headers.a b"),
        (|config| config.http.auth = AuthKind::Oauth2, "http.oauth.token_url"),
    ];
    for (change, key) in changes {
        let mut config = api(&stub);
        change(&mut config);
        let metrics = std::sync::Arc::new(Metrics::new("test").unwrap());
        let problem = format!("{:#}", history::connect(&config, &metrics).err().unwrap());
        assert!(problem.contains(key) && !problem.contains("a secret"), "{problem}");
    }
}
