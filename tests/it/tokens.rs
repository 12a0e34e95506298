//! Access tokens, over the wire.

use std::{sync::Arc, time::Duration};

use cognigy_fallback_router::{
    http_client::{self, ClientConfig, Roots, UpstreamError},
    metrics::{
        Metrics,
        labels::{TokenProvider, TokenRefresh, Upstream},
    },
    oauth::{ClientAuth, OauthConfig, TokenSource},
    secret::Secret,
};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    clock::forward,
    stub::{Reply, Stub},
};

const LIMIT: Duration = Duration::from_secs(20);

struct Fixture {
    stub: Stub,
    tokens: TokenSource,
    metrics: Arc<Metrics>,
}

async fn fixture() -> Fixture {
    let stub = Stub::start().await;
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let client = http_client::build(&ClientConfig {
        connect_timeout: LIMIT,
        timeout: LIMIT,
        https_only: false,
        roots: Roots::default(),
    })
    .unwrap();
    let config = OauthConfig {
        token_url: stub.url("/oauth/token"),
        client_id: "id".to_owned(),
        client_secret: Secret::new("s&cret"),
        scope: "view:conversation view:analytics:conversation".to_owned(),
        client_auth: ClientAuth::Both,
        upstream: Upstream::Cxone,
    };
    let tokens = TokenSource::new(client, config, Arc::clone(&metrics));
    Fixture { stub, tokens, metrics }
}

fn token(name: &str, expires_in: u64) -> Reply {
    Reply::json(&json!({"access_token": name, "token_type": "bearer", "expires_in": expires_in}))
}

impl Fixture {
    fn reply(&self, reply: Reply) -> &Self {
        self.stub.next("/oauth/token", reply);
        self
    }

    async fn token(&self) -> Result<String, UpstreamError> {
        self.tokens.token(LIMIT).await.map(|token| token.expose().to_owned())
    }

    fn refreshes(&self, end: TokenRefresh) -> u64 {
        self.metrics.token_refreshes.get(TokenProvider::Cxone, end).get()
    }
}

#[tokio::test]
async fn the_credentials_go_in_the_form_and_as_basic_authentication() {
    let f = fixture().await;
    f.reply(token("t1", 3600));
    assert_eq!(f.token().await.unwrap(), "t1");

    let request = &f.stub.requests()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(request.header("authorization"), "Basic aWQ6cyZjcmV0");
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("scope", "view:conversation view:analytics:conversation"),
        ("client_id", "id"),
        ("client_secret", "s&cret"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn fifty_callers_share_one_refresh_and_later_ones_its_token() {
    let f = fixture().await;
    f.reply(token("t1", 3600).after(Duration::from_millis(50)));
    for token in join_all((0..50).map(|_| f.token())).await {
        assert_eq!(token.unwrap(), "t1");
    }
    assert_eq!(f.token().await.unwrap(), "t1");
    assert_eq!(f.stub.requests().len(), 1);
    assert_eq!(f.refreshes(TokenRefresh::Success), 1);
}

#[tokio::test]
async fn a_token_is_renewed_when_a_minute_is_left() {
    let f = fixture().await;
    f.reply(token("t1", 3600)).reply(token("t2", 3600));
    assert_eq!(f.token().await.unwrap(), "t1");
    forward(3_530).await;
    assert_eq!(f.token().await.unwrap(), "t1");
    forward(11).await;
    assert_eq!(f.token().await.unwrap(), "t2");
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_old_token_until_it_expires() {
    let f = fixture().await;
    f.reply(token("t1", 3600)).reply(Reply::status(503)).reply(Reply::status(503));
    assert_eq!(f.token().await.unwrap(), "t1");
    forward(3_541).await;
    assert_eq!(f.token().await.unwrap(), "t1");
    forward(60).await;
    assert_eq!(f.token().await, Err(UpstreamError::Status { status: 503, retry_after: None }));
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_wait_and_then_forgotten() {
    let f = fixture().await;
    f.reply(Reply::status(500).after(Duration::from_millis(50))).reply(token("t2", 3600));
    for token in join_all((0..10).map(|_| f.token())).await {
        assert_eq!(token, Err(UpstreamError::Status { status: 500, retry_after: None }));
    }
    assert_eq!(f.token().await.unwrap(), "t2");
    assert_eq!(f.stub.requests().len(), 2);
    assert_eq!(f.refreshes(TokenRefresh::Failure), 1);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_even_if_many_saw_it_refused() {
    let f = fixture().await;
    f.reply(token("t1", 3600)).reply(token("t2", 3600)).reply(token("t3", 3600));
    let first = f.tokens.token(LIMIT).await.unwrap();
    f.tokens.reject(&first);
    assert_eq!(f.token().await.unwrap(), "t2");
    f.tokens.reject(&first);
    assert_eq!(f.token().await.unwrap(), "t2");
}

#[tokio::test]
async fn a_refresh_outlives_the_caller_who_wanted_it_first() {
    let f = fixture().await;
    f.reply(token("t1", 3600).after(Duration::from_millis(100)));
    let impatient = f.tokens.token(Duration::from_millis(1)).await.map(|_| ());
    assert_eq!(impatient, Err(UpstreamError::Timeout));
    assert_eq!(f.token().await.unwrap(), "t1");
    assert_eq!(f.stub.requests().len(), 1);
}
