//! Outcomes on their way back into Cognigy sessions: what is posted, and what becomes of every answer.

mod thinking;

use std::time::Duration;

use cognigy_fallback_router::{
    callback::{self, Callback, CallbackError, Config, Mode, ReplyTo, StoredOutcome, cognigy},
    config::{self, Role, Sources},
    egress::EgressConfig,
    metrics::Metrics,
    outcome::Status,
    secret::Secret,
    signature::Signer,
    time::EpochMs,
    trigger::TriggerId,
};
use serde_json::{Value, json};

use crate::{
    held::{poll, wait, webhook},
    operator::Place,
    support::{
        app::{CALLBACK_SECRET, COMPLETIONS, TestApp, World, client, completion, decision, signed, trigger},
        stub::{Recorded, Reply, Stub},
    },
};

const TOKEN: &str = "4e5e0c17";
const INJECT: &str = "/inject/4e5e0c17";
const NOTIFY: &str = "/notify/4e5e0c17";
const NOW: EpochMs = EpochMs(1_767_225_605_999);

/// A trigger of a web chat.
fn web_chat() -> Value {
    let mut body = trigger();
    body["sessionId"] = json!("session-1");
    body["urlToken"] = json!(TOKEN);
    body["endpointType"] = json!("webchat3");
    body["candidates"] = json!([{"name": "Password_Reset", "score": 0.3}]);
    body
}

/// Settings of a mode, in the world's endpoint service.
fn settings<'a>(mode: &'a str, base: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![("CFR__PROFILES__DEFAULT__CALLBACK__MODE", mode), ("COGNIGY_CALLBACK_URL", base)]
}

async fn app(mode: &str, more: &[(&'static str, &str)]) -> TestApp {
    let world = World::start().await;
    world.sink.always(INJECT, Reply::status(200)).always(NOTIFY, Reply::status(200));
    let base = world.sink.url("");
    let settings = [settings(mode, &base), more.to_vec()].concat();
    TestApp::start_in(world, &settings).await
}

/// The outcome in a posted body, whose signature must be right.
fn proved(posted: &Recorded) -> Value {
    let body = posted.json();
    let proof = &body["data"]["fallbackRouter"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let payload = text(&proof["payload"]);
    let signed = format!(
        "{}\n{}\n{}\n{}\n{}\n{payload}",
        proof["ts"],
        text(&proof["triggerId"]),
        text(&body["userId"]),
        text(&body["sessionId"]),
        text(&body["text"]),
    );
    let signer = Signer::new(&[Secret::new(CALLBACK_SECRET)]).unwrap();
    assert_eq!(text(&proof["sig"]), signer.hex_body(signed.as_bytes()));
    assert_eq!(proof["v"], 1);
    serde_json::from_str(&payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_injected_into_the_session_with_a_proof_of_where_it_comes_from() {
    let app =
        app("cognigy-inject", &[("CFR__PROFILES__DEFAULT__CALLBACK__HEADERS__X-COGNIGY-ENDPOINT-KEY", "ek-1")]).await;
    let id = app.accepted(&web_chat()).await;
    let posted = app.world.sink.received(1).await.remove(0);
    assert_eq!((posted.method.as_str(), posted.uri.path()), ("POST", INJECT));
    assert_eq!(posted.header("content-type"), "application/json");
    assert_eq!(posted.header("x-cognigy-endpoint-key"), "ek-1");
    let body = posted.json();
    assert_eq!(body["userId"], trigger()["userId"]);
    assert_eq!((&body["sessionId"], &body["text"]), (&json!("session-1"), &json!("")));
    let outcome = proved(&posted);
    assert_eq!((&outcome["triggerId"], &outcome["routing_decision"]), (&json!(id.to_string()), &decision()));
    assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
    assert!(!outcome.to_string().contains(TOKEN), "the outcome does not tell the token");
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_is_sent_to_a_candidate_only_where_no_human_is_needed() {
    let app = app("cognigy-inject", &[("CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__REROUTE", "true")]).await;
    let mut human = decision();
    human["requires_human_agent"] = json!(true);
    let mut stranger = decision();
    stranger["classified_intent"] = json!("delete_everything");
    for (count, (answer, text)) in [
        (decision(), "cIntent:Password_Reset|I need help resetting my password but the link expired"),
        (human, ""),
        (stranger, ""),
    ]
    .into_iter()
    .enumerate()
    {
        app.world.llm.always(COMPLETIONS, completion(&answer.to_string()));
        app.accepted(&web_chat()).await;
        let posted = app.world.sink.received(count + 1).await.remove(count);
        assert_eq!(posted.json()["text"], text);
        proved(&posted);
    }
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notified_customer_reads_the_response_or_the_safe_answer_in_their_language() {
    let app = app("cognigy-notify", &[]).await;
    app.accepted(&web_chat()).await;
    let posted = app.world.sink.received(1).await.remove(0);
    assert_eq!((posted.uri.path(), &posted.json()["text"]), (NOTIFY, &decision()["suggested_response"]));
    proved(&posted);
    app.world.llm.always(COMPLETIONS, completion("no decision"));
    let mut german = web_chat();
    german["language"] = json!("de-AT");
    app.accepted(&german).await;
    let posted = app.world.sink.received(2).await.remove(1);
    assert!(posted.json()["text"].as_str().unwrap().starts_with("Ich habe Schwierigkeiten"), "{}", posted.json());
    assert_eq!(proved(&posted)["fallback_action"], "route_to_human");
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_installation_is_reached_through_its_management_api() {
    let world = World::start().await;
    let path = "/new/v2.0/endpoint/inject";
    world.sink.always(path, Reply::json(&json!("Message was sent to AI for Flow processing")));
    let base = world.sink.url("");
    let key = ("CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__MANAGEMENT__API_KEY", "mk-1");
    let app = TestApp::start_in(world, &[settings("cognigy-management", &base), vec![key]].concat()).await;
    app.accepted(&web_chat()).await;
    let posted = app.world.sink.received(1).await.remove(0);
    assert_eq!((posted.uri.path(), posted.header("x-api-key")), (path, "mk-1"));
    assert_eq!(posted.json()["URLToken"], TOKEN);
    proved(&posted);
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_could_not_be_answered_is_refused_with_a_sentence() {
    let app = app("cognigy-inject", &[]).await;
    for (field, value, pointer) in [
        ("endpointType", json!("niceCXOne"), "/endpointType"),
        ("sessionId", Value::Null, "/sessionId"),
        ("urlToken", Value::Null, "/urlToken"),
        ("callbackUrl", json!("https://elsewhere.example.com/"), "/callbackUrl"),
    ] {
        let mut body = web_chat();
        body[field] = value;
        let response = signed(&client(), &webhook(&app.running), &body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{field}");
        let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(!problem.to_string().contains("niceCXOne") && !problem.to_string().contains(TOKEN), "{problem}");
    }
    assert!(app.stop().await);
}

struct Fixture {
    stub: Stub,
    callback: std::sync::Arc<dyn Callback>,
}

fn config(url: String) -> Config {
    Config {
        mode: Mode::CognigyInject,
        url: Some(url),
        secrets: vec![Secret::new(CALLBACK_SECRET)],
        max_age: Duration::from_secs(600),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_millis(500),
        ca_file: None,
        headers: Default::default(),
        cognigy: cognigy::Config::default(),
        egress: EgressConfig {
            allow_private_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ..EgressConfig::default()
        },
    }
}

async fn fixture() -> Fixture {
    let stub = Stub::start().await;
    let metrics = std::sync::Arc::new(Metrics::new("test").unwrap());
    let callback = callback::connect(&config(stub.url("")), &metrics).unwrap().unwrap();
    Fixture { stub, callback }
}

fn stored() -> StoredOutcome {
    StoredOutcome {
        trigger_id: TriggerId(uuid::Uuid::from_u128(7)),
        url: None,
        user_id: "u".to_owned(),
        session_id: Some("s".to_owned()),
        reply_to: ReplyTo { url_token: Some(TOKEN.to_owned()), text: Some(String::new()) },
        status: Status::Success,
        body: "{\"status\":\"success\"}".into(),
        attempt: 1,
    }
}

#[tokio::test]
async fn only_what_cannot_show_the_answer_twice_is_worth_another_try() {
    let f = fixture().await;
    let unavailable = || CallbackError::Unavailable { retry_after: None };
    for (reply, expected) in [
        (Reply::status(200), Ok(())),
        (Reply::status(204), Ok(())),
        (Reply::status(200).body("{\"some\":\"answer\"}").half(), Ok(())),
        (Reply::status(429), Err(CallbackError::RateLimited { retry_after: None })),
        (Reply::status(502), Err(unavailable())),
        (Reply::status(503), Err(unavailable())),
        (Reply::status(504), Err(unavailable())),
        (Reply::status(500), Err(CallbackError::Unknown)),
        (Reply::close(), Err(CallbackError::Unknown)),
        (Reply::hang(), Err(CallbackError::Unknown)),
        (Reply::status(302).header("location", "/elsewhere"), Err(CallbackError::Rejected("redirected"))),
        (Reply::status(400), Err(CallbackError::Rejected("refused"))),
        (Reply::status(404), Err(CallbackError::Rejected("no such endpoint"))),
    ] {
        f.stub.next(INJECT, reply);
        assert_eq!(f.callback.send(&stored(), NOW).await, expected);
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics = std::sync::Arc::new(Metrics::new("test").unwrap());
    let callback = callback::connect(&config(format!("http://{nobody}")), &metrics).unwrap().unwrap();
    assert_eq!(callback.send(&stored(), NOW).await, Err(unavailable()), "nothing was sent");
}

#[tokio::test]
async fn without_its_token_or_session_an_outcome_is_for_an_operator_and_a_token_cannot_leave_its_place() {
    let f = fixture().await;
    let bare = StoredOutcome { reply_to: ReplyTo::default(), ..stored() };
    assert_eq!(f.callback.send(&bare, NOW).await, Err(CallbackError::Rejected("no urlToken")));
    let homeless = StoredOutcome { session_id: None, ..stored() };
    assert_eq!(f.callback.send(&homeless, NOW).await, Err(CallbackError::Rejected("no sessionId")));
    assert!(f.stub.requests().is_empty());
    f.stub.always("/inject/a%2F..%2F..%2Fadmin", Reply::status(200));
    let reply_to = ReplyTo { url_token: Some("a/../../admin".to_owned()), text: None };
    assert_eq!(f.callback.send(&StoredOutcome { reply_to, ..stored() }, NOW).await, Ok(()));
}

#[test]
fn neither_token_nor_text_is_printed() {
    let printed = format!("{:?} {:?}", stored(), stored().reply_to);
    assert!(!printed.contains(TOKEN) && !printed.contains("success"), "{printed}");
}

/// A lost answer is for an operator, who sees neither the token nor a word of the customer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_a_dead_letter_that_is_not_sent_again_by_itself() {
    let mut place = Place::embedded().await;
    let base = place.world.sink.url("");
    place.environment.insert("COGNIGY_CALLBACK_URL".into(), base);
    place.environment.insert("CFR__PROFILES__DEFAULT__CALLBACK__MODE".into(), "cognigy-inject".into());
    place.world.sink.always(INJECT, Reply::close());
    let (running, shutdown) = place.serve().await;
    let answer = wait(&running, &web_chat(), 20).await;
    assert_eq!(answer.status, 200, "whoever waits is answered all the same");
    while running.queue.depths().await.unwrap().dead == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = answer.id().to_string();
    let shown = place.cfr(&["dead-letters", "show", &id]).await.well();
    assert!(shown.contains("callback_unknown"), "{shown}");
    for private in [TOKEN, "session-1", "user-external-9876", "resetting my password"] {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
    assert_eq!(place.world.sink.requests_to(INJECT).len(), 1);
    // The operator has asked the receiver, and sends it again: the same bytes, with a new proof.
    place.world.sink.always(INJECT, Reply::status(200));
    place.cfr(&["dead-letters", "replay", &id]).await.well();
    let posted = loop {
        let posted = place.world.sink.requests_to(INJECT);
        if posted.len() == 2 {
            break posted;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(proved(&posted[0]), proved(&posted[1]));
    assert_eq!(poll(&running, answer.id(), None).await.body["status"], "done");
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

/// Nothing is posted into a session that is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_life_of_the_session_an_outcome_is_for_an_operator() {
    let app = app("cognigy-inject", &[("CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__SESSION_LIFE", "4s")]).await;
    app.world.sink.always(INJECT, Reply::status(503));
    app.accepted(&web_chat()).await;
    while app.queue().depths().await.unwrap().dead == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let dead = app.queue().dead_letters(1).await.unwrap().remove(0);
    assert_eq!(dead.reason.as_str(), "callback_expired");
    assert!(app.stop().await);
}

#[test]
fn settings_that_would_answer_nobody_stop_the_start() {
    let base = [
        ("CFR__PROFILES__DEFAULT__WEBHOOK__SECRETS", "[\"a-secret-of-more-than-32-random-bytes\"]"),
        ("LLM_GATEWAY_BASE_URL", "https://llm.example.com"),
        ("LLM_GATEWAY_API_KEY", "k"),
        ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", "inline"),
    ];
    let problems = |more: &[(&str, &str)]| {
        let environment =
            base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let unusable = config::load(&Sources { file: None, environment }, Role::Serve).unwrap_err();
        unusable.to_string()
    };
    const MODE: &str = "CFR__PROFILES__DEFAULT__CALLBACK__MODE";
    let url = ("COGNIGY_CALLBACK_URL", "https://endpoint-trial.cognigy.ai");
    for (settings, expected) in [
        (&[(MODE, "cognigy-inject")][..], "callback.url: is not set"),
        (
            &[
                (MODE, "cognigy-inject"),
                ("COGNIGY_CALLBACK_URL", "https://endpoint-trial.cognigy.ai/4e5e0c174e5e0c174e5e0c174e5e0c17"),
            ],
            "callback.url: ends with the token",
        ),
        (&[(MODE, "cognigy-management"), url], "management.api_key: is not set"),
        (&[(MODE, "none"), ("CFR__PROFILES__DEFAULT__POLL", "false")], "poll: is false"),
        (
            &[
                (MODE, "cognigy-inject"),
                url,
                ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_HOSTS", "[\"a.example.com\"]"),
            ],
            "allow_hosts: is set",
        ),
        (
            &[
                (MODE, "cognigy-inject"),
                url,
                ("CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__THINKING__AFTER", "4s"),
                ("CFR__PROFILES__DEFAULT__CALLBACK__COGNIGY__THINKING__SENTENCES__DE", "Moment."),
            ],
            "thinking.sentences",
        ),
    ] {
        let said = problems(settings);
        assert!(said.contains(expected), "{said}");
    }
}
