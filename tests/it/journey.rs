//! The whole way, through separate ingress and worker, on both queues; and what must never be found on it.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use cognigy_fallback_router::{app::Running, config::Role, shutdown::Shutdown, trigger::TriggerId};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{
    app::{
        CALLBACK, COMPLETIONS, SUMMARIES, World, accepted, assert_signed, client, completion, decision, run, signed,
        trigger,
    },
    broker,
    stub::Reply,
};

/// Settings for a queue of its own.
enum Place {
    Embedded(TempDir),
    Broker { _node: broker::Shared, url: String },
}

impl Place {
    fn embedded() -> Self {
        Self::Embedded(TempDir::new().unwrap())
    }

    async fn broker() -> Self {
        let node = broker::shared().await;
        let url = node.vhost().await.url;
        Self::Broker { _node: node, url }
    }

    fn environment(&self, world: &World) -> BTreeMap<String, String> {
        let mut environment = world.environment();
        let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
        match self {
            Self::Embedded(directory) => {
                set("CFR__QUEUE__BACKEND", "embedded");
                set("CFR__QUEUE__EMBEDDED__DIRECTORY", directory.path().to_str().unwrap());
            }
            Self::Broker { url, .. } => {
                set("CFR__QUEUE__BACKEND", "rabbitmq");
                set("AMQP_URL", url);
            }
        }
        environment
    }
}

struct Pair {
    ingress: Running,
    worker: Running,
    shutdown: Shutdown,
}

async fn start(environment: &BTreeMap<String, String>) -> Pair {
    let shutdown = Shutdown::default();
    let ingress = run(environment, Role::Ingress, shutdown.clone()).await;
    let worker = run(environment, Role::Worker, shutdown.clone()).await;
    ingress.queue.ready().await.unwrap();
    Pair { ingress, worker, shutdown }
}

async fn the_journey(place: Place) {
    let world = World::start().await;
    let pair = start(&place.environment(&world)).await;
    let client = client();
    let mut ids = Vec::new();
    for number in 0..20 {
        let mut body = trigger();
        body["conversationId"] = json!(format!("c-{number}"));
        ids.push((accepted(&client, &pair.ingress, &body).await, format!("c-{number}")));
    }
    for (id, conversation) in ids {
        let callback = world.callback_of(id).await;
        assert_signed(&callback);
        assert_eq!(callback.header("content-type"), "application/json");
        assert_eq!(callback.header("fallback-attempt"), "1");
        let outcome = callback.json();
        assert_eq!(outcome["status"], "success");
        assert_eq!(outcome["triggerId"], id.to_string());
        assert_eq!(outcome["conversationId"], conversation);
        assert_eq!(outcome["routing_decision"], decision());
    }
    let queue = Arc::clone(&pair.worker.queue);
    while queue.depths().await.is_ok_and(|depths| depths != Default::default()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.sink.requests_to(CALLBACK).len(), 20, "each outcome was posted once");
    pair.shutdown.drain.cancel();
    assert!(pair.ingress.ended().await.unwrap() && pair.worker.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_become_signed_callbacks_on_the_embedded_queue() {
    the_journey(Place::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_become_signed_callbacks_on_rabbitmq() {
    the_journey(Place::broker().await).await;
}

/// The port is open before the queue is connected; who comes in between waits for it instead of being refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_after_the_start_is_accepted() {
    let world = World::start().await;
    let place = Place::broker().await;
    let environment = place.environment(&world);
    // The wait has a limit, and on a busy machine declaring all queues can take longer: they are there already.
    let declaring = Shutdown::default();
    let earlier = run(&environment, Role::Ingress, declaring.clone()).await;
    earlier.queue.ready().await.unwrap();
    declaring.drain.cancel();
    assert!(earlier.ended().await.unwrap());
    let shutdown = Shutdown::default();
    let ingress = run(&environment, Role::Ingress, shutdown.clone()).await;
    accepted(&client(), &ingress, &trigger()).await;
    shutdown.drain.cancel();
    assert!(ingress.ended().await.unwrap());
}

/// What was accepted while no worker ran is answered safely once its deadline has passed, without the model.
async fn the_expired(place: Place) {
    let world = World::start().await;
    let environment = place.environment(&world);
    let shutdown = Shutdown::default();
    let ingress = run(&environment, Role::Ingress, shutdown.clone()).await;
    ingress.queue.ready().await.unwrap();
    let mut body = trigger();
    body["deadlineMs"] = json!(1000);
    let id = accepted(&client(), &ingress, &body).await;
    let accepted_at = std::time::Instant::now();
    while accepted_at.elapsed().as_millis() < 1000 {
        tokio::task::yield_now().await;
    }
    let worker = run(&environment, Role::Worker, shutdown.clone()).await;
    let outcome = world.callback_of(id).await.json();
    assert_eq!((&outcome["status"], &outcome["meta"]["late"]), (&json!("expired"), &json!(true)), "{outcome}");
    assert!(world.llm.requests().is_empty());
    shutdown.drain.cancel();
    assert!(ingress.ended().await.unwrap() && worker.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_trigger_is_answered_without_the_model_on_the_embedded_queue() {
    the_expired(Place::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_trigger_is_answered_without_the_model_on_rabbitmq() {
    the_expired(Place::broker().await).await;
}

/// A process of the real programs.
struct Program {
    child: Child,
    /// Every line of its log.
    log: tokio::task::JoinHandle<String>,
    /// Its standard output.
    printed: std::fs::File,
    listening: BTreeMap<&'static str, String>,
}

impl Program {
    async fn start(path: &str, arguments: &[&str], environment: &BTreeMap<String, String>) -> Self {
        let folder = TempDir::new().unwrap();
        let printed = tempfile::tempfile().unwrap();
        let mut child = Command::new(path)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(folder.path())
            .stdout(printed.try_clone().unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = tokio::process::ChildStderr::from_std(child.stderr.take().unwrap()).unwrap();
        let mut lines = BufReader::new(stderr).lines();
        let (mut read, mut listening) = (String::new(), BTreeMap::new());
        while let Some(line) = lines.next_line().await.unwrap() {
            read.push_str(&line);
            let Ok(fields) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            if fields["event"] == "started" {
                for name in ["webhook", "admin"] {
                    listening.insert(name, fields[name].as_str().unwrap_or_default().to_owned());
                }
                break;
            }
        }
        assert!(!listening.is_empty(), "{path} did not start: {read}");
        let log = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                read.push_str(&line);
                read.push('\n');
            }
            read
        });
        Self { child, log, printed, listening }
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Ends it in good order; its whole log, and after it whatever it printed.
    async fn ended(mut self) -> String {
        use std::io::{Read, Seek};
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let status = tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap();
        assert!(status.success(), "{status}");
        let mut said = self.log.await.unwrap();
        self.printed.rewind().unwrap();
        self.printed.read_to_string(&mut said).unwrap();
        said
    }

    async fn accepted(&self, client: &reqwest::Client, body: &serde_json::Value) -> TriggerId {
        let response = signed(client, &self.listening["webhook"], body).send().await.unwrap();
        assert_eq!(response.status(), 202);
        let answer: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        answer["triggerId"].as_str().unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_triggers_are_decided_by_another() {
    let world = World::start().await;
    world.llm.next(COMPLETIONS, Reply::hang());
    world.llm.next(COMPLETIONS, Reply::hang());
    let place = Place::embedded();
    let environment = place.environment(&world);
    let client = client();
    let ingress = Program::start(env!("CARGO_BIN_EXE_ingress"), &[], &environment).await;
    let mut first = Program::start(env!("CARGO_BIN_EXE_worker"), &[], &environment).await;
    let ids = [ingress.accepted(&client, &trigger()).await, ingress.accepted(&client, &trigger()).await];
    world.llm.received(2).await;
    first.signal(nix::sys::signal::Signal::SIGKILL);
    first.child.wait().unwrap();
    let second = Program::start(env!("CARGO_BIN_EXE_worker"), &[], &environment).await;
    for id in ids {
        assert_eq!(world.callback_of(id).await.json()["status"], "success");
    }
    assert_eq!(world.sink.requests_to(CALLBACK).len(), 2);
    second.ended().await;
    ingress.ended().await;
}

/// A marker in every place where customer text, model words or secrets can be, and none of them in what we say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_customer_text_and_no_secret_is_in_a_log_a_metric_or_an_error_at_any_level() {
    const MARK: &str = "MARKER";
    let world = World::start().await;
    let environment = Place::embedded();
    let mut environment_of_all = environment.environment(&world);
    for name in ["COGNIGY_CALLBACK_SECRET", "CXONE_CLIENT_SECRET", "LLM_GATEWAY_API_KEY"] {
        environment_of_all.insert(name.to_owned(), format!("{MARK}-{name}-of-more-than-thirty-two-bytes"));
    }
    environment_of_all.insert("CFR__LOG__LEVEL".to_owned(), "trace".to_owned());
    let page =
        json!({"items": [{"participantId": "u", "text": format!("{MARK} said earlier")}], "nextPageToken": null});
    world.cxone.always(SUMMARIES, Reply::json(&page));
    let mut marked = decision();
    marked["suggested_response"] = json!(format!("{MARK} from the model"));
    marked["extracted_parameters"] = json!({"name": MARK});
    world.llm.next(COMPLETIONS, completion(&format!("{MARK} in prose")));
    world.llm.next(COMPLETIONS, completion(&marked.to_string()));
    world.llm.next(COMPLETIONS, Reply::status(400).body(format!("{{\"error\":{{\"message\":\"{MARK}\"}}}}")));
    world.llm.next(COMPLETIONS, Reply::html().body(format!("<html>{MARK}</html>")));
    world.sink.next(CALLBACK, Reply::status(500).body(MARK));
    world.sink.next(CALLBACK, Reply::status(200).body(MARK));
    world.sink.next(CALLBACK, Reply::status(404).body(MARK));

    let program = Program::start(env!("CARGO_BIN_EXE_cfr"), &["serve"], &environment_of_all).await;
    let client = client();
    let full = json!({
        "conversationId": format!("{MARK}-c"), "userId": format!("{MARK}-u"), "lastMessage": format!("{MARK} {{{{ x }}}}"),
        "confidenceScore": null, "detectedIntent": MARK, "metadata": {MARK: MARK}, "sessionId": MARK, "urlToken": MARK,
        "channel": MARK, "endpointType": MARK, "inputId": MARK, "language": MARK,
        "candidates": [{"name": MARK, "score": 0.1, "description": MARK}],
        "contact": {"contactId": MARK, "caseId": MARK},
    });
    let mut answers = String::new();
    for (number, change) in [None, Some("a"), Some("b")].into_iter().enumerate() {
        let mut body = full.clone();
        if let Some(input) = change {
            body["inputId"] = json!(format!("{MARK}-{input}"));
        }
        let id = program.accepted(&client, &body).await;
        let tries = if number == 0 { 2 } else { 1 };
        world.callbacks_of(id, tries).await;
    }
    let mut bad = full.clone();
    bad["callbackUrl"] = json!(format!("https://{MARK}.example.com/{MARK}"));
    bad["deadlineMs"] = json!(MARK);
    for body in [bad, json!({MARK: MARK}), json!(MARK)] {
        let response = signed(&client, &program.listening["webhook"], &body).send().await.unwrap();
        assert_eq!(response.status(), 400);
        answers.push_str(&response.text().await.unwrap());
    }
    let response = signed(&client, &program.listening["webhook"], &full).header("x-webhook-signature", MARK);
    answers.push_str(&response.send().await.unwrap().text().await.unwrap());
    for path in ["metrics", "readyz", "startupz", "healthz"] {
        let url = format!("http://{}/{path}", program.listening["admin"]);
        answers.push_str(&client.get(url).send().await.unwrap().text().await.unwrap());
    }
    assert!(answers.contains("cfr_outcomes_total{status=\"success\"} 2"), "{answers}");
    let log = program.ended().await;
    assert!(log.contains("trigger_finished"), "{log}");
    for (place, text) in [("an answer or a metric", &answers), ("the log", &log)] {
        let found = text.find(MARK).map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
        assert_eq!(found, None, "{place} has a marker");
    }
    let secret = crate::support::app::WEBHOOK_SECRET;
    assert!(!log.contains(secret) && !answers.contains(secret));
}

/// What the demo prints; it must have ended well.
fn demo(arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfr"));
    command.args(["demo", "--once"]).args(arguments).current_dir(folder.path()).env_clear();
    let demo = command.output().unwrap();
    let text = String::from_utf8_lossy(&demo.stdout).into_owned();
    assert_eq!(demo.status.code(), Some(0), "{text}");
    text
}

#[test]
fn the_demo_plays_a_conversation_of_each_channel_to_its_end() {
    for channel in ["webchat", "voice", "cxone-text"] {
        let text = demo(&["--channel", channel]);
        assert!(text.contains("I can help you reset your password."), "{channel}: {text}");
    }
}

#[test]
fn the_demo_ends_with_0_only_if_every_trigger_ended_as_it_should() {
    let text = demo(&[]);
    for expected in [
        "\"status\": \"success\"",
        "\"status\": \"expired\"",
        "llm_unavailable",
        "403",
        "callback_rejected",
        "under the same id",
        "model ",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
}
