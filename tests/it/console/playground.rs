//! The playground, with the real application behind it.

use cognigy_fallback_router::config::{self, Role, Sources};
use serde_json::{Value, json};

use super::{HOSTILE, Visitor, audit::Audit, until, with, writable};
use crate::support::app::{COMPLETIONS, TestApp, completion, decision, trigger};

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
async fn the_playground_shows_the_body_that_the_profile_would_post() {
    let url = "CFR__PROFILES__DEFAULT__CALLBACK__URL";
    for (mode, wrapped, said) in [
        ("cognigy-inject", true, "the payload below"),
        ("cognigy-notify", true, "the payload below"),
        ("none", false, "nothing is posted"),
    ] {
        let changes = [
            ("CFR__CONSOLE__WRITE", "true"),
            ("CFR__PROFILES__DEFAULT__CALLBACK__MODE", mode),
            (url, "http://127.0.0.1:9"),
        ];
        let (app, visitor) = with(&changes).await;
        let mut body = trigger();
        (body["sessionId"], body["urlToken"]) = (json!("session-7"), json!("a-token-that-is-a-secret"));
        let ran = tried(&visitor, "/console/playground/run", &body.to_string()).await;
        let (_, result) = ran.split_once("id=\"result\"").unwrap();
        assert!(result.contains("<h2>Outcome</h2>") && result.contains(said), "{mode}: {result}");
        assert_eq!(result.contains("fallbackRouter") && result.contains("session-7"), wrapped, "{mode}: {result}");
        assert!(app.stop().await);
    }
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
    let offered = offered(&opened, "trigger");
    assert!(offered.contains("the link expired") && !offered.contains("user-external-9876"), "{offered}");
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
