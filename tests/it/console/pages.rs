//! What the pages show and do, with the real application behind them.

use serde_json::json;

use super::{HOSTILE, Visitor, audit::Audit, buried, until, with, writable};
use crate::support::app::{CALLBACK, COMPLETIONS, TestApp, completion, decision, trigger};
use crate::support::stub::Reply;

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
