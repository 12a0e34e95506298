//! Requests that wait for an outcome (`Prefer: wait=N`) or ask for one (`GET /v1/triggers`).

mod replicas;

use std::time::{Duration, SystemTime};

use cognigy_fallback_router::{
    app::Running,
    queue::notice::{Notice, Topic},
    secret::Secret,
    signature::{Scheme, request_headers},
    trigger::TriggerId,
};
use serde_json::{Value, json};

use crate::{
    operator::Place,
    support::{
        app::{CALLBACK, COMPLETIONS, TestApp, WEBHOOK_SECRET, World, client, completion, decision, signed, trigger},
        stub::Reply,
    },
};

/// An answer of the webhook listener.
pub(crate) struct Answer {
    pub(crate) status: u16,
    applied: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let applied = header("preference-applied");
        assert!(status != 200 || header("cache-control").as_deref() == Some("no-store"), "no cache may keep it");
        let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        Self { status, applied, body }
    }

    /// The outcome of a poll that found one.
    fn outcome(&self) -> &Value {
        assert_eq!((self.status, &self.body["status"]), (200, &json!("done")), "{}", self.body);
        &self.body["outcome"]
    }

    pub(crate) fn id(&self) -> TriggerId {
        self.body["triggerId"].as_str().unwrap().parse().unwrap()
    }
}

pub(crate) fn webhook(running: &Running) -> String {
    running.webhook.unwrap().to_string()
}

/// Posts a trigger and waits so many seconds for its outcome.
pub(crate) async fn wait(running: &Running, body: &Value, seconds: u32) -> Answer {
    Answer::of(signed(&client(), &webhook(running), body).header("prefer", format!("wait={seconds}"))).await
}

fn poll_of(running: &Running, path: &str, secret: &str) -> reqwest::RequestBuilder {
    let request = client().get(format!("http://{}{path}", webhook(running)));
    proved(request, Scheme::HexBody, secret, path.as_bytes())
}

/// The request with the headers that show whose it is.
fn proved(request: reqwest::RequestBuilder, scheme: Scheme, secret: &str, content: &[u8]) -> reqwest::RequestBuilder {
    let headers = request_headers(scheme, &Secret::new(secret), "an-id", SystemTime::now().into(), content).unwrap();
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Asks for a trigger, at once or waiting so many seconds.
pub(crate) async fn poll(running: &Running, id: TriggerId, seconds: Option<u32>) -> Answer {
    let mut request = poll_of(running, &format!("/v1/triggers/default/{id}"), WEBHOOK_SECRET);
    if let Some(seconds) = seconds {
        request = request.header("prefer", format!("wait={seconds}"));
    }
    Answer::of(request).await
}

/// A model that answers after this time.
pub(crate) fn slow_model(world: &World, delay: Duration) {
    world.llm.always(COMPLETIONS, completion(&decision().to_string()).after(delay));
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_synchronous_request_of_the_original_gets_every_field_of_its_two_answers() {
    let app = TestApp::start().await;
    let decided = wait(&app.running, &trigger(), 20).await;
    assert_eq!((decided.status, decided.applied.as_deref()), (200, Some("wait=20")), "{}", decided.body);
    // {"status", "conversationId", "routing_decision": {five fields}}, as the original returned them.
    assert_eq!(decided.body["status"], "success");
    assert_eq!(decided.body["conversationId"], trigger()["conversationId"]);
    assert_eq!(decided.body["routing_decision"], decision());
    assert_eq!(names(&decided.body["routing_decision"]).len(), 5);
    // It is posted all the same, with the same bytes.
    assert_eq!(app.world.callback_of(decided.id()).await.json(), decided.body);
    assert_eq!(poll(&app.running, decided.id(), None).await.outcome(), &decided.body);

    // {"status", "error", "fallback_action", "suggested_response"} where the model's answer was no decision.
    app.world.llm.always(COMPLETIONS, completion("I would say that this is about a password."));
    let failed = wait(&app.running, &trigger(), 20).await;
    assert_eq!((failed.status, &failed.body["status"]), (200, &json!("schema_validation_failed")), "{}", failed.body);
    assert!(failed.body["error"].is_string());
    assert_eq!(failed.body["fallback_action"], "route_to_human");
    assert_eq!(
        failed.body["suggested_response"],
        "I am having trouble understanding your request. Connecting you to a specialist."
    );
    let (_, metrics) = app.admin("/metrics").await;
    assert!(
        metrics.contains("cfr_held_requests 0") && metrics.contains("cfr_polls_total{status=\"done\"} 1"),
        "{metrics}"
    );
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_takes_longer_can_be_asked_for_until_it_is_done() {
    let world = World::start().await;
    slow_model(&world, Duration::from_secs(3));
    let app = TestApp::start_in(world, &[]).await;
    let early = wait(&app.running, &trigger(), 1).await;
    assert_eq!((early.status, early.applied.as_deref()), (202, Some("wait=1")), "{}", early.body);
    assert_eq!(early.body["status"], "accepted");
    let running = poll(&app.running, early.id(), None).await;
    assert_eq!((running.status, running.applied), (200, None));
    assert_eq!(running.body, json!({"triggerId": early.id().to_string(), "status": "running"}));
    let done = poll(&app.running, early.id(), Some(19)).await;
    assert_eq!((done.applied.as_deref(), &done.outcome()["status"]), (Some("wait=19"), &json!("success")));
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_callback_the_outcome_is_only_kept_and_a_restart_knows_nothing_of_it() {
    let app = TestApp::start_with(&[("CFR__PROFILES__DEFAULT__CALLBACK__MODE", "none")]).await;
    let id = app.accepted(&trigger()).await;
    assert_eq!(poll(&app.running, id, Some(20)).await.outcome()["triggerId"], id.to_string());
    assert!(app.world.sink.requests_to(CALLBACK).is_empty());
    assert!(app.queue().depths().await.unwrap().dead == 0);
    let stranger = TriggerId(uuid::Uuid::now_v7());
    let unknown = poll(&app.running, stranger, None).await;
    assert_eq!((unknown.status, &unknown.body["status"]), (200, &json!("unknown")));
    assert!(app.stop().await);
    let again = TestApp::start().await;
    assert_eq!(poll(&again.running, id, None).await.body["status"], "unknown");
}

/// The embedded queue knows after a restart which triggers it was given, but nobody knows how far they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_a_restart_is_not_queued_again_and_not_said_to_be_in_the_queue() {
    let place = Place::embedded().await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let (running, shutdown) = place.serve().await;
        let request = signed(&client(), &webhook(&running), &trigger()).header("idempotency-key", "one");
        let accepted = Answer::of(request).await;
        assert_eq!(accepted.status, 202);
        place.world.callback_of(accepted.id()).await;
        answers.push((accepted.id(), poll(&running, accepted.id(), None).await.body["status"].clone()));
        shutdown.drain.cancel();
        assert!(running.ended().await.unwrap());
    }
    assert_eq!(answers[0].0, answers[1].0);
    assert_eq!(answers[1].1, "unknown");
    assert_eq!(place.world.llm.requests_to(COMPLETIONS).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_does_not_want_it_holds_and_tells_nothing() {
    let app = TestApp::start_with(&[("CFR__PROFILES__DEFAULT__POLL", "false")]).await;
    let notices = app.queue().notices();
    let mut outcomes = notices.subscribe(&[Topic::Outcome]);
    let answer = wait(&app.running, &trigger(), 20).await;
    assert_eq!((answer.status, answer.applied), (202, None), "{}", answer.body);
    app.world.callback_of(answer.body["triggerId"].as_str().unwrap().parse().unwrap()).await;
    let id = answer.body["triggerId"].as_str().unwrap().parse().unwrap();
    assert_eq!(poll(&app.running, id, None).await.body["status"], "unknown");
    notices.publish(Notice { topic: Topic::Outcome, body: "ours".into() });
    assert_eq!(outcomes.next().await.unwrap().body, "ours", "nothing was told before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_holder_of_the_secret_learns_anything_and_the_path_and_query_are_what_it_signs() {
    let app = TestApp::start().await;
    let id = app.accepted(&trigger()).await;
    app.world.callback_of(id).await;
    let path = format!("/v1/triggers/default/{id}");
    let good = Answer::of(poll_of(&app.running, &format!("{path}?a=%20b"), WEBHOOK_SECRET)).await;
    assert_eq!(good.outcome()["status"], "success");
    let forged = Answer::of(poll_of(&app.running, &path, "another-secret-of-more-than-32-bytes!!!")).await;
    assert_eq!((forged.status, &forged.body["title"]), (403, &json!("Invalid webhook signature")));
    let unsigned = Answer::of(client().get(format!("http://{}{path}", webhook(&app.running)))).await;
    assert_eq!(unsigned.status, 403);
    // A signature over another path, or over the same without its query, proves nothing.
    let headers = poll_of(&app.running, &path, WEBHOOK_SECRET).build().unwrap().headers().clone();
    let other = client().get(format!("http://{}{path}?a=b", webhook(&app.running))).headers(headers);
    assert_eq!(Answer::of(other).await.status, 403);
    for missing in ["/v1/triggers/default/not-an-id".to_owned(), format!("/v1/triggers/stranger/{id}")] {
        assert_eq!(Answer::of(poll_of(&app.running, &missing, WEBHOOK_SECRET)).await.status, 404, "{missing}");
    }
    let posted = client().post(format!("http://{}{path}", webhook(&app.running))).send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().unwrap()), (405, "GET"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_proves_itself_by_the_scheme_of_its_profile_and_by_no_other() {
    let secret = format!("whsec_{}", "c2VjcmV0".repeat(6));
    for (scheme, name) in
        [(Scheme::HexTsBody, "hex-ts-body"), (Scheme::Standard, "standard"), (Scheme::ApiKey, "api-key")]
    {
        let scheme_of_profile = ("CFR__PROFILES__DEFAULT__WEBHOOK__SCHEME", name);
        let app = TestApp::start_with(&[scheme_of_profile, ("COGNIGY_WEBHOOK_SECRET", &secret)]).await;
        let base = format!("http://{}", webhook(&app.running));
        let body = trigger().to_string();
        let post = client().post(format!("{base}/webhook/cognigy/fallback")).header("content-type", "application/json");
        let accepted = Answer::of(proved(post, scheme, &secret, body.as_bytes()).body(body)).await;
        assert_eq!(accepted.status, 202, "{name}: {}", accepted.body);
        let path = format!("/v1/triggers/default/{}?a=b", accepted.id());
        let get = || client().get(format!("{base}{path}")).header("prefer", "wait=20");
        let told = Answer::of(proved(get(), scheme, &secret, path.as_bytes())).await;
        assert_eq!(told.outcome()["triggerId"], accepted.id().to_string(), "{name}");
        let weaker = Answer::of(proved(get(), Scheme::HexBody, &secret, path.as_bytes())).await;
        assert_eq!(weaker.status, 403, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_nothing_behind_and_its_trigger_is_answered() {
    let world = World::start().await;
    slow_model(&world, Duration::from_secs(2));
    let app = TestApp::start_in(world, &[("CFR__INGRESS__ANSWERS__HELD", "1")]).await;
    let held = async |count: &str| {
        while !app.admin("/metrics").await.1.contains(&format!("cfr_held_requests {count}")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let gone = tokio::spawn({
        let request = signed(&client(), &webhook(&app.running), &trigger()).header("prefer", "wait=20");
        async move { request.send().await }
    });
    held("1").await;
    // No place is left: who comes now is answered at once, and told that nobody waited for it.
    let (began, full) = (std::time::Instant::now(), wait(&app.running, &trigger(), 20).await);
    assert_eq!((full.status, full.applied), (202, None), "{:?}", began.elapsed());
    gone.abort();
    held("0").await;
    assert_eq!(app.world.sink.received(2).await.len(), 2, "both triggers are answered");
    assert_eq!(wait(&app.running, &trigger(), 20).await.status, 200, "the place is free again");
    assert!(app.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_waits_for_the_outcome_of_the_first_and_a_drain_keeps_nobody() {
    let world = World::start().await;
    slow_model(&world, Duration::from_secs(1));
    let app = TestApp::start_in(world, &[]).await;
    let repeat = || {
        let request = signed(&client(), &webhook(&app.running), &trigger());
        Answer::of(request.header("prefer", "wait=20").header("idempotency-key", "one"))
    };
    let (first, second) = tokio::join!(repeat(), repeat());
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.body, second.body);
    assert_eq!(repeat().await.body, first.body);
    assert_eq!(app.world.llm.requests_to(COMPLETIONS).len(), 1);

    app.world.llm.always(COMPLETIONS, Reply::hang());
    let waiting = tokio::spawn({
        let request = signed(&client(), &webhook(&app.running), &trigger()).header("prefer", "wait=20");
        Answer::of(request)
    });
    app.world.llm.received(2).await;
    app.shutdown.drain.cancel();
    assert_eq!(waiting.await.unwrap().status, 202);
    app.shutdown.abort.cancel();
}
