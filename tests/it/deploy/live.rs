//! A real Prometheus scrapes a real run with faults in it, on a real broker: every query finds data, and what is broken
//! is told, up to the receiver of alerts.

use std::time::Duration;

use cognigy_fallback_router::{app::Running, config::Role, shutdown::Shutdown};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    names,
    prometheus::{Job, Prometheus},
    queries,
};
use crate::support::{
    app::{CALLBACK, COMPLETIONS, SUMMARIES, World, accepted, client, completion, run, trigger},
    broker::{self, Vhost},
    stub::{Reply, Stub},
};

/// Longer than a healthy run needs several times over; past it, what is missing is said.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often another process is asked whether it has come so far; it has no other way to say so.
const LOOK: Duration = Duration::from_millis(500);

struct Stack {
    world: World,
    ingress: Running,
    worker: Running,
    worker_shutdown: Shutdown,
    client: reqwest::Client,
}

impl Stack {
    async fn start(vhost: &Vhost) -> Self {
        let world = World::start().await;
        let mut environment = world.environment();
        environment.insert("AMQP_URL".to_owned(), vhost.url.clone());
        environment.insert("LLM_MODEL".to_owned(), "gpt-4o-mini".to_owned());
        let ingress = run(&environment, Role::Ingress, Shutdown::default()).await;
        let worker_shutdown = Shutdown::default();
        let worker = run(&environment, Role::Worker, worker_shutdown.clone()).await;
        ingress.queue.ready().await.unwrap();
        worker.queue.ready().await.unwrap();
        Self { world, ingress, worker, worker_shutdown, client: client() }
    }

    /// Some triggers, with one fault of each kind among them.
    async fn traffic(&self) {
        self.world.llm.next(COMPLETIONS, Reply::status(429).header("retry-after", "0"));
        self.world.llm.next(COMPLETIONS, completion("I would rather talk about something else."));
        self.world.cxone.next(SUMMARIES, Reply::status(401));
        self.world.cxone.next(SUMMARIES, Reply::status(500));
        self.world.sink.next(CALLBACK, Reply::status(503));
        self.world.sink.next(CALLBACK, Reply::status(410));
        for number in 0..6 {
            self.trigger(number).await;
        }
        let url = format!("http://{}/webhook/cognigy/fallback", self.ingress.webhook.unwrap());
        for _ in 0..6 {
            let forged = self.client.post(&url).header("content-type", "application/json").body("{}");
            let answer = forged.header("x-webhook-signature", "0".repeat(64)).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 403);
        }
    }

    async fn trigger(&self, number: u32) {
        let mut body = trigger();
        body["conversationId"] = json!(format!("live-{number}"));
        body["deadlineMs"] = json!(4_000);
        accepted(&self.client, &self.ingress, &body).await;
    }

    fn jobs(&self, node: &broker::Node, vhost: &Vhost) -> Vec<Job> {
        let job = |name, target, rest: &str| Job { name, target, rest: rest.to_owned() };
        let families = "family: [queue_coarse_metrics, queue_consumer_count]";
        let queues = format!(", metrics_path: /metrics/detailed, params: {{vhost: [{}], {families}}}", vhost.name);
        vec![
            job("cfr-ingress", self.ingress.admin, ""),
            job("cfr-worker", self.worker.admin, ""),
            job("rabbitmq", node.metrics(), ""),
            job("rabbitmq-queues", node.metrics(), &queues),
        ]
    }
}

/// Traffic until every one of the queries has data, and everything that a rule looks at: an alert that is silent because
/// it looks at nothing is no alert.
async fn until_all_have_data(stack: &Stack, prometheus: &Prometheus) {
    let shown = [queries::dashboard(), queries::console(), names::looked_at(&queries::rules())];
    let mut missing: Vec<_> = shown.into_iter().flatten().collect();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let all = async {
        while !missing.is_empty() {
            looks.tick().await;
            stack.traffic().await;
            let mut still = Vec::new();
            for query in std::mem::take(&mut missing) {
                let text = query.over("30s").replace("127.0.0.1:9464", &stack.worker.admin.to_string());
                if !prometheus.has_data(&text).await {
                    still.push(query);
                }
            }
            missing = still;
        }
    };
    let in_time = timeout(PATIENCE, all).await.is_ok();
    let missing: Vec<_> = missing.iter().map(|query| format!("{}: {}", query.place, query.text)).collect();
    assert!(in_time, "no data: {missing:#?}\n{}", prometheus.logs());
}

/// Waits until all of these alerts have fired, each at some time, while triggers flow.
async fn until_fired(stack: &Stack, prometheus: &Prometheus, wanted: &[&str], flowing: bool) -> Vec<String> {
    let mut seen = Vec::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let all = async {
        while !wanted.iter().all(|name| seen.iter().any(|fired| fired == name)) {
            looks.tick().await;
            if flowing {
                stack.trigger(1_000).await;
            }
            seen.extend(prometheus.firing().await);
        }
    };
    let in_time = timeout(PATIENCE, all).await.is_ok();
    assert!(in_time, "of {wanted:?} only {seen:?} fired\n{}", prometheus.logs());
    seen
}

/// Waits until the receiver was told of an alert, while triggers flow: without any a circuit is no longer open, and its alert
/// may be over before it is told.
async fn until_told(stack: &Stack, receiver: &Stub, path: &str, alert: &str) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = async {
        loop {
            looks.tick().await;
            stack.trigger(1_000).await;
            let told = receiver.requests_to(path);
            if told.iter().any(|request| String::from_utf8_lossy(&request.body).contains(alert)) {
                return;
            }
        }
    };
    assert!(timeout(PATIENCE, told).await.is_ok(), "{alert} did not come to {path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_finds_data_for_every_query_and_tells_what_is_broken() {
    let node = broker::shared().await;
    let vhost = node.vhost().await;
    let stack = Stack::start(&vhost).await;
    let receiver = Stub::start().await;
    receiver.always("/page", Reply::status(200)).always("/ticket", Reply::status(200));
    let prometheus = Prometheus::start(&stack.jobs(&node, &vhost), &receiver.url("")).await;

    until_all_have_data(&stack, &prometheus).await;
    let mut seen =
        until_fired(&stack, &prometheus, &["CfrDeadLetters", "CfrDeadLettersWaiting", "CfrSignatureFailures"], true)
            .await;
    let page = prometheus.ask("/consoles/cfr.html", &[]).await.expect("the console page");
    assert!(page.contains("CfrDeadLetters") && page.contains(&stack.worker.admin.to_string()), "{page}");

    stack.world.llm.always(COMPLETIONS, Reply::status(503));
    seen.extend(until_fired(&stack, &prometheus, &["CfrCircuitOpen", "CfrErrorBudgetBurn"], true).await);
    until_told(&stack, &receiver, "/page", "CfrCircuitOpen").await;
    until_told(&stack, &receiver, "/ticket", "CfrSignatureFailures").await;

    stack.worker_shutdown.drain.cancel();
    stack.worker_shutdown.abort.cancel();
    seen.extend(until_fired(&stack, &prometheus, &["CfrNoConsumers"], false).await);
    for healthy in ["CfrWorkerPanics", "CfrVersionSkew", "CfrCostHigh", "CfrTokenExpiring", "CfrIngressFailing"] {
        assert!(!seen.iter().any(|name| name == healthy), "{healthy} fired for nothing");
    }
}
