//! Holds and polls over two replicas of the ingress, and what a hold costs.

use std::{collections::BTreeMap, process::Stdio};

use cognigy_fallback_router::{config::Role, shutdown::Shutdown};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use super::*;
use crate::support::app::{run, signed};

const HOLDS: usize = 256;

/// Two ingresses that hear of each other's triggers, and a worker: everybody who waits gets the synchronous answer of the
/// original service, and every replica knows it afterwards.
async fn everybody_is_answered_and_everybody_knows(place: Place) {
    let shutdown = Shutdown::default();
    let start = async |role| run(&place.environment, role, shutdown.clone()).await;
    let (one, other, worker) = (start(Role::Ingress).await, start(Role::Ingress).await, start(Role::Worker).await);
    // One client: to build one takes a while, and 256 of them would keep connections waiting for their first byte.
    let client = client();
    // Both listen once each knows an outcome that the other one accepted.
    for (accepts, asked) in [(&one, &other), (&other, &one)] {
        loop {
            let answer = wait(accepts, &trigger(), 1).await;
            if answer.status == 200 && poll(asked, answer.id(), Some(1)).await.body["status"] == "done" {
                break;
            }
        }
    }
    slow_model(&place.world, Duration::from_millis(200));
    let replicas = [&one, &other];
    for (number, answer) in at_once(&client, replicas, HOLDS).await {
        assert_eq!((&answer.body["status"], &answer.body["routing_decision"]), (&json!("success"), &decision()));
        assert_eq!(names(&answer.body["routing_decision"]).len(), 5);
        assert_eq!(answer.body["conversationId"], trigger()["conversationId"]);
        assert_eq!(answer.body["metadata"]["number"], number, "everybody gets their own");
        // Whoever accepted it, every replica knows the outcome.
        assert_eq!(asked_again(replicas[(number + 1) % 2], answer.id()).await, answer.body);
    }
    place.world.llm.always(COMPLETIONS, completion("I would say that this is about a password."));
    for (number, answer) in at_once(&client, replicas, HOLDS / 4).await {
        assert_eq!(answer.body["status"], "schema_validation_failed");
        assert!(answer.body["error"].is_string() && answer.body["suggested_response"].is_string());
        assert_eq!(answer.body["fallback_action"], "route_to_human");
        assert_eq!(answer.body["metadata"]["number"], number);
    }
    shutdown.drain.cancel();
    for running in [one, other, worker] {
        assert!(running.ended().await.unwrap());
    }
}

/// So many requests that wait, all at once, half of them at each replica; who gets which answer.
async fn at_once(client: &reqwest::Client, replicas: [&Running; 2], count: usize) -> Vec<(usize, Answer)> {
    let holds = (0..count).map(async |number| (number, held_trigger(client, replicas[number % 2], number).await));
    futures_util::future::join_all(holds).await
}

/// Posts a trigger and waits for its outcome, as the original's synchronous request did, until it has got it: a queue that
/// has no room for so many at once on a busy machine, or an outcome that takes longer than 20 s there, is asked for again
/// with the same key.
async fn held_trigger(client: &reqwest::Client, running: &Running, number: usize) -> Answer {
    let mut body = trigger();
    body["metadata"] = json!({"number": number});
    let key = uuid::Uuid::now_v7().to_string();
    loop {
        let request = signed(client, &webhook(running), &body).header("prefer", "wait=20");
        // A connection that such a machine could not serve in time is the sender's to make again.
        let Ok(response) = request.header("idempotency-key", &key).send().await else { continue };
        let answer = Answer::read(response).await;
        match answer.status {
            200 => return answer,
            202 => {}
            408 | 503 => tokio::time::sleep(Duration::from_millis(200)).await,
            status => panic!("{status}: {}", answer.body),
        }
    }
}

/// Asks, and waits, until it is done.
async fn asked_again(running: &Running, id: TriggerId) -> Value {
    loop {
        let answer = poll(running, id, Some(20)).await;
        if answer.body["status"] == "done" {
            return answer.outcome().clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_answer_256_requests_that_wait_at_once_and_both_know_every_outcome_on_rabbitmq() {
    everybody_is_answered_and_everybody_knows(Place::broker().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_answer_256_requests_that_wait_at_once_and_both_know_every_outcome_on_the_embedded_queue() {
    everybody_is_answered_and_everybody_knows(Place::embedded().await).await;
}

/// The real ingress without a worker: whoever waits, waits.
async fn ingress(environment: &BTreeMap<String, String>, folder: &TempDir) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ingress"))
        .env_clear()
        .envs(environment)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(webhook) = line["webhook"].as_str().or_else(|| line["fields"]["webhook"].as_str()) {
            let webhook = webhook.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, webhook);
        }
    }
    panic!("it did not start");
}

fn resident(child: &Child) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<usize>().unwrap() * 1024
}

/// How many requests are held now.
async fn held(admin: &str) -> usize {
    let text = client().get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("cfr_held_requests ")).unwrap();
    line.parse().unwrap()
}

/// So many requests at once, each on a connection of its own.
fn requests(webhook: &str, count: usize, seconds: u32) -> JoinSet<Answer> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        requests.spawn(Answer::of(signed(&client(), webhook, &trigger()).header("prefer", format!("wait={seconds}"))));
    }
    requests
}

/// What a request takes until it is held, and the allocator keeps, is not what holding costs: so a wave that waits for
/// nothing comes first. A slow machine may not get all of them held at once; then so many as there are count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_request_costs_no_more_than_40_kib() {
    let place = Place::embedded().await;
    let folder = TempDir::new().unwrap();
    let mut environment = place.environment.clone();
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    environment.insert("CFR__ADMIN__LISTEN".to_owned(), admin.clone());
    let (child, webhook) = ingress(&environment, &folder).await;
    for answer in requests(&webhook, HOLDS, 0).join_all().await {
        assert_eq!(answer.status, 202);
    }
    let each = loop {
        let before = resident(&child);
        let mut holds = requests(&webhook, HOLDS, 20);
        let mut ended = None;
        while ended.is_none() {
            let now = held(&admin).await;
            if now == HOLDS {
                break;
            }
            ended = holds.try_join_next();
        }
        let (now, resident) = (held(&admin).await, resident(&child));
        if now >= HOLDS / 2 {
            break resident.saturating_sub(before) / now;
        }
    };
    assert!(each <= 40 * 1024, "{each} bytes each");
}
