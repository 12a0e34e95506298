//! What a scrape costs: the series of an ingress and of a worker, from the start and after a run with hostile input.

use std::collections::BTreeSet;

use cognigy_fallback_router::{
    app::Running,
    config::Role,
    metrics::{
        Metrics,
        labels::{Label as _, OutcomeStatus, Upstream, UpstreamStatus},
    },
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    app::{CALLBACK, COMPLETIONS, SUMMARIES, World, accepted, client, completion, decision, run, signed, trigger},
    stub::Reply,
};

async fn scrape(running: &Running) -> String {
    let url = format!("http://{}/metrics", running.admin);
    client().get(url).send().await.unwrap().text().await.unwrap()
}

/// The series of a scrape: a name with its labels for each line.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// Answers with which a model, or who stands between, could try to make series.
fn hostile_answers() -> Vec<Reply> {
    let decides = |intent: &str| {
        let mut decision = decision();
        decision["classified_intent"] = json!(intent);
        completion(&decision.to_string())
    };
    let mut answers: Vec<_> = (0..40).map(|number| decides(&format!("intent-{number}\"}} 1\n"))).collect();
    answers.push(decides("refund"));
    answers.push(completion("no json"));
    answers.push(completion(""));
    let other_model = json!({"model": "a-model-nobody-named", "choices": [{"message": {"content": decision().to_string()},
        "finish_reason": "a reason of its own"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    answers.push(Reply::json(&other_model));
    answers.extend([418, 429, 500, 503, 302].map(|status| Reply::status(status).header("retry-after", "0")));
    answers.extend([Reply::html(), Reply::close()]);
    answers
}

/// Requests that are refused, each for another reason.
async fn hostile_requests(webhook: &str) {
    let client = client();
    let url = |path: &str| format!("http://{webhook}{path}");
    for number in 0..20 {
        for path in [format!("/{number}"), format!("/webhook/cognigy/fallback/profile-{number}")] {
            client.post(url(&path)).body("{}").send().await.unwrap();
        }
    }
    client.get(url("/webhook/cognigy/fallback")).send().await.unwrap();
    for body in ["", "[]", "{\"conversationId\":\"c\"", "\u{feff}{}", "{\"a\":{\"a\":{\"a\":1}}}"] {
        let request = client.post(url("/webhook/cognigy/fallback")).header("content-type", "application/json");
        request.header("x-webhook-signature", "00").body(body).send().await.unwrap();
        signed(&client, webhook, &Value::from(body)).send().await.unwrap();
    }
    signed(&client, webhook, &json!({"lastMessage": "x".repeat(70_000)})).send().await.unwrap();
}

async fn hostile_triggers(world: &World, ingress: &Running) {
    let client = client();
    for status in [400, 302, 500] {
        world.cxone.next(SUMMARIES, Reply::status(status));
    }
    let answers = hostile_answers();
    let count = answers.len();
    for answer in answers {
        world.llm.next(COMPLETIONS, answer);
    }
    world.sink.next(CALLBACK, Reply::status(410)).next(CALLBACK, Reply::status(302));
    for number in 0..count {
        let mut body = trigger();
        body["conversationId"] = json!(format!("c-{number}"));
        body["language"] = json!(format!("x-{number}"));
        body["channel"] = json!(format!("channel-{number}"));
        let id = accepted(&client, ingress, &body).await;
        world.callback_of(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_input_makes_no_series_and_their_number_is_bounded() {
    let (world, folder) = (World::start().await, TempDir::new().unwrap());
    let mut environment = world.environment();
    let config = folder.path().join("config.toml");
    // Each further model costs five series, a template set eight, an intent one.
    std::fs::write(
        &config,
        "[profiles.default]\nintents = [{ name = \"refund\" }, { name = \"order_status\" }]\n\
         [profiles.default.llm]\nmodels = [\"gpt-4o-mini\", \"gpt-4o\"]\nattempt_timeout = \"2s\"\n",
    )
    .unwrap();
    environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
    environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".into(), folder.path().join("queue").to_str().unwrap().into());
    let shutdown = Shutdown::default();
    let start = async |role| {
        let sources =
            cognigy_fallback_router::config::Sources { file: Some(config.clone()), environment: environment.clone() };
        let loaded = cognigy_fallback_router::config::load(&sources, role).unwrap();
        cognigy_fallback_router::app::start(&loaded.config, role, shutdown.clone()).await.unwrap()
    };
    let (ingress, worker) = (start(Role::Ingress).await, start(Role::Worker).await);
    let fresh = [series(&scrape(&ingress).await), series(&scrape(&worker).await)];
    hostile_requests(&ingress.webhook.unwrap().to_string()).await;
    hostile_triggers(&world, &ingress).await;
    let used = [series(&scrape(&ingress).await), series(&scrape(&worker).await)];
    for (fresh, used) in fresh.iter().zip(&used) {
        let new: Vec<_> = used.difference(fresh).collect();
        assert!(new.is_empty(), "use made {new:#?}");
    }
    let [ingress_count, worker_count] = used.map(|series| series.len());
    assert!(ingress_count <= 120, "{ingress_count} series of an ingress");
    assert!(worker_count <= 300, "{worker_count} series of a worker");
    shutdown.drain.cancel();
    ingress.ended().await.unwrap();
    worker.ended().await.unwrap();
}

/// Every metric of the design, by who exposes it.
#[test]
fn each_component_exposes_its_metrics_and_none_of_the_other() {
    let names = |component: &str| {
        let text = Metrics::new(component).unwrap().text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let (ingress, worker, serve) = (names("ingress"), names("worker"), names("serve"));
    assert!(ingress.contains("cfr_webhook_requests_total") && !worker.contains("cfr_webhook_requests_total"));
    assert!(worker.contains("cfr_outcomes_total") && !ingress.contains("cfr_outcomes_total"));
    for name in [
        "cfr_queue_connected",
        "cfr_build_info",
        "cfr_publish_duration_seconds",
        "cfr_runtime_threads",
        "cfr_config_last_reload_successful",
        "process_cpu_seconds_total",
    ] {
        assert!(ingress.contains(name) && worker.contains(name), "{name}");
    }
    assert_eq!(ingress.union(&worker).cloned().collect::<BTreeSet<_>>(), serve);
}

#[test]
fn labels_name_what_they_stand_for() {
    let text = Metrics::new("worker").unwrap().text();
    for status in OutcomeStatus::ALL {
        assert!(text.contains(&format!("cfr_outcomes_total{{status=\"{}\"}} 0", status.as_str())));
    }
    for upstream in Upstream::ALL {
        for status in UpstreamStatus::ALL {
            let line = format!(
                "cfr_upstream_requests_total{{status=\"{}\",upstream=\"{}\"}} 0",
                status.as_str(),
                upstream.as_str()
            );
            assert!(text.contains(&line), "{line}");
        }
    }
    assert!(text.contains(&format!("rustc=\"{}\"", cognigy_fallback_router::build::RUSTC)), "{text}");
}

/// The router's own time is microseconds to milliseconds, however long upstreams, retries and the queue take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overhead_is_neither_the_upstreams_time_nor_the_waits_for_them() {
    let (world, folder) = (World::start().await, TempDir::new().unwrap());
    let slow = std::time::Duration::from_millis(700);
    world.llm.next(COMPLETIONS, Reply::status(429).header("retry-after", "1"));
    world.llm.always(COMPLETIONS, completion(&decision().to_string()).after(slow));
    world.cxone.next(SUMMARIES, Reply::json(&json!({"items": [], "nextPageToken": null})).after(slow));
    let mut environment = world.environment();
    environment.insert("CFR__QUEUE__BACKEND".into(), "embedded".into());
    environment.insert("CFR__QUEUE__EMBEDDED__DIRECTORY".into(), folder.path().join("queue").to_str().unwrap().into());
    let shutdown = Shutdown::default();
    let running = run(&environment, Role::Serve, shutdown.clone()).await;
    let id = accepted(&client(), &running, &trigger()).await;
    world.callback_of(id).await;
    let text = scrape(&running).await;
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert_eq!(value("cfr_overhead_seconds_count"), 1.0);
    let (overhead, llm) = (value("cfr_overhead_seconds_sum"), value("cfr_stage_duration_seconds_sum{stage=\"llm\"}"));
    assert!(llm > 1.7, "the model took {llm} s with the wait of a second before");
    assert!(overhead < 0.7, "{overhead} s of our own");
    shutdown.drain.cancel();
    running.ended().await.unwrap();
}
