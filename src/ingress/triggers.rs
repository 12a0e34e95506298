//! `POST /webhook/cognigy/fallback[/{profile}]`.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Ingress,
    error::Rejection,
    known::{Known, Ticket},
    polls,
    prefer::{self, Prefer},
    signed::Signed,
    to_the_end::ToTheEnd,
};
use crate::{
    message::{ConversationKey, Envelope, Lane, Message, NewerTrigger},
    metrics::{
        InFlight,
        labels::{Label as _, Polled, Webhook, WebhookClass},
    },
    queue::{
        QueueError,
        notice::{Notice, Notices, Topic},
    },
    telemetry::{
        names,
        spans::{self, KeyValue, Origin, Span, SpanKind},
    },
    trigger::{Trigger, TriggerId},
};

/// Stores a signed trigger in the work lane and answers `202` once the queue has confirmed it; a request that prefers to
/// wait, and whose outcome comes in that time, with `200` and the outcome.
pub(super) async fn receive_trigger(
    State(ingress): State<Arc<Ingress>>,
    prefer: Prefer,
    signed: Signed<Trigger>,
) -> Result<Response, Rejection> {
    let accepted = queue(&ingress, signed).await?;
    let asked = ingress.asked(&accepted.profile, accepted.id);
    let Some(((answers, asked), wait)) = asked.zip(prefer.wait) else { return Ok(accepted.into_response()) };
    let mut response = match answers.outcome_of(asked, wait).await {
        Ok(Some(outcome)) => {
            let mut response = polls::answer(outcome);
            response.extensions_mut().insert(accepted.label());
            response
        }
        Ok(None) => accepted.into_response(),
        Err(_) => return Ok(accepted.into_response()),
    };
    response.headers_mut().extend([prefer::applied(wait)]);
    response.extensions_mut().insert(Held);
    Ok(response)
}

/// Marks the answer to a request that was held: its time says nothing about the ingress.
#[derive(Clone, Copy)]
struct Held;

async fn queue(ingress: &Ingress, signed: Signed<Trigger>) -> Result<Accepted, Rejection> {
    let (id, profile) = (signed.value.id, signed.value.profile.clone());
    let mut newer = newer(ingress, &signed.value);
    let known = if signed.repeatable { Some(ingress.known.look_up(id)) } else { None };
    let (ending, duplicate) = match known {
        Some(Known::Accepted) => (Ok(()), true),
        Some(Known::UnderWay(mut ending)) => {
            let ended = ending.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
            (ended.unwrap_or_else(|| Err(QueueError::Unknown("the first request was lost".to_owned()))), true)
        }
        Some(Known::New(ticket)) => {
            if let Some((_, newer)) = &mut newer {
                newer.accepted_at = newer.accepted_at.min(ticket.first_seen);
            }
            (publish(ingress, signed, Some(ticket)).await, false)
        }
        None => (publish(ingress, signed, None).await, false),
    };
    ending.map_err(Rejection::QueueUnavailable)?;
    if let (Some((notices, newer)), false) = (newer, duplicate)
        && let Ok(body) = serde_json::to_vec(&newer)
    {
        notices.publish(Notice { topic: Topic::Accepted, body: body.into() });
    }
    Ok(Accepted { id, profile, duplicate })
}

/// What workers are told, where a trigger of this profile supersedes older ones.
fn newer<'i>(ingress: &'i Ingress, trigger: &Trigger) -> Option<(&'i dyn Notices, NewerTrigger)> {
    let notices = ingress.notices.as_deref()?;
    ingress.profile(&trigger.profile).filter(|profile| profile.supersede)?;
    let conversation = ConversationKey::of(&trigger.profile, &trigger.body.conversation_id);
    Some((notices, NewerTrigger { conversation, trigger_id: trigger.id, accepted_at: trigger.accepted_at }))
}

/// Publishes, and notes for polls what was stored. With a ticket to the end: a client that goes away must not take with it
/// what its repeat waits for.
async fn publish(ingress: &Ingress, signed: Signed<Trigger>, ticket: Option<Ticket>) -> Result<(), QueueError> {
    ingress.publisher.admit()?;
    let Trigger { id, deadline, .. } = signed.value;
    let asked = ingress.asked(&signed.value.profile, id).map(|(answers, asked)| (Arc::clone(answers), asked));
    let mut message = message(signed);
    let span = sending(&mut message);
    let publisher = Arc::clone(&ingress.publisher);
    let storing = async move {
        let ending = sent(span, publisher.publish(Lane::Work, &message).await);
        if let (Ok(()), Some((answers, asked))) = (&ending, asked) {
            answers.accepted(asked, deadline.since(SystemTime::now().into()));
        }
        ending
    };
    let Some(ticket) = ticket else { return storing.await };
    let stored = ToTheEnd::new(async move {
        let ending = storing.await;
        ticket.end(ending.clone());
        ending
    });
    let stored = AssertUnwindSafe(stored).catch_unwind().await;
    stored.unwrap_or_else(|_| Err(QueueError::Unknown("the publish panicked".to_owned())))
}

/// The span in which a message is stored; the message carries it on.
fn sending(message: &mut Message) -> Span {
    let id = message.envelope.trigger_id;
    let mut span = spans::child(SpanKind::Producer, || {
        let attributes = vec![
            KeyValue::new(names::MESSAGING_OPERATION, names::SEND),
            KeyValue::new(names::MESSAGING_DESTINATION, Lane::Work.as_str()),
            KeyValue::new(names::MESSAGING_ID, id.to_string()),
            KeyValue::new(names::PROFILE, message.envelope.profile.clone()),
        ];
        (format!("{} {}", names::SEND, Lane::Work.as_str()).into(), attributes)
    });
    let system = span.system();
    span.set(names::MESSAGING_SYSTEM, system);
    message.envelope.traceparent = span.traceparent();
    span
}

fn sent(mut span: Span, ending: Result<(), QueueError>) -> Result<(), QueueError> {
    match &ending {
        Ok(()) => {}
        Err(QueueError::Refused { .. }) => span.fail("refused"),
        Err(QueueError::Unreachable(_)) => span.fail("unreachable"),
        Err(QueueError::Unknown(_)) => span.fail("unknown"),
        Err(QueueError::Unusable(_)) => span.fail("unusable"),
    }
    ending
}

fn message(signed: Signed<Trigger>) -> Message {
    let Trigger { id, profile, accepted_at, deadline, body } = signed.value;
    let envelope = Envelope {
        session_id: body.session_id,
        language: body.language,
        callback: body.callback_url,
        ..Envelope::first(id, profile, body.conversation_id, body.user_id, accepted_at, deadline)
    };
    Message { envelope, body: signed.raw }
}

/// The answer to an accepted trigger.
pub(super) struct Accepted {
    id: TriggerId,
    profile: String,
    duplicate: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Accepted)]
pub(super) struct AcceptedBody {
    /// The trigger's id: the `webhook-id` of its callback.
    trigger_id: TriggerId,
    /// `accepted`.
    #[schema(value_type = String)]
    status: &'static str,
}

impl Accepted {
    fn label(&self) -> Webhook {
        if self.duplicate { Webhook::Duplicate } else { Webhook::Accepted }
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let body = AcceptedBody { trigger_id: self.id, status: "accepted" };
        let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
        // Profile names are checked when the settings are read: letters, digits, `-` and `_`.
        if let Ok(location) = HeaderValue::try_from(format!("/v1/triggers/{}/{}", self.profile, self.id)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response.extensions_mut().insert(self.label());
        response
    }
}

/// The span of a request. A stranger's trace is only pointed to: whether ours is kept is not for others to say.
fn begin(ingress: &Ingress, request: &Request) -> Span {
    let given = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    ingress.tracer.begin(SpanKind::Server, Origin::Linked(given), || {
        let path = request.uri().path();
        let route = if path.starts_with("/webhook/cognigy/fallback") {
            names::RECEIVE
        } else if path.starts_with("/v1/triggers/") {
            names::LOOK_UP
        } else {
            names::OTHER_REQUEST
        };
        let method = if *request.method() == http::Method::POST { "POST" } else { "GET" };
        let route_only = route.split(' ').nth(1).unwrap_or(route);
        let attributes = vec![KeyValue::new(names::HTTP_METHOD, method), KeyValue::new(names::HTTP_ROUTE, route_only)];
        (route.into(), attributes)
    })
}

/// Counts and times every answer, and turns a panic into a `500` whose id stands in the log.
pub(super) async fn observe(State(ingress): State<Arc<Ingress>>, request: Request, next: Next) -> Response {
    let metrics = &ingress.metrics;
    let started = Instant::now();
    let in_flight = InFlight::count(&metrics.webhook_in_flight);
    let mut span = begin(&ingress, &request);
    let response = AssertUnwindSafe(span.scope(next.run(request))).catch_unwind().await;
    drop(in_flight);
    let response = response.unwrap_or_else(|_| {
        let id = TriggerId(Uuid::now_v7());
        tracing::error!(event = "request_panicked", error_id = %id, "a request could not be answered");
        Rejection::Internal(id).into_response()
    });
    if let Some(polled) = response.extensions().get::<Polled>() {
        metrics.polls.get(*polled).inc();
        return response;
    }
    let label = response.extensions().get::<Webhook>().copied().unwrap_or(Webhook::Malformed);
    let class = match response.status().as_u16() {
        200..=299 => WebhookClass::Accepted,
        500.. => WebhookClass::Error,
        _ => WebhookClass::Rejected,
    };
    span.set(names::HTTP_STATUS, i64::from(response.status().as_u16()));
    if class == WebhookClass::Error {
        span.fail(label.as_str());
    }
    metrics.webhook_requests.get(label).inc();
    if response.extensions().get::<Held>().is_none() {
        metrics.webhook_duration.get(class).observe(started.elapsed().as_secs_f64());
    }
    response
}
