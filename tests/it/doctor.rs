//! `cfr doctor`: the real command on deployments that are well and on such that are not.

use std::time::Duration;

use cognigy_fallback_router::simulators::{
    CXONE_ACCESS_KEY_ID, CXONE_ACCESS_KEY_SECRET, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET, Simulators,
};
use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};
use serde_json::json;

use crate::{
    operator::Place,
    support::{
        app::{COMPLETIONS, TOKEN, WEBHOOK_SECRET, completion},
        stub::Reply,
    },
};

const MODELS: &str = "/v1/models";

fn models(names: &[&str], clock: i64) -> Reply {
    let data: Vec<_> = names.iter().map(|name| json!({"id": name, "object": "model"})).collect();
    let now = jiff::Timestamp::now() + Duration::from_secs(clock.unsigned_abs());
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Reply::json(&json!({"object": "list", "data": data})).header("date", &date)
}

async fn a_healthy_deployment(place: Place) -> String {
    place.world.llm.always(MODELS, models(&["gpt-4o-mini", "other"], 0));
    let (running, shutdown) = place.serve().await;
    let said = place.cfr(&["doctor"]).await;
    assert!(!said.out.contains("FAIL"), "{}", said.out);
    let out = said.well();
    for line in ["settings", "reachable", "as declared", "gave a token", "has gpt-4o-mini", "apart", "may be dialled"] {
        assert!(out.contains(line), "{line} is missing in {out}");
    }
    assert!(place.world.llm.requests_to(COMPLETIONS).is_empty(), "it asks no model");
    assert!(!out.contains(WEBHOOK_SECRET) && !out.contains("client-secret") && !out.contains("llm-key"), "{out}");
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_deployment_has_no_failure_on_the_embedded_queue() {
    let out = a_healthy_deployment(Place::embedded().await).await;
    assert!(out.contains("embedded, SQLite 3.") && out.contains("1 on the outcome lane"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_deployment_has_no_failure_on_rabbitmq() {
    let out = a_healthy_deployment(Place::broker().await).await;
    assert!(out.contains("RabbitMQ ") && out.contains("1 on the outcome lane"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drifted_queue_and_missing_consumers_are_named() {
    let place = Place::broker().await;
    place.queue().await.close().await;
    let url = &place.environment["AMQP_URL"];
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete("fr.dead".into(), Default::default()).await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), lapin::types::AMQPValue::LongInt(20));
    channel.queue_declare("fr.dead".into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    let said = place.cfr(&["doctor", "--role", "worker"]).await;
    assert_eq!(said.code, Some(1));
    for part in ["queue fr.dead was declared otherwise", "x-delivery-limit", "nobody consumes the work lane"] {
        assert!(said.out.contains(part), "{part} is missing in {}", said.out);
    }
    assert!(!said.out.contains("queue fr.work was"), "{}", said.out);
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_upstream_that_does_not_work_is_told_with_what_to_do() {
    let mut place = Place::embedded().await;
    place.environment.insert("COGNIGY_WEBHOOK_SECRET".into(), "short".into());
    place.environment.insert("COGNIGY_CALLBACK_SECRET".into(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
    place.environment.insert("COGNIGY_CALLBACK_URL".into(), "https://nowhere.invalid/callback".into());
    place.world.cxone.next(TOKEN, Reply::status(401));
    place.world.llm.next(MODELS, Reply::status(401));
    let said = place.cfr(&["doctor"]).await;
    assert_eq!(said.code, Some(1));
    for part in [
        "webhook.secrets: a secret is shorter",
        "callback.secrets: a secret is shorter",
        "holds no queue",
        "CXONE_CLIENT_ID",
        "LLM_GATEWAY_API_KEY",
        "its host is not known",
    ] {
        assert!(said.out.contains(part), "{part} is missing in {}", said.out);
    }
    assert!(!said.out.contains("nowhere"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_apart_fail_an_unlisted_model_warns_and_a_token_is_spent_only_if_told() {
    let place = Place::embedded().await;
    let (running, shutdown) = place.serve().await;
    place.world.llm.next(MODELS, models(&["other"], 100));
    let said = place.cfr(&["doctor"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("NTP") && said.out.contains("does not list gpt-4o-mini"), "{}", said.out);
    place.world.llm.always(MODELS, Reply::status(404));
    let out = place.cfr(&["doctor"]).await.well();
    assert!(out.contains("--spend") && place.world.llm.requests_to(COMPLETIONS).is_empty(), "{out}");
    place.world.llm.next(COMPLETIONS, completion("p"));
    let out = place.cfr(&["doctor", "--spend"]).await.well();
    let asked = place.world.llm.requests_to(COMPLETIONS);
    assert!(out.contains("the first model answered") && asked.len() == 1, "{out}");
    assert_eq!(asked[0].json()["max_tokens"], 1);
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_queue_that_nobody_consumes_is_told() {
    let place = Place::embedded().await;
    place.queue().await.close().await;
    place.world.llm.always(MODELS, models(&["gpt-4o-mini"], 0));
    let said = place.cfr(&["doctor"]).await;
    assert!(said.code == Some(1) && said.out.contains("nobody consumes the work lane"), "{}", said.out);
    let (running, shutdown) = place.serve().await;
    let out = place.cfr(&["doctor"]).await.well();
    assert!(out.contains("1 on the work lane") && out.contains("1 on the outcome lane"), "{out}");
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
    let said = place.cfr(&["doctor"]).await;
    assert!(said.out.contains("nobody consumes the work lane"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_fails_with_its_name_where_the_broker_tells_it() {
    let (mut place, node) = Place::broker_alone().await;
    place.queue().await.close().await;
    node.set_alarm().await;
    let said = place.cfr(&["doctor", "--role", "ingress"]).await;
    assert_eq!(said.code, Some(1));
    for part in ["FAIL  alarms", "takes no messages", "rabbitmq-diagnostics", "ok    topology", "management_url"] {
        assert!(said.out.contains(part), "{part} is missing in {}", said.out);
    }
    place.environment.insert("CFR__QUEUE__RABBITMQ__MANAGEMENT_URL".into(), node.management().await);
    let said = place.cfr(&["doctor", "--role", "ingress"]).await;
    assert!(said.out.contains("says 503: disk"), "{}", said.out);
    node.clear_alarm().await;
    let out = place.cfr(&["doctor", "--role", "ingress"]).await.well();
    assert!(out.contains("ok    alarms"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_drops_dead_letters_and_a_missing_binding_fail_and_an_absent_node_warns() {
    let (mut place, node) = Place::broker_alone().await;
    place.queue().await.close().await;
    let management = node.management().await;
    place.environment.insert("CFR__QUEUE__RABBITMQ__MANAGEMENT_URL".into(), management.clone());
    let out = place.cfr(&["doctor", "--role", "ingress"]).await.well();
    assert!(!out.contains("cannot be looked at") && !out.contains("management_url"), "{out}");

    let url = place.environment["AMQP_URL"].clone();
    let vhost = url.rsplit('/').next().unwrap().to_owned();
    node.limit_queue_in(&vhost, "^fr\\.(dead|work)$", 1_000).await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_unbind("fr.outcome".into(), "fr.dlx".into(), "outcome".into(), Default::default()).await.unwrap();
    place.environment.insert("AMQP_URL".into(), format!("amqp://guest:guest@127.0.0.1:1/{vhost},{url}"));
    let said = place.cfr(&["doctor", "--role", "ingress"]).await;
    assert_eq!(said.code, Some(1));
    for part in [
        "FAIL  policy      policy limit sets max-length on fr.dead, which drops the oldest messages",
        "FAIL  topology    queue fr.outcome is not bound to fr.dlx with key outcome",
        "warn  nodes       a node does not answer: the queue is not reachable: 127.0.0.1:1",
    ] {
        assert!(said.out.contains(part), "{part} is missing in {}", said.out);
    }
    assert!(!said.out.contains("max-length on fr.work"), "that one refuses: {}", said.out);

    let strange = management.replace("http://", "http://nobody:hunter2@");
    place.environment.insert("CFR__QUEUE__RABBITMQ__MANAGEMENT_URL".into(), strange);
    let said = place.cfr(&["doctor", "--role", "ingress"]).await;
    assert!(said.out.contains("bindings cannot be looked at: the management API answers 401"), "{}", said.out);
    assert!(!said.out.contains("hunter2"), "{}", said.out);
    connection.close(200, "bye".into()).await.unwrap();
}

/// A deployment whose conversations come from `cxone_digital` of the simulated CXone.
fn with_digital(place: &mut Place, simulators: &Simulators) {
    for (name, value) in [
        ("CXONE_CLIENT_ID", CXONE_CLIENT_ID),
        ("CXONE_CLIENT_SECRET", CXONE_CLIENT_SECRET),
        ("CXONE_ACCESS_KEY_ID", CXONE_ACCESS_KEY_ID),
        ("CXONE_ACCESS_KEY_SECRET", CXONE_ACCESS_KEY_SECRET),
        ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", "cxone_digital"),
        ("CFR__PROFILES__DEFAULT__HISTORY__CXONE_DIGITAL__ENVIRONMENT_URL", simulators.cxone.url()),
        ("CFR__PROFILES__DEFAULT__HISTORY__CXONE_DIGITAL__EGRESS__ALLOW_HTTP", "true"),
        ("CFR__PROFILES__DEFAULT__HISTORY__CXONE_DIGITAL__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]"),
    ] {
        place.environment.insert(name.into(), value.into());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_to_a_digital_case_is_taken_and_the_first_that_fails_is_told_with_what_to_do() {
    let (mut place, simulators) = (Place::embedded().await, Simulators::start().await.unwrap());
    let (running, shutdown) = place.serve().await;
    place.world.llm.always(MODELS, models(&["gpt-4o-mini"], 0));
    with_digital(&mut place, &simulators);
    let out = place.cfr(&["doctor"]).await.well();
    for part in ["tokens come from 127.0.0.1", "gave a token for the access key", "its API is at 127.0.0.1"] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
    place.environment.insert("CXONE_ACCESS_KEY_SECRET".into(), "another-key-secret".into());
    let said = place.cfr(&["doctor"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("token: it answered 400; check access_key_id"), "{}", said.out);
    assert!(!said.out.contains("another-key-secret") && !said.out.contains("its API"), "{}", said.out);
    let settings = place.cfr(&["check-config"]).await;
    assert_eq!(settings.code, Some(0), "{}", settings.out);
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_a_json_api_is_looked_at_up_to_its_token() {
    let mut place = Place::embedded().await;
    let (running, shutdown) = place.serve().await;
    place.world.llm.always(MODELS, models(&["gpt-4o-mini"], 0));
    let http = |key: &str| format!("CFR__PROFILES__DEFAULT__HISTORY__HTTP__{key}");
    for (key, value) in [
        ("URL", place.world.cxone.url("/{conversationId}").replace("127.0.0.1", "localhost")),
        ("AUTH", "oauth2".to_owned()),
        ("OAUTH__TOKEN_URL", place.world.cxone.url(TOKEN)),
        ("OAUTH__CLIENT_ID", "id".to_owned()),
        ("OAUTH__CLIENT_SECRET", "an-oauth-secret".to_owned()),
        ("EGRESS__ALLOW_HTTP", "true".to_owned()),
        ("EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\", \"::1/128\"]".to_owned()),
    ] {
        place.environment.insert(http(key), value);
    }
    place.environment.insert("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER".into(), "http".into());
    let out = place.cfr(&["doctor"]).await.well();
    assert!(out.contains("history") && out.contains("it gave a token"), "{out}");
    place.world.cxone.next(TOKEN, Reply::status(403));
    let said = place.cfr(&["doctor"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("history.http.oauth") && !said.out.contains("an-oauth-secret"), "{}", said.out);
    place.environment.insert(http("EGRESS__ALLOW_PRIVATE_CIDRS"), "[\"127.0.0.1/32\"]".into());
    place.environment.insert(http("URL"), "http://nowhere.invalid/{conversationId}".into());
    let said = place.cfr(&["doctor"]).await;
    assert!(said.out.contains("its host is not known") && !said.out.contains("nowhere"), "{}", said.out);
    place.environment.insert(http("URL"), "http://127.0.0.1/{session}".into());
    let settings = place.cfr(&["check-config"]).await;
    assert_eq!(settings.code, Some(78));
    assert!(settings.err.contains("http.url") && settings.err.contains("{sessionId}"), "{}", settings.err);
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
}
