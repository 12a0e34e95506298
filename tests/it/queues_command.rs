//! `cfr queues declare`, `cfr healthcheck` and `cfr completions`: the real command.

use cognigy_fallback_router::config::Role;
use lapin::{Connection, ConnectionProperties, options::QueueDeclareOptions, types::FieldTable};

use crate::operator::Place;

async fn declared_twice(place: Place) {
    for _ in 0..2 {
        let out = place.cfr(&["queues", "declare"]).await.well();
        assert!(out.contains("everything is declared"), "{out}");
    }
    // A service that may not declare is content with what it finds.
    let doctor = place.cfr(&["doctor", "--role", "ingress"]).await.out;
    assert!(doctor.contains("topology    as declared"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_declared_once_and_again_on_the_embedded_queue() {
    declared_twice(Place::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_declared_once_and_again_on_rabbitmq() {
    declared_twice(Place::broker().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_declared_otherwise_is_named_with_what_to_do() {
    let place = Place::broker().await;
    let connection = Connection::connect(&place.environment["AMQP_URL"], ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_declare("fr.work".into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    let said = place.cfr(&["queues", "declare"]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("fr.work") && said.err.contains("empty and delete"), "{}", said.err);
    connection.close(200, "bye".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_said_within_the_limit() {
    let mut place = Place::embedded().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    place.environment.insert("CFR__QUEUE__BACKEND".into(), "rabbitmq".into());
    place.environment.insert("CFR__QUEUE__RABBITMQ__CONNECT_TIMEOUT".into(), "200ms".into());
    place.environment.insert("AMQP_URL".into(), format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    let said = place.cfr(&["queues", "declare"]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("check that the broker runs"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthcheck_tells_a_ready_service_from_one_that_is_not_and_from_none() {
    let mut place = Place::embedded().await;
    let (running, shutdown) = place.serve().await;
    let url = |path: &str| format!("http://{}{path}", running.admin);
    let out = place.cfr(&["healthcheck", &url("/readyz")]).await.well();
    assert!(out.contains("queue connected"), "{out}");
    assert_eq!(place.cfr(&["healthcheck", &url("/nowhere")]).await.code, Some(1));
    // Without an URL it asks where the settings say that a service listens.
    place.environment.insert("CFR__ADMIN__LISTEN".into(), format!("0.0.0.0:{}", running.admin.port()));
    place.cfr(&["healthcheck"]).await.well();
    shutdown.drain.cancel();
    assert!(running.ended().await.unwrap());
    let said = place.cfr(&["healthcheck"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("does the service run"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthcheck_of_a_worker_without_its_broker_fails_and_of_an_ingress_does_not() {
    let mut place = Place::embedded().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    place.environment.insert("CFR__QUEUE__BACKEND".into(), "rabbitmq".into());
    place.environment.insert("AMQP_URL".into(), format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    for (role, code) in [(Role::Ingress, 0), (Role::Worker, 1)] {
        let shutdown = cognigy_fallback_router::shutdown::Shutdown::default();
        let running = crate::support::app::run(&place.environment, role, shutdown.clone()).await;
        let said = place.cfr(&["healthcheck", &format!("http://{}/readyz", running.admin)]).await;
        assert_eq!(said.code, Some(code), "{role:?}: {}", said.err);
        shutdown.drain.cancel();
        running.ended().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_know_the_verbs_in_every_shell() {
    let place = Place::embedded().await;
    for shell in ["bash", "zsh", "fish"] {
        let out = place.cfr(&["completions", shell]).await.well();
        for verb in ["dead-letters", "healthcheck", "check-config"] {
            assert!(out.contains(verb), "{verb} in {shell}");
        }
    }
}
