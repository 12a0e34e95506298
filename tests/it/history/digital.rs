//! The messages of a CXone digital case, over the wire.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cognigy_fallback_router::{
    conversation::{Conversation, Role},
    history::{HistoryError, Read},
    http_client::UpstreamError,
    metrics::labels::{RetryCause, Upstream},
};
use serde_json::{Value, json};

use super::discovery::digital_config;
use crate::support::{
    clock::forward,
    history::{AMPLE, Fetching, TIMEOUT, loopback, said, status, texts, trigger_of_case},
    stub::{Reply, Stub},
};

pub(super) const OPENID: &str = "/.well-known/openid-configuration";
pub(super) const DIGITAL_TOKEN: &str = "/auth/token";
pub(super) const TENANT: &str = "/.well-known/cxone-configuration";
pub(super) const CASE: &str = "4711";
pub(super) const MESSAGES: &str = "/dfo/3.0/contacts/4711/messages";
const DETAIL: &str = "/dfo/3.0/contacts/4711/detail";

pub(super) fn id_token(issuer: &str, tenant: &str) -> String {
    let claims = json!({"iss": issuer, "tenantId": tenant, "area": "na1"});
    format!("eyJh.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

pub(super) fn message(id: &str, direction: &str, text: &str) -> Value {
    let minute: u32 = id.trim_start_matches('m').parse().unwrap();
    json!({"id": id, "threadId": "t1", "postId": "p1", "direction": direction,
           "createdAt": format!("2026-08-21T10:{minute:02}:45+00:00"),
           "messageContent": {"type": "TEXT", "text": text, "payload": null, "fallbackText": null},
           "authorEndUserIdentity": null, "authorUser": null, "hasAdditionalMessageContent": false,
           "contentRemoved": null, "attachments": []})
}

pub(super) fn page(messages: &[Value], scroll_token: Option<&str>) -> Reply {
    Reply::json(&json!({"data": messages, "scrollToken": scroll_token}))
}

/// A page of customer messages with these numbers, in this order.
fn numbered(numbers: &[u32], scroll_token: Option<&str>) -> Reply {
    let messages: Vec<_> = numbers.iter().map(|n| message(&format!("m{n}"), "inbound", &format!("{n}"))).collect();
    page(&messages, scroll_token)
}

struct Fixture(Fetching);

impl std::ops::Deref for Fixture {
    type Target = Fetching;

    fn deref(&self) -> &Fetching {
        &self.0
    }
}

async fn fixture(max_turns: usize, read: Read) -> Fixture {
    let stub = Stub::start().await;
    stub.always(OPENID, Reply::json(&json!({"token_endpoint": stub.url(DIGITAL_TOKEN)})));
    let token = json!({"access_token": "t1", "expires_in": 3600, "id_token": id_token(&stub.url(""), "t")});
    stub.always(DIGITAL_TOKEN, Reply::json(&token));
    stub.always(TENANT, Reply::json(&json!({"api_endpoint": stub.url("")})));
    let mut config = digital_config(stub.url(""), loopback(&[]));
    config.max_turns = max_turns;
    config.cxone_digital.read = read;
    config.cxone_digital.bot_user_ids = vec!["77".to_owned()];
    Fixture(Fetching::new(stub, &config))
}

impl Fixture {
    fn next(&self, reply: Reply) -> &Self {
        self.stub.next(MESSAGES, reply);
        self
    }

    async fn fetch(&self) -> Result<Conversation, HistoryError> {
        self.0.fetch(&trigger_of_case(Some("480123456789"), Some(CASE))).await
    }

    fn tokens_asked(&self) -> usize {
        self.asked(DIGITAL_TOKEN).len()
    }
}

#[tokio::test]
async fn pages_are_asked_by_scroll_token_and_turns_come_oldest_first_with_their_roles() {
    let f = fixture(10, Read::Auto).await;
    let mut agent = message("m4", "outbound", "an agent");
    agent["authorUser"] = json!({"id": 5, "fullName": "A. Gent"});
    let mut flow = message("m3", "outbound", "a bot with a user");
    flow["authorUser"] = json!({"id": 77});
    let mut removed = message("m2", "inbound", "taken back");
    removed["contentRemoved"] = json!({"reason": "gdpr"});
    let mut card = message("m5", "inbound", "");
    card["messageContent"] = json!({"type": "MENU", "text": null, "fallbackText": "what the menu says"});
    f.next(page(&[card, agent], Some("s 1&"))).next(page(&[flow, removed, message("m1", "outbound", "the bot")], None));
    let conversation = f.fetch().await.unwrap();
    let expected = [
        (Role::Assistant, "the bot"),
        (Role::Assistant, "a bot with a user"),
        (Role::Agent, "an agent"),
        (Role::User, "what the menu says"),
    ];
    assert_eq!(said(&conversation), expected);
    assert_eq!(conversation.turns[0].timestamp.as_deref(), Some("2026-08-21T10:01:45+00:00"));
    assert!(!conversation.partial);
    let asked = f.asked(MESSAGES);
    assert_eq!(asked[0].uri.query(), Some("sorting=createdAt&sortingType=desc"));
    assert_eq!(asked[1].uri.query(), Some("sorting=createdAt&sortingType=desc&scrollToken=s+1%26"));
    assert!(asked.iter().all(|request| request.header("authorization") == "Bearer t1"));
}

#[tokio::test]
async fn paging_ends_with_enough_turns_an_empty_page_all_hits_or_no_token() {
    for (pages, expected, asked) in [
        (vec![numbered(&[9, 8], Some("a")), numbered(&[7, 6], Some("b"))], vec!["7", "8", "9"], 2),
        (vec![numbered(&[2, 1], Some("a")), numbered(&[], Some("b"))], vec!["1", "2"], 2),
        (vec![numbered(&[2, 1], None)], vec!["1", "2"], 1),
        (
            vec![Reply::json(&json!({"hits": 1, "scrollToken": "a", "data": [message("m1", "inbound", "1")]}))],
            vec!["1"],
            1,
        ),
        // A bare list, the oldest first, and one that repeats itself from page to page.
        (vec![Reply::json(&json!([message("m1", "inbound", "1"), message("m2", "inbound", "2")]))], vec!["1", "2"], 1),
        (vec![numbered(&[3, 2], Some("a")), numbered(&[2, 1], None)], vec!["1", "2", "3"], 2),
        (vec![numbered(&[1, 2, 3], Some("a")), numbered(&[4, 5], None)], vec!["3", "4", "5"], 2),
    ] {
        let f = fixture(3, Read::Auto).await;
        for page in pages {
            f.next(page);
        }
        let conversation = f.fetch().await.unwrap();
        assert_eq!(texts(&conversation), expected);
        assert!(!conversation.partial);
        assert_eq!(f.asked(MESSAGES).len(), asked, "{expected:?}");
    }
}

#[tokio::test]
async fn a_circle_of_scroll_tokens_ends_as_partial() {
    let f = fixture(10, Read::Auto).await;
    f.next(numbered(&[9], Some("a"))).next(numbered(&[8], Some("b"))).next(numbered(&[7], Some("a")));
    let conversation = f.fetch().await.unwrap();
    assert_eq!(texts(&conversation), ["7", "8", "9"]);
    assert!(conversation.partial);
    assert_eq!(f.asked(MESSAGES).len(), 3);
}

#[tokio::test]
async fn a_message_that_the_list_cuts_makes_the_conversation_partial() {
    let f = fixture(10, Read::Auto).await;
    let mut long = message("m1", "inbound", "the beginning");
    long["hasAdditionalMessageContent"] = json!(true);
    f.next(page(&[long], None));
    assert!(f.fetch().await.unwrap().partial);
}

#[tokio::test]
async fn where_messages_are_refused_the_detail_of_the_case_is_read_and_remembered() {
    for (refusal, asked_again) in [(404, 1), (405, 1), (400, 2)] {
        let f = fixture(2, Read::Auto).await;
        f.stub.always(MESSAGES, Reply::status(refusal));
        let listed = [message("m2", "inbound", "2"), message("m3", "inbound", "3"), message("m1", "inbound", "1")];
        f.stub.always(DETAIL, Reply::json(&json!({"customerContact": {"id": CASE}, "messages": listed})));
        for _ in 0..2 {
            let conversation = f.fetch().await.unwrap();
            assert_eq!(texts(&conversation), ["2", "3"], "{refusal}");
            assert!(!conversation.partial);
        }
        assert_eq!(f.asked(DETAIL).len(), 2);
        assert_eq!(f.asked(MESSAGES).len(), asked_again, "{refusal}");
    }
}

#[tokio::test]
async fn a_case_that_is_unknown_to_both_calls_is_an_error_and_teaches_nothing() {
    let f = fixture(2, Read::Auto).await;
    f.stub.always(MESSAGES, Reply::status(404));
    f.stub.always(DETAIL, Reply::status(404));
    assert_eq!(f.fetch().await, Err(status(404)));
    assert_eq!(f.fetch().await, Err(status(404)));
    assert_eq!(f.asked(MESSAGES).len(), 2);
}

#[tokio::test]
async fn each_call_can_be_asked_alone() {
    let f = fixture(2, Read::Detail).await;
    f.stub.always(DETAIL, Reply::json(&json!({"messages": [message("m1", "inbound", "1")]})));
    assert_eq!(texts(&f.fetch().await.unwrap()), ["1"]);
    assert!(f.asked(MESSAGES).is_empty());

    let f = fixture(2, Read::Messages).await;
    f.stub.always(MESSAGES, Reply::status(404));
    assert_eq!(f.fetch().await, Err(status(404)));
    assert!(f.asked(DETAIL).is_empty());
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_by_401_and_by_403() {
    for refusal in [401, 403] {
        let f = fixture(10, Read::Auto).await;
        let renewed = json!({"access_token": "t2", "id_token": id_token(&f.stub.url(""), "t")});
        f.next(Reply::status(refusal)).next(numbered(&[1], None));
        assert_eq!(f.tokens_asked(), 0);
        let first = json!({"access_token": "t1", "id_token": id_token(&f.stub.url(""), "t")});
        f.stub.next(DIGITAL_TOKEN, Reply::json(&first)).next(DIGITAL_TOKEN, Reply::json(&renewed));
        assert_eq!(texts(&f.fetch().await.unwrap()), ["1"], "{refusal}");
        let tokens: Vec<_> = f.asked(MESSAGES).iter().map(|it| it.header("authorization").to_owned()).collect();
        assert_eq!(tokens, ["Bearer t1", "Bearer t2"]);
    }
}

#[tokio::test]
async fn a_permission_that_is_missing_does_not_cost_a_token_for_every_fetch() {
    let f = fixture(10, Read::Messages).await;
    f.stub.always(MESSAGES, Reply::status(403));
    for _ in 0..5 {
        assert_eq!(f.fetch().await, Err(status(403)));
    }
    assert_eq!(f.tokens_asked(), 2, "one, and one to see whether that was the reason");
    forward(61).await;
    assert_eq!(f.fetch().await, Err(status(403)));
    assert_eq!(f.tokens_asked(), 3);
}

#[tokio::test]
async fn what_may_heal_is_asked_again() {
    for (reply, cause) in [
        (Reply::status(429).header("retry-after-ms", "5"), RetryCause::RateLimited),
        (Reply::status(503), RetryCause::ServerError),
        (Reply::status(500), RetryCause::ServerError),
        (Reply::html(), RetryCause::InvalidAnswer),
        (Reply::close(), RetryCause::Connect),
    ] {
        let f = fixture(10, Read::Auto).await;
        f.next(reply).next(numbered(&[1], None));
        assert_eq!(texts(&f.fetch().await.unwrap()), ["1"], "{cause:?}");
        assert_eq!(f.retries(Upstream::Cxone, cause), 1, "{cause:?}");
    }
}

#[tokio::test]
async fn a_wish_to_be_left_alone_holds_for_later_fetches_too() {
    for code in [429, 503] {
        let f = fixture(10, Read::Auto).await;
        f.next(Reply::status(code).header("retry-after", "40")).next(numbered(&[1], None));
        assert!(
            matches!(f.fetch().await, Err(HistoryError::Upstream(UpstreamError::Status { status, .. })) if status == code)
        );
        assert!(
            matches!(f.fetch().await, Err(HistoryError::Upstream(UpstreamError::Status { status, .. })) if status == code)
        );
        assert_eq!(f.asked(MESSAGES).len(), 1, "the second one did not ask");
        forward(41).await;
        assert_eq!(texts(&f.fetch().await.unwrap()), ["1"]);
    }
}

#[tokio::test]
async fn an_outage_is_given_up_after_three_tries_and_does_not_lead_to_the_detail() {
    let f = fixture(10, Read::Auto).await;
    f.stub.always(MESSAGES, Reply::status(502));
    assert_eq!(f.fetch().await, Err(status(502)));
    assert_eq!(f.asked(MESSAGES).len(), 3);
    assert!(f.asked(DETAIL).is_empty());
}

#[tokio::test]
async fn silence_is_a_time_out_or_leaves_what_there_is() {
    let (f, short) = (fixture(10, Read::Auto).await, Duration::from_secs(3));
    let trigger = trigger_of_case(None, Some(CASE));
    f.next(Reply::hang());
    assert_eq!(f.fetch_within(&trigger, short).await, Err(TIMEOUT));
    f.next(numbered(&[3, 2], Some("a"))).next(Reply::hang());
    let conversation = f.fetch_within(&trigger, short).await.unwrap();
    assert_eq!(texts(&conversation), ["2", "3"]);
    assert!(conversation.partial);
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_an_error() {
    for body in ["", "{}", "7", r#"{"data":7}"#, r#"{"data":[7]}"#, r#"{"data":["#, "<html>"] {
        let f = fixture(10, Read::Messages).await;
        f.stub.always(MESSAGES, Reply::status(200).body(body));
        let error = f.fetch().await.unwrap_err();
        assert!(matches!(error, HistoryError::Upstream(UpstreamError::Malformed(_))), "{error} for {body}");
    }
}

#[tokio::test]
async fn the_placeholder_of_test_chats_is_no_contact_and_asks_nobody() {
    let f = fixture(10, Read::Auto).await;
    for trigger in [trigger_of_case(Some("100000000000"), Some(CASE)), trigger_of_case(None, Some("100000000000"))] {
        assert_eq!(f.0.fetch(&trigger).await, Ok(Conversation::default()));
    }
    assert!(f.stub.requests().is_empty());
}

#[tokio::test]
async fn a_trigger_without_a_case_is_incomplete_and_none_is_guessed() {
    let f = fixture(10, Read::Auto).await;
    let error = f.0.fetch(&trigger_of_case(Some("480123456789"), None)).await.unwrap_err();
    assert_eq!(error, HistoryError::Incomplete("contact.caseId"));
    assert!(f.0.fetch(&trigger_of_case(None, Some(".."))).await.is_err());
    assert!(f.stub.requests().is_empty());
}

#[tokio::test]
async fn a_case_id_stays_one_segment_of_the_path() {
    let f = fixture(10, Read::Messages).await;
    f.stub.always("/dfo/3.0/contacts/a%2F..%2Fb%3Fc%23d/messages", numbered(&[1], None));
    let conversation = f.0.fetch_within(&trigger_of_case(None, Some("a/../b?c#d")), AMPLE).await.unwrap();
    assert_eq!(texts(&conversation), ["1"]);
}
