//! What the pages show and do, with the real application behind them.

use std::{
    io,
    sync::{Arc, Mutex},
};

use cognigy_fallback_router::config::{self, Role, Sources};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::{Visitor, buried, until, with, writable};
use crate::support::app::{CALLBACK, COMPLETIONS, TestApp, completion, decision, trigger};
use crate::support::stub::Reply;

/// What an attacker would like to see on the page as more than text.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>";

/// Lines of the audit log of this test.
#[derive(Clone, Default)]
struct Audit(Arc<Mutex<Vec<u8>>>);

impl io::Write for Audit {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Audit {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Audit {
    /// Hears this thread, on which a test's runtime does everything.
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let audit = Self::default();
        let filter = tracing_subscriber::EnvFilter::new("off,audit=info");
        let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(audit.clone()).finish();
        (audit, tracing::subscriber::set_default(subscriber))
    }

    fn of(&self, event: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        lines.filter(|fields| fields["event"] == event).collect()
    }
}

/// The template's texts and sample, as the page offers them.
fn offered(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("<textarea name=\"{name}\"")).unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    let (text, _) = rest.split_once("</textarea>").unwrap();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

async fn tried(visitor: &Visitor, path: &str, trigger: &str) -> String {
    let page = visitor.get("/console/playground").await.shown();
    let (system, user) = (offered(&page, "system"), offered(&page, "user"));
    let fields = [("profile", "default"), ("system", &*system), ("user", &*user), ("trigger", trigger)];
    visitor.post(path, &fields).await.shown()
}

#[tokio::test]
async fn now_shows_the_queue_and_the_workers_that_are_heard() {
    let (app, visitor) = with(&[]).await;
    let page = until(&visitor, "/console", "0/64").await;
    assert!(page.contains("1 alive") && page.contains("Dead letters") && page.contains(">llm<"), "{page}");
    assert!(app.stop().await);
}

#[tokio::test]
async fn news_are_pushed() {
    let (app, visitor) = with(&[]).await;
    let mut response = visitor.request(reqwest::Method::GET, "/console/live").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while text.matches("event: now").count() < 2 {
        text.push_str(&String::from_utf8_lossy(&response.chunk().await.unwrap().unwrap()));
    }
    assert!(text.contains(r#""seen":0"#) && text.contains("vitals"), "{text}");
    drop(response);
    assert!(app.stop().await);
}

#[tokio::test]
async fn a_story_is_told_whole_masked_until_revealed_and_each_reveal_stands_in_the_audit_log() {
    let (audit, _guard) = Audit::listen();
    let (app, visitor) = with(&[]).await;
    let mut body = trigger();
    body["lastMessage"] = json!(format!("{HOSTILE} my card is 4111 1111 1111 1111"));
    let mut answer = decision();
    answer["confidence"] = json!(7);
    let bad = completion(&answer.to_string());
    app.world.llm.next(COMPLETIONS, bad);
    let id = app.accepted(&body).await;
    let path = format!("/console/outcomes/{id}");
    until(&visitor, "/console/outcomes", &id.to_string()).await;
    let masked = until(&visitor, &path, "delivered").await;
    assert!(
        !masked.contains("my card") && !masked.contains("reset your password") && !masked.contains("a1b2c3d4-e5f6")
    );
    assert!(masked.contains("/confidence") && masked.contains("must be at most 1"), "{masked}");
    assert!(audit.of("story_revealed").is_empty());

    let revealed = visitor.post(&path, &[]).await.shown();
    assert!(revealed.contains("my card is [CARD_1]") && revealed.contains("reset your password"), "{revealed}");
    assert!(!revealed.contains("4111") && !revealed.contains("<script>alert") && !revealed.contains("<img"));
    let lines = audit.of("story_revealed");
    assert_eq!(lines.len(), 1);
    assert!(lines[0]["ids"].as_str().unwrap().contains(&id.to_string()) && lines[0]["operator"] == "console");
    assert!(app.stop().await);
}

#[tokio::test]
async fn outcomes_are_filtered_by_reason() {
    let (app, visitor) = with(&[]).await;
    app.world.llm.always(COMPLETIONS, completion("no JSON at all"));
    let bad = app.accepted(&trigger()).await;
    until(&visitor, "/console/outcomes?reason=invalid_json", &bad.to_string()).await;
    app.world.llm.always(COMPLETIONS, completion(&decision().to_string()));
    let good = app.accepted(&trigger()).await;
    let page = until(&visitor, "/console/outcomes?reason=success", &good.to_string()).await;
    assert!(!page.contains(&bad.to_string()));
    let hostile = visitor.get("/console/outcomes?reason=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await.shown();
    assert!(!hostile.contains("<script>alert"));
    assert!(app.stop().await);
}

async fn with_dead_letters(count: usize) -> (TestApp, Visitor) {
    let (app, visitor) = writable().await;
    for _ in 0..count {
        app.world.sink.next(CALLBACK, Reply::status(410));
    }
    for _ in 0..count {
        app.accepted(&trigger()).await;
    }
    buried(&app, count as u64).await;
    (app, visitor)
}

#[tokio::test]
async fn dead_letters_are_counted_before_they_are_replayed_and_the_audit_log_says_so() {
    let (audit, _guard) = Audit::listen();
    let (app, visitor) = with_dead_letters(3).await;
    let list = visitor.get("/console/dead-letters").await.shown();
    assert_eq!(list.matches("name=\"id\"").count(), 3);
    assert_eq!(visitor.post("/console/dead-letters/check", &[]).await.status, 400, "none is selected");
    let all = [("all", "yes"), ("reason", "callback_rejected"), ("rate", "1000")];
    let counted = visitor.post("/console/dead-letters/check", &all).await.shown();
    assert!(counted.contains("Replay 3?"), "{counted}");
    assert_eq!(app.queue().depths().await.unwrap().dead, 3, "counting changes nothing");
    let none = visitor.post("/console/dead-letters/check", &[("all", "yes"), ("reason", "poison")]).await.shown();
    assert!(none.contains("Replay 0?"));

    let confirmed: Vec<_> = all.into_iter().chain([("expected", "2")]).collect();
    assert_eq!(visitor.post("/console/dead-letters/replay", &confirmed).await.status, 303);
    until(&visitor, "/console/dead-letters", "2 replayed").await;
    buried(&app, 1).await;
    let lines = audit.of("dead_letters_replayed");
    assert_eq!((lines.len(), &lines[0]["count"], &lines[0]["operator"]), (1, &json!(2), &json!("console")));
    assert!(app.stop().await);
}

#[tokio::test]
async fn one_replay_runs_at_a_time_and_can_be_stopped() {
    // A pause of a second follows each, so it runs for several.
    let (app, visitor) = with_dead_letters(8).await;
    let slowly = [("all", "yes"), ("rate", "1"), ("expected", "8")];
    assert_eq!(visitor.post("/console/dead-letters/replay", &slowly).await.status, 303);
    assert_eq!(visitor.post("/console/dead-letters/replay", &slowly).await.status, 409);
    assert_eq!(visitor.post("/console/dead-letters/stop", &[]).await.status, 303);
    until(&visitor, "/console/dead-letters", "The last replay").await;
    let shown = visitor.get("/console/dead-letters").await.shown();
    let count = shown.split("The last replay: ").nth(1).unwrap().split(' ').next().unwrap();
    let replayed: u64 = count.parse().unwrap();
    assert!(replayed < 8, "it was stopped");
    // Those that it held go back in the background.
    buried(&app, 8 - replayed).await;
    assert!(app.stop().await);
}

#[tokio::test]
async fn a_dead_letter_is_masked_until_revealed() {
    let (audit, _guard) = Audit::listen();
    let (app, visitor) = with_dead_letters(1).await;
    let id = app.queue().dead_letters(1).await.unwrap()[0].message.envelope.trigger_id;
    let path = format!("/console/dead-letters/{id}");
    let masked = visitor.get(&path).await.shown();
    assert!(masked.contains("&lt;masked:") && !masked.contains("reset your password"), "{masked}");
    let revealed = visitor.post(&path, &[]).await.shown();
    assert!(revealed.contains("reset your password"), "{revealed}");
    assert_eq!(audit.of("dead_letters_revealed").len(), 1);
    assert!(app.stop().await);
}

#[tokio::test]
async fn the_playground_renders_for_nothing_and_says_what_is_wrong() {
    let (app, visitor) = with(&[]).await;
    let rendered = tried(&visitor, "/console/playground", &trigger().to_string()).await;
    assert!(rendered.contains("characters, about") && rendered.contains("the link expired"), "{rendered}");
    let broken = tried(&visitor, "/console/playground", r#"{"conversationId": 5}"#).await;
    assert!(broken.contains("/conversationId") && broken.contains("/lastMessage"), "{broken}");
    let body = trigger().to_string();
    let template = [("profile", "default"), ("system", "{% if %}"), ("user", "x"), ("trigger", &*body)];
    assert!(visitor.post("/console/playground", &template).await.shown().contains("system.tera:1"));
    assert!(app.world.llm.received(0).await.is_empty(), "nobody was asked");
    assert!(app.stop().await);
}

#[tokio::test]
async fn the_playground_asks_the_model_shows_hostile_answers_as_text_and_sends_no_callback() {
    let (audit, _guard) = Audit::listen();
    let (app, visitor) = writable().await;
    let mut answer = decision();
    answer["suggested_response"] = json!(HOSTILE);
    answer["requires_human_agent"] = json!(HOSTILE);
    app.world.llm.always(COMPLETIONS, completion(&answer.to_string()));
    let ran = tried(&visitor, "/console/playground/run", &trigger().to_string()).await;
    assert!(ran.contains("schema_violation") && ran.contains("/requires_human_agent"), "{ran}");
    assert!(ran.contains("&lt;script&gt;alert(1)") && !ran.contains("<script>alert") && !ran.contains("<img"), "{ran}");
    assert!(ran.contains("not sent"));
    assert_eq!(audit.of("playground_run").len(), 1);
    assert!(app.world.sink.received(0).await.is_empty(), "no callback was sent");
    assert!(app.stop().await);
}

#[tokio::test]
async fn runs_of_the_playground_are_limited() {
    let (app, visitor) = writable().await;
    let body = trigger().to_string();
    let fields = [("profile", "default"), ("system", "s"), ("user", "u"), ("trigger", &*body)];
    let mut ran = 0;
    loop {
        if visitor.post("/console/playground/run", &fields).await.shown().contains("wait a little") {
            break;
        }
        ran += 1;
        assert!(ran < 100, "never held back");
    }
    assert!(ran >= 20, "{ran}");
    assert!(app.stop().await);
}

/// `cfr check-config` replays a case, and says so when it ends otherwise than it did.
fn replayed(app: &TestApp, directory: &str, path: &std::path::Path, case: &Value) {
    let mut environment = app.world.environment();
    environment.insert("CFR__TEMPLATES__DIRECTORY".into(), directory.into());
    let config = config::load(&Sources { file: None, environment }, Role::Worker).unwrap().config;
    assert_eq!(cognigy_fallback_router::app::replay_cases(&config, None).unwrap(), 1);
    let mut other = case.clone();
    other["expected"]["decision"]["classified_intent"] = json!("refund");
    std::fs::write(path, other.to_string()).unwrap();
    let problem = cognigy_fallback_router::app::replay_cases(&config, None).unwrap_err().to_string();
    assert!(
        problem.contains("case reset") && problem.contains("\"refund\" and is now \"password_reset\""),
        "{problem}"
    );
    std::fs::write(path, case.to_string()).unwrap();
}

#[tokio::test]
async fn a_failed_trigger_opens_in_the_playground_and_becomes_a_test_case() {
    let (audit, _guard) = Audit::listen();
    let folder = tempfile::TempDir::new().unwrap();
    let set = folder.path().join("default");
    std::fs::create_dir(&set).unwrap();
    for file in ["system.tera", "user.tera", "decision.schema.json", "sample.trigger.json"] {
        std::fs::copy(format!("{}/templates/default/{file}", env!("CARGO_MANIFEST_DIR")), set.join(file)).unwrap();
    }
    let directory = folder.path().to_str().unwrap();
    let (app, visitor) = with(&[("CFR__CONSOLE__WRITE", "true"), ("CFR__TEMPLATES__DIRECTORY", directory)]).await;
    app.world.llm.always(COMPLETIONS, completion("no JSON at all"));
    let id = app.accepted(&trigger()).await.to_string();
    until(&visitor, "/console/outcomes?reason=invalid_json", &id).await;
    let opened = visitor.post("/console/playground/open", &[("outcome", &id)]).await.shown();
    assert!(offered(&opened, "trigger").contains("the link expired"));
    assert_eq!(audit.of("playground_opened").len(), 1);

    let answer = decision().to_string();
    let kept = [("profile", "default"), ("name", "reset"), ("how", "keep"), ("answer", &*answer)];
    let body = trigger().to_string();
    let kept: Vec<_> = kept.into_iter().chain([("trigger", &*body)]).collect();
    assert!(visitor.post("/console/playground/save", &kept).await.shown().contains("Kept"));
    assert_eq!(visitor.post("/console/playground/save", &kept).await.status, 409, "no case is overwritten");
    let case: Value = serde_json::from_slice(&std::fs::read(set.join("cases/reset.json")).unwrap()).unwrap();
    assert_eq!(case["expected"]["decision"]["classified_intent"], "password_reset");
    replayed(&app, directory, &set.join("cases/reset.json"), &case);
    let evil: Vec<_> =
        kept.iter().map(|(name, value)| (*name, if *name == "name" { "../evil" } else { value })).collect();
    assert_eq!(visitor.post("/console/playground/save", &evil).await.status, 400);
    assert!(app.stop().await);
}
