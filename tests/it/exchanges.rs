//! One request to an upstream and what can come of it.

use std::{collections::BTreeSet, time::Duration};

use cognigy_fallback_router::{
    http_client::{self, Answer, ClientConfig, Limits, Roots, UpstreamError, exchange},
    metrics::{
        Metrics,
        labels::{Upstream, UpstreamStatus},
    },
};

use crate::support::stub::{Reply, Stub};

const AMPLE: Duration = Duration::from_secs(10);

fn client(https_only: bool) -> reqwest::Client {
    http_client::build(&ClientConfig { connect_timeout: AMPLE, timeout: AMPLE, https_only, roots: Roots::default() })
        .unwrap()
}

/// Makes one exchange of at most 300 ms and 16 bytes, and tells how it was counted.
async fn get(url: &str, https_only: bool) -> (Result<Answer, UpstreamError>, UpstreamStatus) {
    let metrics = Metrics::new("test").unwrap();
    let limits = Limits { time: Duration::from_millis(300), body: 16 };
    let result = exchange(client(https_only).get(url), limits, Upstream::Cxone, &metrics).await;
    let labels = [
        UpstreamStatus::Success,
        UpstreamStatus::Redirect,
        UpstreamStatus::ClientError,
        UpstreamStatus::RateLimited,
        UpstreamStatus::ServerError,
        UpstreamStatus::Timeout,
        UpstreamStatus::Connect,
        UpstreamStatus::Tls,
    ];
    let counted: Vec<_> =
        labels.into_iter().filter(|label| metrics.upstream_requests.get(Upstream::Cxone, *label).get() == 1).collect();
    assert_eq!(counted.len(), 1, "counted once");
    assert_eq!(metrics.upstream_duration.get(Upstream::Cxone).get_sample_count(), 1);
    (result, counted[0])
}

#[tokio::test]
async fn each_answer_has_its_word_and_its_label() {
    use UpstreamStatus as S;
    let full = "sixteen bytes...";
    for (name, reply, expected, label) in [
        ("a body up to the limit", Reply::status(200).body(full), Ok(full), S::Success),
        ("no body", Reply::status(204), Ok(""), S::Success),
        (
            "over the limit",
            Reply::status(200).body("seventeen bytes.."),
            Err(UpstreamError::Malformed("body over the limit")),
            S::Success,
        ),
        (
            "no gzip",
            Reply::status(200).header("content-encoding", "gzip").body("x"),
            Err(UpstreamError::Malformed("undecodable body")),
            S::Success,
        ),
        ("broken off", Reply::status(200).body(full).half(), Err(UpstreamError::Connect), S::Connect),
        ("silent", Reply::hang(), Err(UpstreamError::Timeout), S::Timeout),
        ("silent in the body", Reply::status(200).body(full).hang_in_body(), Err(UpstreamError::Timeout), S::Timeout),
        ("closed", Reply::close(), Err(UpstreamError::Connect), S::Connect),
        ("redirected", Reply::status(302).header("location", "/else"), Err(status(302, None)), S::Redirect),
        ("limited", Reply::status(429).header("retry-after", "2"), Err(status(429, Some(2))), S::RateLimited),
        (
            "a failure whose body is too long",
            Reply::status(500).body("x".repeat(99)),
            Err(status(500, None)),
            S::ServerError,
        ),
        ("a failure that breaks off", Reply::status(404).body(full).half(), Err(status(404, None)), S::ClientError),
    ] {
        let stub = Stub::start().await;
        stub.next("/x", reply);
        let (result, counted) = get(&stub.url("/x?token=secret"), false).await;
        let body = result.and_then(Answer::success);
        assert_eq!(body.as_deref().map_err(Clone::clone), expected.map(str::as_bytes), "{name}");
        assert_eq!(counted, label, "{name}");
        if let Err(error) = body {
            assert!(!format!("{error} {error:?}").contains("secret"), "{name}");
        }
    }
}

fn status(status: u16, seconds: Option<u64>) -> UpstreamError {
    UpstreamError::Status { status, retry_after: seconds.map(Duration::from_secs) }
}

#[tokio::test]
async fn a_connection_that_is_not_secure_is_not_taken_for_an_outage() {
    let stub = Stub::start().await;
    let plain = format!("https://127.0.0.1:{}/", stub.port());
    for (url, https_only) in [(plain.as_str(), false), (stub.url("/").as_str(), true)] {
        let (result, counted) = get(url, https_only).await;
        assert_eq!(result.err(), Some(UpstreamError::Tls), "https only: {https_only}");
        assert_eq!(counted, UpstreamStatus::Tls);
    }
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn nobody_there_is_a_failed_connect() {
    for url in ["http://127.0.0.1:1/", "http://nobody.invalid/"] {
        let (result, counted) = get(url, false).await;
        assert_eq!(result.err(), Some(UpstreamError::Connect), "{url}");
        assert_eq!(counted, UpstreamStatus::Connect);
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let stub = Stub::start().await;
    stub.always("/x", Reply::status(200).body("ok"));
    let client = client(false);
    let metrics = Metrics::new("test").unwrap();
    for _ in 0..5 {
        let limits = Limits { time: AMPLE, body: 16 };
        let answer = exchange(client.get(stub.url("/x")), limits, Upstream::Llm, &metrics).await.unwrap();
        assert_eq!(answer.body(), b"ok");
    }
    let peers: BTreeSet<_> = stub.requests().iter().map(|request| request.peer).collect();
    assert_eq!(peers.len(), 1, "five requests, one connection");
}
