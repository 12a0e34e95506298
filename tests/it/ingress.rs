//! Every row of the contract's table of answers, over real sockets. The queue behind is scripted: what it says is what
//! these rows depend on; `journey.rs` has the real ones.

mod limits;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cognigy_fallback_router::{
    callback::Demands,
    egress::{Egress, EgressConfig},
    http_client::{self, ClientConfig, Roots},
    http_server::{self, Limits},
    ingress::{self, Config, Ingress, Profile},
    message::{Lane, Message, NewerTrigger},
    metrics::{Metrics, labels::Webhook},
    queue::{
        Publisher, QueueError,
        notice::{Notice, NoticeReader, Notices, Topic},
    },
    secret::Secret,
    shutdown::Shutdown,
    signature::{Scheme, Verifier, request_headers},
    time::EpochMs,
    trigger::TriggerId,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

const SECRET: &str = "a-webhook-secret-of-more-than-32-bytes!";

/// A publisher that says what it is told to, and keeps what it was given.
struct Scripted {
    admits: Mutex<Result<(), QueueError>>,
    confirms: Mutex<Result<(), QueueError>>,
    panics: AtomicUsize,
    /// Permits to finish a publish; closed never.
    gate: Semaphore,
    published: Mutex<Vec<(Lane, Message)>>,
}

#[async_trait]
impl Publisher for Scripted {
    async fn publish(&self, lane: Lane, message: &Message) -> Result<(), QueueError> {
        assert_eq!(self.panics.load(Ordering::Relaxed), 0, "MARKER-PANIC");
        self.published.lock().unwrap().push((lane, message.clone()));
        self.gate.acquire().await.unwrap().forget();
        self.confirms.lock().unwrap().clone()
    }

    fn admit(&self) -> Result<(), QueueError> {
        self.admits.lock().unwrap().clone()
    }
}

/// Keeps the notices that it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Notice>>);

impl Notices for Told {
    fn publish(&self, notice: Notice) {
        self.0.lock().unwrap().push(notice);
    }

    fn subscribe(&self, _: &[Topic]) -> NoticeReader {
        unreachable!("no profile of these tests lets its outcomes be asked for")
    }

    fn is_heard(&self, _: Topic) -> Option<bool> {
        None
    }
}

struct App {
    address: SocketAddr,
    client: reqwest::Client,
    queue: Arc<Scripted>,
    told: Arc<Told>,
    metrics: Arc<Metrics>,
}

fn profile(scheme: Scheme) -> Profile {
    let allow_hosts = vec!["hooks.example.com".to_owned()];
    Profile {
        verifier: Verifier::new(scheme, &[Secret::new(SECRET)]).unwrap(),
        threshold: 0.75,
        deadline: Duration::from_secs(30),
        egress: Egress::new(&EgressConfig { allow_hosts, ..EgressConfig::default() }, None).unwrap(),
        rate: None,
        supersede: false,
        poll: false,
        demands: Demands::default(),
    }
}

async fn app() -> App {
    app_knowing(Vec::new()).await
}

async fn app_knowing(accepted: Vec<(TriggerId, EpochMs)>) -> App {
    let profiles = [("default", profile(Scheme::HexBody)), ("sales", profile(Scheme::HexTsBody))];
    app_with(profiles, accepted).await
}

async fn app_with(
    profiles: impl IntoIterator<Item = (&'static str, Profile)>,
    accepted: Vec<(TriggerId, EpochMs)>,
) -> App {
    let limits = Limits {
        connections: 512,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(30),
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(10),
    };
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        max_body: 64 * 1024,
        body_timeout: Duration::from_millis(300),
        known_for: Duration::from_secs(600),
        known_most: 1000,
        answers: ingress::AnswerLimits { kept_for: Duration::from_secs(600), most: 100, bytes: 1 << 20, held: 100 },
        tls: None,
        limits,
    };
    let queue = Arc::new(Scripted {
        admits: Mutex::new(Ok(())),
        confirms: Mutex::new(Ok(())),
        panics: AtomicUsize::new(0),
        gate: Semaphore::new(1_000_000),
        published: Mutex::default(),
    });
    let metrics = Arc::new(Metrics::new("ingress").unwrap());
    let profiles = profiles.into_iter().map(|(name, profile)| (name.to_owned(), profile)).collect();
    let publisher: Arc<dyn Publisher> = Arc::clone(&queue) as _;
    let told = Arc::new(Told::default());
    let ingress = Ingress::new(&config, profiles, publisher, accepted, Arc::clone(&metrics));
    let ingress = ingress.with_notices(Arc::clone(&told) as _);
    let listener = TcpListener::bind(config.listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http_server::serve(listener, ingress::router(Arc::new(ingress)), limits, Shutdown::default()));
    let client = http_client::build(&ClientConfig {
        connect_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(60),
        https_only: false,
        roots: Roots::default(),
    })
    .unwrap();
    App { address, client, queue, told, metrics }
}

fn trigger() -> Value {
    json!({"conversationId": "c-1", "userId": "u-1", "lastMessage": "hello", "confidenceScore": 0.4})
}

fn signature(body: &[u8]) -> String {
    let headers = request_headers(Scheme::HexBody, &Secret::new(SECRET), "", std::time::SystemTime::now().into(), body);
    headers.unwrap().remove(0).1
}

impl App {
    fn request(&self, path: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
        self.client
            .post(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("x-webhook-signature", signature(&body))
            .body(body)
    }

    async fn post(&self, body: &Value) -> Answer {
        Answer::of(self.request("/webhook/cognigy/fallback", body.to_string().into_bytes())).await
    }

    fn published(&self) -> Vec<(Lane, Message)> {
        self.queue.published.lock().unwrap().clone()
    }
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text:?} is not JSON"));
        Self { status, headers, body }
    }

    /// Asserts problem details (RFC 9457) with this status.
    fn is_problem(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(self.body[field].is_string(), "{field} in {}", self.body);
        }
        self
    }
}

#[tokio::test]
async fn a_signed_trigger_is_stored_as_it_came_and_answered_with_its_id_and_location() {
    let app = app().await;
    let body = trigger();
    let answer = app.post(&body).await;
    assert_eq!(answer.status, 202);
    let id = answer.body["triggerId"].as_str().unwrap();
    assert_eq!(answer.body, json!({"triggerId": id, "status": "accepted"}));
    assert_eq!(answer.headers["location"], format!("/v1/triggers/default/{id}"));
    let [(lane, message)] = app.published().try_into().unwrap();
    assert_eq!(lane, Lane::Work);
    assert_eq!(message.body, body.to_string());
    let envelope = message.envelope;
    assert_eq!(envelope.trigger_id.to_string(), id);
    assert_eq!(
        (envelope.profile.as_str(), envelope.conversation_id.as_str(), envelope.user_id.as_str()),
        ("default", "c-1", "u-1")
    );
    assert_eq!(envelope.deadline.since(envelope.accepted_at), Duration::from_secs(30));
    assert_eq!((envelope.attempt, envelope.replay, envelope.callback), (1, 0, None));
}

#[tokio::test]
async fn nothing_is_answered_before_the_queue_has_confirmed() {
    let app = app().await;
    app.queue.gate.forget_permits(1_000_000);
    let body = trigger().to_string().into_bytes();
    let request = app.request("/webhook/cognigy/fallback", body).send();
    tokio::pin!(request);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut request).await;
    assert!(early.is_err(), "answered without a confirm");
    app.queue.gate.add_permits(1);
    assert_eq!(request.await.unwrap().status(), 202);
}

#[tokio::test]
async fn the_deadline_of_a_trigger_wins_over_the_profiles() {
    let app = app().await;
    let mut body = trigger();
    body["deadlineMs"] = json!(5000);
    assert_eq!(app.post(&body).await.status, 202);
    let envelope = app.published().remove(0).1.envelope;
    assert_eq!(envelope.deadline.since(envelope.accepted_at), Duration::from_secs(5));
}

#[tokio::test]
async fn a_bad_signature_is_403_and_never_says_why() {
    let app = app().await;
    let body = trigger().to_string().into_bytes();
    let good = signature(&body);
    let url = format!("http://{}/webhook/cognigy/fallback", app.address);
    let base = || app.client.post(&url).header("content-type", "application/json").body(body.clone());
    let mut details = Vec::new();
    for request in [
        base(),
        base().header("x-webhook-signature", "nonsense"),
        base().header("x-webhook-signature", signature(b"another body")),
        base().header("x-webhook-signature", &good).header("x-webhook-signature", &good),
        base().header("x-webhook-signature", format!("sha512={good}")),
    ] {
        let answer = Answer::of(request).await;
        details.push(answer.is_problem(403).body.clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "the same answer for every reason: {details:?}");
    assert_eq!(details[0]["detail"], "Invalid webhook signature");
    assert!(app.published().is_empty());
}

#[tokio::test]
async fn the_signature_is_checked_before_the_form() {
    let app = app().await;
    let request = app
        .client
        .post(format!("http://{}/webhook/cognigy/fallback", app.address))
        .header("content-type", "application/json")
        .header("x-webhook-signature", signature(b"{}"))
        .body("not json");
    Answer::of(request).await.is_problem(403);
}

#[tokio::test]
async fn broken_rules_are_400_all_at_once_with_their_pointers_and_without_what_was_sent() {
    let app = app().await;
    let body =
        json!({"conversationId": "", "userId": 7, "lastMessage": "MARKER", "confidenceScore": 2, "deadlineMs": 1});
    let answer = app.post(&body).await;
    let errors = answer.is_problem(400).body["errors"].as_array().unwrap().clone();
    let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/conversationId", "/userId", "/confidenceScore", "/deadlineMs"]);
    assert!(!answer.body.to_string().contains("MARKER"));
}

#[tokio::test]
async fn what_is_not_one_json_object_is_400() {
    let app = app().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let cases = [
        ("", "empty"),
        ("not json", "text"),
        ("[]", "an array"),
        ("\"text\"", "a string"),
        ("{\"conversationId\":\"a\",\"conversationId\":\"b\",\"userId\":\"u\",\"lastMessage\":\"m\"}", "a key twice"),
        ("\u{feff}{}", "a byte order mark"),
        ("{} {}", "trailing data"),
        ("{\"confidenceScore\":NaN}", "NaN"),
        (deep.as_str(), "too deep"),
    ];
    for (body, reason) in cases {
        let answer = Answer::of(app.request("/webhook/cognigy/fallback", body.as_bytes().to_vec())).await;
        assert_eq!(answer.status, 400, "{reason}");
        answer.is_problem(400);
    }
}

#[tokio::test]
async fn a_score_above_the_threshold_is_400_and_one_equal_to_it_or_null_passes() {
    let app = app().await;
    for (score, status) in [(json!(0.75), 202), (json!(0.7501), 400), (json!(null), 202), (json!("0.9"), 400)] {
        let mut body = trigger();
        body["confidenceScore"] = score.clone();
        let answer = app.post(&body).await;
        assert_eq!(answer.status, status, "{score}");
        if status == 400 {
            assert_eq!(answer.body["errors"][0]["pointer"], "/confidenceScore");
        }
    }
}

#[tokio::test]
async fn a_callback_is_taken_only_to_an_allowed_host() {
    let app = app().await;
    for (url, status) in [
        ("https://hooks.example.com/a", 202),
        ("https://evil.example.com/a", 400),
        ("http://hooks.example.com/a", 400),
        ("https://hooks.example.com@evil.example.com/", 400),
    ] {
        let mut body = trigger();
        body["callbackUrl"] = json!(url);
        let answer = app.post(&body).await;
        assert_eq!(answer.status, status, "{url}");
        if status == 400 {
            assert_eq!(answer.body["errors"][0]["pointer"], "/callbackUrl");
            assert!(!answer.body.to_string().contains("evil"), "{}", answer.body);
        }
    }
    assert_eq!(app.published().remove(0).1.envelope.callback.as_deref(), Some("https://hooks.example.com/a"));
}

#[tokio::test]
async fn other_paths_methods_types_and_encodings_have_their_own_answers() {
    let app = app().await;
    let url = |path: &str| format!("http://{}{path}", app.address);
    let path = "/webhook/cognigy/fallback";
    let body = trigger().to_string();
    let get = Answer::of(app.client.get(url(path))).await;
    assert_eq!(get.is_problem(405).headers["allow"], "POST");
    Answer::of(app.client.delete(url(&format!("{path}/sales")))).await.is_problem(405);
    Answer::of(app.client.get(url("/nowhere"))).await.is_problem(404);
    for profile in ["nobody", "%FF"] {
        Answer::of(app.request(&format!("{path}/{profile}"), body.clone().into_bytes())).await.is_problem(404);
    }
    Answer::of(app.client.post(url(path)).body(body.clone())).await.is_problem(415);
    Answer::of(app.client.post(url(path)).header("content-type", "text/plain").body(body.clone()))
        .await
        .is_problem(415);
    Answer::of(app.request(path, body.clone().into_bytes()).header("content-encoding", "gzip")).await.is_problem(415);
    let typed = app.client.post(url(path)).header("content-type", "application/json; charset=utf-8");
    let typed = typed.header("x-webhook-signature", signature(body.as_bytes())).body(body);
    assert_eq!(Answer::of(typed).await.status, 202);
}

#[tokio::test]
async fn every_profile_has_its_own_scheme_and_none_falls_back_to_a_weaker_one() {
    let app = app().await;
    let body = trigger().to_string().into_bytes();
    Answer::of(app.request("/webhook/cognigy/fallback/sales", body.clone())).await.is_problem(403);
    let now = std::time::SystemTime::now().into();
    let mut request = app.client.post(format!("http://{}/webhook/cognigy/fallback/sales", app.address));
    for (name, value) in request_headers(Scheme::HexTsBody, &Secret::new(SECRET), "", now, &body).unwrap() {
        request = request.header(name, value);
    }
    let answer = Answer::of(request.header("content-type", "application/json").body(body)).await;
    assert_eq!(answer.status, 202);
    assert!(answer.headers["location"].to_str().unwrap().starts_with("/v1/triggers/sales/"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_it_is_announced_or_not() {
    let app = app().await;
    let path = "/webhook/cognigy/fallback";
    Answer::of(app.request(path, vec![b' '; 64 * 1024 + 1])).await.is_problem(413);
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    // The server may answer and close while we still write: that is what we wait for.
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..5 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 512];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let app = app().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = "POST /webhook/cognigy/fallback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 512];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_queue_that_refuses_is_away_or_does_not_confirm_is_503_with_a_time_to_come_back() {
    let app = app().await;
    let refused = |seconds| QueueError::Refused { reason: "full", retry_after: Some(Duration::from_secs(seconds)) };
    let unreachable = || QueueError::Unreachable("MARKER".to_owned());
    let unknown = || QueueError::Unknown("MARKER".to_owned());
    for (admits, confirms, least, most) in [
        (Err(refused(4)), Ok(()), 4, 8),
        (Err(refused(300)), Ok(()), 30, 30),
        (Err(unreachable()), Ok(()), 1, 3),
        (Ok(()), Err(refused(0)), 1, 2),
        (Ok(()), Err(unreachable()), 1, 3),
        (Ok(()), Err(unknown()), 1, 3),
    ] {
        let admitted = admits.is_ok();
        *app.queue.admits.lock().unwrap() = admits;
        *app.queue.confirms.lock().unwrap() = confirms;
        let before = app.published().len();
        let answer = app.post(&trigger()).await;
        let wait: u64 = answer.is_problem(503).headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((least..=most).contains(&wait), "{wait} is not in {least}..={most}");
        assert!(!answer.body.to_string().contains("MARKER"));
        assert_eq!(app.published().len() > before, admitted, "a queue that does not admit is not asked");
    }
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_trigger_and_queues_it_once() {
    let app = app().await;
    let send = |key: &'static str, body: Value| {
        let request = app.request("/webhook/cognigy/fallback", body.to_string().into_bytes());
        Answer::of(request.header("idempotency-key", key))
    };
    let first = send("k-1", trigger()).await;
    let mut other = trigger();
    other["lastMessage"] = json!("something else");
    let again = send("k-1", other).await;
    let another = send("k-2", trigger()).await;
    assert_eq!((first.status, again.status, another.status), (202, 202, 202));
    assert_eq!(first.body["triggerId"], again.body["triggerId"]);
    assert_ne!(first.body["triggerId"], another.body["triggerId"]);
    assert_eq!(app.published().len(), 2);
    assert!(app.metrics.text().contains("cfr_webhook_requests_total{outcome=\"duplicate\"} 1"));
}

#[tokio::test]
async fn conversation_and_input_are_a_key_and_equal_bodies_are_not() {
    let app = app().await;
    for _ in 0..2 {
        app.post(&trigger()).await;
    }
    assert_eq!(app.published().len(), 2, "customers do write the same message twice");
    let mut body = trigger();
    body["inputId"] = json!("i-1");
    for _ in 0..2 {
        app.post(&body).await;
    }
    assert_eq!(app.published().len(), 3);
}

#[tokio::test]
async fn a_repeat_waits_for_the_request_that_is_under_way_and_shares_its_end() {
    let app = app().await;
    app.queue.gate.forget_permits(1_000_000);
    let mut body = trigger();
    body["inputId"] = json!("i-1");
    let send = || Answer::of(app.request("/webhook/cognigy/fallback", body.to_string().into_bytes()));
    let (first, second, ()) = tokio::join!(send(), send(), async {
        while app.metrics.webhook_in_flight.get() < 2 {
            tokio::task::yield_now().await;
        }
        app.queue.gate.add_permits(1);
    });
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.body, second.body);
    assert_eq!(app.published().len(), 1);
}

#[tokio::test]
async fn after_a_503_the_same_key_is_queued_under_the_same_id() {
    let app = app().await;
    let mut body = trigger();
    body["inputId"] = json!("i-1");
    *app.queue.confirms.lock().unwrap() = Err(QueueError::Unknown("no confirm".to_owned()));
    app.post(&body).await.is_problem(503);
    *app.queue.confirms.lock().unwrap() = Ok(());
    assert_eq!(app.post(&body).await.status, 202);
    let ids: Vec<_> = app.published().iter().map(|(_, message)| message.envelope.trigger_id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

/// Else it would end what its customer wrote in between.
#[tokio::test]
async fn a_trigger_that_is_queued_at_the_second_try_supersedes_what_is_older_than_the_first() {
    let failed = || Err(QueueError::Unreachable("away".to_owned()));
    for (admits, confirms) in [(failed(), Ok(())), (Ok(()), failed())] {
        let app = app_with([("default", Profile { supersede: true, ..profile(Scheme::HexBody) })], Vec::new()).await;
        let mut body = trigger();
        body["inputId"] = json!("i-1");
        *app.queue.admits.lock().unwrap() = admits;
        *app.queue.confirms.lock().unwrap() = confirms;
        app.post(&body).await.is_problem(503);
        let refused_at = EpochMs::from(std::time::SystemTime::now());
        while EpochMs::from(std::time::SystemTime::now()) <= refused_at {
            tokio::task::yield_now().await;
        }
        *app.queue.admits.lock().unwrap() = Ok(());
        *app.queue.confirms.lock().unwrap() = Ok(());
        assert_eq!(app.post(&body).await.status, 202);
        assert!(app.published().pop().unwrap().1.envelope.accepted_at > refused_at, "its deadline begins now");
        let [told] = std::mem::take(&mut *app.told.0.lock().unwrap()).try_into().unwrap();
        let newer: NewerTrigger = serde_json::from_slice(&told.body).unwrap();
        assert!(newer.accepted_at <= refused_at, "{newer:?}, refused at {refused_at:?}");
    }
}

#[tokio::test]
async fn a_trigger_that_the_queue_remembers_from_before_a_restart_is_known() {
    let first = app().await;
    let mut body = trigger();
    body["inputId"] = json!("i-1");
    first.post(&body).await;
    let envelope = first.published().remove(0).1.envelope;
    let second = app_knowing(vec![(envelope.trigger_id, envelope.accepted_at)]).await;
    assert_eq!(second.post(&body).await.status, 202);
    assert!(second.published().is_empty());
}

#[tokio::test]
async fn a_key_that_is_no_key_is_400() {
    let app = app().await;
    for key in ["", &"k".repeat(257)] {
        let request = app.request("/webhook/cognigy/fallback", trigger().to_string().into_bytes());
        Answer::of(request.header("idempotency-key", key)).await.is_problem(400);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_publish_that_ends_by_itself() {
    let app = app().await;
    app.queue.gate.forget_permits(1_000_000);
    let mut body = trigger();
    body["inputId"] = json!("i-1");
    let request = app.request("/webhook/cognigy/fallback", body.to_string().into_bytes());
    let gone = tokio::spawn(request.send());
    while app.published().is_empty() {
        tokio::task::yield_now().await;
    }
    gone.abort();
    let _ = gone.await;
    while app.metrics.webhook_in_flight.get() > 0 {
        tokio::task::yield_now().await;
    }
    app.queue.gate.add_permits(10);
    assert_eq!(app.post(&body).await.status, 202);
    assert_eq!(app.published().len(), 1, "it was known from the request that went away");
}

#[tokio::test]
async fn a_panic_is_503_while_storing_and_else_500_with_an_id_and_no_word_of_it() {
    let app = app().await;
    let mut with_key = trigger();
    with_key["inputId"] = json!("1");
    // Of a trigger with a key the publish outlives the request, which then does not know how it ended.
    for (body, status) in [(with_key, 503), (trigger(), 500)] {
        app.queue.panics.store(1, Ordering::Relaxed);
        let answer = app.post(&body).await;
        answer.is_problem(status);
        assert!(!answer.body.to_string().contains("MARKER"));
        let id = answer.body["detail"].as_str().unwrap().rsplit(' ').next().unwrap().trim_end_matches('.').to_owned();
        assert_eq!(id.parse::<TriggerId>().is_ok(), status == 500, "{id}");
        app.queue.panics.store(0, Ordering::Relaxed);
        assert_eq!(app.post(&trigger()).await.status, 202);
    }
    assert_eq!(app.metrics.webhook_requests.get(Webhook::Internal).get(), 1);
}

#[tokio::test]
async fn every_answer_is_counted_under_its_name() {
    let app = app().await;
    app.post(&trigger()).await;
    app.post(&json!({})).await;
    Answer::of(app.client.get(format!("http://{}/nowhere", app.address))).await;
    Answer::of(app.request("/webhook/cognigy/fallback", vec![b' '; 70_000])).await;
    *app.queue.admits.lock().unwrap() = Err(QueueError::Unreachable(String::new()));
    app.post(&trigger()).await;
    let text = app.metrics.text();
    for line in [
        "cfr_webhook_requests_total{outcome=\"accepted\"} 1",
        "cfr_webhook_requests_total{outcome=\"malformed\"} 2",
        "cfr_webhook_requests_total{outcome=\"too_large\"} 1",
        "cfr_webhook_requests_total{outcome=\"queue_unavailable\"} 1",
        "cfr_webhook_requests_total{outcome=\"bad_signature\"} 0",
        "cfr_webhook_request_duration_seconds_count{outcome_class=\"error\"} 1",
        "cfr_webhook_in_flight_requests 0",
    ] {
        assert!(text.contains(line), "{line}");
    }
}
