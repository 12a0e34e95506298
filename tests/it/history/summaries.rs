//! The conversation summaries, over the wire.

use std::time::Duration;

use cognigy_fallback_router::{
    conversation::{Conversation, Role},
    history::{HistoryError, Provider},
    http_client::UpstreamError,
    metrics::labels::{RetryCause, Upstream, UpstreamStatus},
    secret::Secret,
};
use serde_json::{Value, json};

use crate::support::{
    history::{AMPLE, Fetching, TIMEOUT, config, status, texts, trigger},
    stub::{Recorded, Reply, Stub},
};

const SUMMARIES: &str = "/api/v2/conversations/summaries";
const TOKEN: &str = "/oauth/token";

struct Fixture(Fetching);

impl std::ops::Deref for Fixture {
    type Target = Fetching;

    fn deref(&self) -> &Fetching {
        &self.0
    }
}

async fn fixture(max_turns: usize) -> Fixture {
    let stub = Stub::start().await;
    stub.always(TOKEN, Reply::json(&json!({"access_token": "t1", "expires_in": 3600})));
    let mut config = config(Provider::CxoneSummaries);
    config.max_turns = max_turns;
    config.cxone.base_url = stub.url("/");
    config.cxone.client_id = Some("id".to_owned());
    config.cxone.client_secret = Some(Secret::new("secret"));
    Fixture(Fetching::new(stub, &config))
}

impl Fixture {
    fn next(&self, reply: Reply) -> &Self {
        self.stub.next(SUMMARIES, reply);
        self
    }

    async fn fetch(&self) -> Result<Conversation, HistoryError> {
        self.fetch_within(AMPLE).await
    }

    async fn fetch_within(&self, limit: Duration) -> Result<Conversation, HistoryError> {
        self.0.fetch_within(&trigger("c 1&x=ä"), limit).await
    }

    fn pages_asked(&self) -> Vec<Recorded> {
        self.asked(SUMMARIES)
    }

    fn retries(&self, cause: RetryCause) -> u64 {
        self.0.retries(Upstream::Cxone, cause)
    }
}

fn item(participant: &str, text: &str) -> Value {
    json!({"conversationId": "c", "participantId": participant, "text": text, "timestamp": "2024-01-15T10:23:45.000Z"})
}

/// A page of `count` turns, newest first, numbered down from `newest`.
fn page(newest: usize, count: usize, next: Option<&str>) -> Reply {
    let items: Vec<Value> = (0..count).map(|i| item("user-1", &format!("turn {}", newest - i))).collect();
    Reply::json(&json!({"items": items, "nextPageToken": next}))
}

#[tokio::test]
async fn the_request_is_the_originals_and_turns_come_oldest_first() {
    let f = fixture(10).await;
    f.next(Reply::json(&json!({"items": [
        item("agent-3", "newest"), item("bot-1", "middle"), item("user-external-9876", "oldest")], "nextPageToken": null})));
    let conversation = f.fetch().await.unwrap();

    let request = &f.pages_asked()[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.header("authorization"), "Bearer t1");
    assert_eq!(request.uri.query().unwrap(), "conversationId=c+1%26x%3D%C3%A4&pageSize=50&sortOrder=desc");
    assert_eq!(texts(&conversation), ["oldest", "middle", "newest"]);
    let roles: Vec<Role> = conversation.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Agent]);
    assert_eq!(conversation.turns[0].timestamp.as_deref(), Some("2024-01-15T10:23:45.000Z"));
    assert!(!conversation.partial);
}

#[tokio::test]
async fn paging_goes_on_until_there_are_enough_turns() {
    let f = fixture(5).await;
    f.next(page(9, 3, Some("p 2"))).next(page(6, 3, Some("p3"))).next(page(3, 3, None));
    let conversation = f.fetch().await.unwrap();
    assert_eq!(texts(&conversation), ["turn 5", "turn 6", "turn 7", "turn 8", "turn 9"]);
    assert!(!conversation.partial);
    let asked = f.pages_asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].query()["nextPageToken"], "p 2");
    assert_eq!(asked[1].query()["conversationId"], "c 1&x=ä");
}

#[tokio::test]
async fn paging_ends_with_the_last_page() {
    let f = fixture(10).await;
    f.next(page(4, 2, Some("p2"))).next(page(2, 2, Some("")));
    let conversation = f.fetch().await.unwrap();
    assert_eq!(texts(&conversation), ["turn 1", "turn 2", "turn 3", "turn 4"]);
    assert!(!conversation.partial);
}

#[tokio::test]
async fn a_page_token_that_comes_again_ends_the_paging_as_partial() {
    let f = fixture(10).await;
    f.next(page(4, 2, Some("a"))).next(page(2, 1, Some("b"))).next(page(1, 1, Some("a")));
    let conversation = f.fetch().await.unwrap();
    assert_eq!(conversation.turns.len(), 4);
    assert!(conversation.partial);
    assert_eq!(f.pages_asked().len(), 3);
}

#[tokio::test]
async fn pages_without_end_are_left_after_twenty() {
    let f = fixture(1_000).await;
    for n in 0..30 {
        f.next(page(n + 1, 1, Some(&format!("p{n}"))));
    }
    let conversation = f.fetch().await.unwrap();
    assert_eq!(f.pages_asked().len(), 20);
    assert_eq!(conversation.turns.len(), 20);
    assert!(conversation.partial);
}

#[tokio::test]
async fn an_item_without_text_is_no_turn() {
    let f = fixture(10).await;
    f.next(Reply::json(&json!({"items": [
        {"participantId": "user-1", "text": null}, {"text": " "}, {"participantId": "user-1"},
        {"participantId": null, "text": "said"}]})));
    assert_eq!(texts(&f.fetch().await.unwrap()), ["said"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let f = fixture(10).await;
    f.stub.next(TOKEN, Reply::json(&json!({"access_token": "old"})));
    f.next(Reply::status(401)).next(page(1, 1, None));
    assert_eq!(texts(&f.fetch().await.unwrap()), ["turn 1"]);
    let asked = f.pages_asked();
    assert_eq!(asked[0].header("authorization"), "Bearer old");
    assert_eq!(asked[1].header("authorization"), "Bearer t1");
}

#[tokio::test]
async fn a_token_refused_twice_in_one_fetch_is_an_error() {
    let f = fixture(10).await;
    f.next(Reply::status(401)).next(Reply::status(401));
    assert_eq!(f.fetch().await, Err(status(401)));
    assert_eq!(f.pages_asked().len(), 2);
    assert_eq!(f.stub.requests_to(TOKEN).len(), 2);
}

#[tokio::test]
async fn a_second_refusal_on_a_later_page_leaves_what_there_is() {
    let f = fixture(10).await;
    f.next(Reply::status(401)).next(page(3, 2, Some("p2"))).next(Reply::status(401));
    let conversation = f.fetch().await.unwrap();
    assert_eq!(texts(&conversation), ["turn 2", "turn 3"]);
    assert!(conversation.partial);
}

#[tokio::test]
async fn what_may_heal_is_asked_again() {
    for (reply, cause) in [
        (Reply::status(429).header("retry-after-ms", "5"), RetryCause::RateLimited),
        (Reply::status(500), RetryCause::ServerError),
        (Reply::status(503), RetryCause::ServerError),
        (Reply::html(), RetryCause::InvalidAnswer),
        (Reply::close(), RetryCause::Connect),
        (page(1, 1, None).half(), RetryCause::Connect),
    ] {
        let f = fixture(10).await;
        f.next(reply).next(page(1, 1, None));
        assert_eq!(texts(&f.fetch().await.unwrap()), ["turn 1"], "{cause:?}");
        assert_eq!(f.retries(cause), 1, "{cause:?}");
    }
}

#[tokio::test]
async fn a_wait_beyond_the_time_left_is_not_begun() {
    let f = fixture(10).await;
    f.next(Reply::status(429).header("retry-after", "60"));
    let error = f.fetch_within(Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error, UpstreamError::Status { status: 429, retry_after: Some(Duration::from_secs(60)) }.into());
    assert_eq!(f.pages_asked().len(), 1);
}

#[tokio::test]
async fn an_outage_is_given_up_after_three_tries() {
    let f = fixture(10).await;
    f.stub.always(SUMMARIES, Reply::status(503));
    assert_eq!(f.fetch().await, Err(status(503)));
    assert_eq!(f.pages_asked().len(), 3);
    assert_eq!(f.metrics.upstream_requests.get(Upstream::Cxone, UpstreamStatus::ServerError).get(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_asked_again() {
    for code in [400, 403, 404, 302] {
        let f = fixture(10).await;
        f.stub.always(SUMMARIES, Reply::status(code).header("location", "/elsewhere"));
        assert_eq!(f.fetch().await, Err(status(code)));
        assert_eq!(f.pages_asked().len(), 1, "{code}");
        assert!(f.stub.requests_to("/elsewhere").is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_is_no_page_is_an_error() {
    let huge = format!(r#"{{"items":[],"x":"{}"}}"#, "a".repeat(1 << 20));
    for body in ["", "{}", "[]", r#"{"items":7}"#, r#"{"items":[7]}"#, r#"{"items":["#, "<html>", &huge] {
        let f = fixture(10).await;
        f.stub.always(SUMMARIES, Reply::status(200).body(body.to_owned()));
        let error = f.fetch().await.unwrap_err();
        assert!(matches!(error, HistoryError::Upstream(UpstreamError::Malformed(_))), "{error} for {:.20}", body);
    }
}

#[tokio::test]
async fn a_failure_after_the_first_page_leaves_what_there_is() {
    let f = fixture(10).await;
    f.stub.always(SUMMARIES, Reply::status(403));
    f.next(page(3, 2, Some("p2")));
    let conversation = f.fetch().await.unwrap();
    assert_eq!(texts(&conversation), ["turn 2", "turn 3"]);
    assert!(conversation.partial);
}

#[tokio::test]
async fn silence_is_a_time_out_or_leaves_what_there_is() {
    let short = Duration::from_millis(300);
    let f = fixture(10).await;
    f.next(Reply::hang());
    assert_eq!(f.fetch_within(short).await, Err(TIMEOUT));

    let f = fixture(10).await;
    f.next(page(3, 2, Some("p2"))).next(page(1, 1, None).hang_in_body());
    let conversation = f.fetch_within(short).await.unwrap();
    assert_eq!(conversation.turns.len(), 2);
    assert!(conversation.partial);
}

#[tokio::test]
async fn no_token_means_no_history() {
    let f = fixture(10).await;
    f.stub.always(TOKEN, Reply::status(401));
    assert_eq!(f.fetch().await, Err(status(401)));
    assert!(f.pages_asked().is_empty());
}
