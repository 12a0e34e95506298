//! Traces: what a collector gets for one trigger, on both queues; and that it holds nothing that a customer wrote.

use std::collections::{BTreeMap, BTreeSet};

use cognigy_fallback_router::{app::Running, config::Role, message::Lane, shutdown::Shutdown, trigger::TriggerId};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::json;

use crate::{
    operator::Place,
    support::{
        app::{CALLBACK, COMPLETIONS, accepted, client, run, trigger},
        stub::{Reply, Stub},
    },
};

const TRACES: &str = "/v1/traces";

/// A span and the service it came from.
struct Seen {
    service: String,
    span: Span,
}

impl Seen {
    fn attribute(&self, name: &str) -> String {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        let value = self.span.attributes.iter().find(|attribute| attribute.key == name);
        match value.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => panic!("{name} of {}: {other:?}", self.span.name),
        }
    }
}

/// Every span that a collector was sent.
fn spans(collector: &Stub) -> Vec<Seen> {
    let mut seen = Vec::new();
    for request in collector.requests_to(TRACES) {
        let export = ExportTraceServiceRequest::decode(request.body.clone()).unwrap();
        for resource in export.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
            let service = format!("{:?}", service.value);
            let service = ["ingress", "worker", "serve"].into_iter().find(|name| service.contains(name)).unwrap();
            for scope in resource.scope_spans {
                seen.extend(scope.spans.into_iter().map(|span| Seen { service: service.to_owned(), span }));
            }
        }
    }
    seen
}

/// An ingress and a worker that trace to a collector.
struct Traced {
    place: Place,
    collector: Stub,
    ingress: Running,
    worker: Running,
    shutdown: Shutdown,
}

impl Traced {
    async fn start(mut place: Place) -> Self {
        let collector = Stub::start().await;
        collector.always(TRACES, Reply::status(200));
        place.environment.insert("CFR__TRACES__ENDPOINT".into(), collector.url(""));
        let shutdown = Shutdown::default();
        let ingress = run(&place.environment, Role::Ingress, shutdown.clone()).await;
        let worker = run(&place.environment, Role::Worker, shutdown.clone()).await;
        ingress.queue.ready().await.unwrap();
        Self { place, collector, ingress, worker, shutdown }
    }

    async fn accepted(&self) -> TriggerId {
        let mut body = trigger();
        body["lastMessage"] = json!("MARKER-OF-A-CUSTOMER");
        body["metadata"] = json!({"note": "MARKER-OF-A-CUSTOMER"});
        accepted(&client(), &self.ingress, &body).await
    }

    /// Ends both, so that every span has left.
    async fn stop(self) -> (Vec<Seen>, Stub) {
        self.shutdown.drain.cancel();
        assert!(self.ingress.ended().await.unwrap() && self.worker.ended().await.unwrap());
        (spans(&self.collector), self.collector)
    }
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

async fn one_trace(place: Place, system: &str) {
    let traced = Traced::start(place).await;
    traced.place.world.llm.next(COMPLETIONS, Reply::status(500));
    let id = traced.accepted().await;
    let callback = traced.place.world.callback_of(id).await;
    assert!(!callback.headers.contains_key("traceparent"), "others are not told of our traces");
    let (spans, collector) = traced.stop().await;

    let trace_ids: BTreeSet<_> = spans.iter().map(|seen| hex(&seen.span.trace_id)).collect();
    assert_eq!(trace_ids.len(), 1, "{:?}", spans.iter().map(|seen| &seen.span.name).collect::<Vec<_>>());
    let by_id: BTreeMap<_, _> = spans.iter().map(|seen| (seen.span.span_id.clone(), seen)).collect();
    let parent = |seen: &Seen| by_id.get(&seen.span.parent_span_id).map_or("", |parent| parent.span.name.as_str());
    let mut told: Vec<_> = spans
        .iter()
        .map(|seen| (seen.service.as_str(), seen.span.kind(), seen.span.name.as_str(), parent(seen)))
        .collect();
    told.sort_by_key(|(_, _, name, _)| *name);
    let receive = "POST /webhook/cognigy/fallback/{profile}";
    assert_eq!(
        told,
        [
            ("ingress", SpanKind::Server, receive, ""),
            ("worker", SpanKind::Client, "POST callback", "process outcome"),
            ("worker", SpanKind::Client, "chat gpt-4o-mini", "process work"),
            ("worker", SpanKind::Client, "chat gpt-4o-mini", "process work"),
            ("worker", SpanKind::Client, "fetch history", "process work"),
            ("worker", SpanKind::Consumer, "process outcome", "send outcome"),
            ("worker", SpanKind::Consumer, "process work", "send work"),
            ("worker", SpanKind::Producer, "send outcome", "process work"),
            ("ingress", SpanKind::Producer, "send work", receive),
        ]
    );
    let named = |name: &str| spans.iter().filter(|seen| seen.span.name == name).collect::<Vec<_>>();
    assert_eq!(named("send work")[0].attribute("messaging.system"), system);
    assert_eq!(named("process work")[0].attribute("messaging.message.id"), id.to_string());
    assert_eq!(named("send outcome")[0].attribute("cfr.status"), "success");
    let mut statuses: Vec<_> =
        named("chat gpt-4o-mini").iter().map(|seen| seen.attribute("http.response.status_code")).collect();
    statuses.sort();
    assert_eq!(statuses, ["200", "500"]);
    let answered =
        named("chat gpt-4o-mini").into_iter().find(|seen| seen.attribute("http.response.status_code") == "200");
    assert_eq!(answered.unwrap().attribute("gen_ai.usage.input_tokens"), "340");
    for request in collector.requests() {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        for content in ["MARKER", "password", "user-external", "a1b2c3d4-e5f6", "127.0.0.1"] {
            assert!(!text.contains(content), "{content} left in a trace");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_the_request_to_the_callback_on_the_embedded_queue() {
    one_trace(Place::embedded().await, "embedded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_the_request_to_the_callback_on_rabbitmq() {
    one_trace(Place::broker().await, "rabbitmq").await;
}

/// A replay is a trace of its own; it points to the first one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_a_trace_of_its_own_with_a_link() {
    let traced = Traced::start(Place::embedded().await).await;
    traced.place.world.sink.next(CALLBACK, Reply::status(410));
    let id = traced.accepted().await;
    while traced.worker.queue.depths().await.unwrap().dead == 0 {
        tokio::task::yield_now().await;
    }
    traced.place.cfr(&["dead-letters", "replay", &id.to_string()]).await.well();
    traced.place.world.callbacks_of(id, 2).await;
    let (spans, _) = traced.stop().await;
    let replayed = spans.iter().find(|seen| seen.span.name == "process outcome" && seen.attribute("cfr.replay") == "1");
    let replayed = &replayed.unwrap().span;
    let first = spans.iter().find(|seen| seen.span.name == "send outcome").unwrap();
    assert_ne!(replayed.trace_id, first.span.trace_id);
    assert_eq!(replayed.links.len(), 1);
    assert_eq!((&replayed.links[0].trace_id, &replayed.links[0].span_id), (&first.span.trace_id, &first.span.span_id));
}

/// What came back unsettled is a trace of its own, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_is_a_trace_of_its_own_with_a_link() {
    let mut place = Place::embedded().await;
    let collector = Stub::start().await;
    collector.always(TRACES, Reply::status(200));
    place.environment.insert("CFR__TRACES__ENDPOINT".into(), collector.url(""));
    let shutdown = Shutdown::default();
    let ingress = run(&place.environment, Role::Ingress, shutdown.clone()).await;
    let id = accepted(&client(), &ingress, &trigger()).await;
    // Somebody takes it and dies.
    let mut consumer = ingress.queue.consumer(Lane::Work, std::num::NonZeroU16::MIN).await.unwrap();
    drop(consumer.next().await.unwrap().unwrap());
    consumer.stop().await;
    drop(consumer);
    let worker = run(&place.environment, Role::Worker, shutdown.clone()).await;
    place.world.callback_of(id).await;
    shutdown.drain.cancel();
    assert!(ingress.ended().await.unwrap() && worker.ended().await.unwrap());
    let spans = spans(&collector);
    let sent = &spans.iter().find(|seen| seen.span.name == "send work").unwrap().span;
    let processed = &spans.iter().find(|seen| seen.span.name == "process work").unwrap().span;
    assert_ne!(processed.trace_id, sent.trace_id);
    assert_eq!(processed.links[0].span_id, sent.span_id);
}

/// Off is the default; a trigger carries nothing then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_endpoint_nothing_is_traced() {
    let place = Place::embedded().await;
    let shutdown = Shutdown::default();
    let ingress = run(&place.environment, Role::Ingress, shutdown.clone()).await;
    accepted(&client(), &ingress, &trigger()).await;
    let mut consumer = ingress.queue.consumer(Lane::Work, std::num::NonZeroU16::MIN).await.unwrap();
    let delivery = consumer.next().await.unwrap().unwrap();
    assert_eq!(delivery.message.envelope.traceparent, None);
    drop(delivery);
    shutdown.drain.cancel();
    ingress.ended().await.unwrap();
}
