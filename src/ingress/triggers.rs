//! `POST /webhook/cognigy/fallback[/{profile}]`.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Ingress,
    error::Rejection,
    known::{Known, Ticket},
    signed::Signed,
};
use crate::{
    message::{ENVELOPE_VERSION, Envelope, Lane, Message, Tries},
    metrics::{
        InFlight,
        labels::{Webhook, WebhookClass},
    },
    queue::QueueError,
    trigger::{Trigger, TriggerId},
};

/// Stores a signed trigger in the work lane and answers `202` once the queue has confirmed it.
pub(super) async fn receive_trigger(
    State(ingress): State<Arc<Ingress>>,
    signed: Signed<Trigger>,
) -> Result<Accepted, Rejection> {
    let (id, profile) = (signed.value.id, signed.value.profile.clone());
    let known = if signed.repeatable { Some(ingress.known.look_up(id)) } else { None };
    let (ending, duplicate) = match known {
        Some(Known::Accepted) => (Ok(()), true),
        Some(Known::UnderWay(mut ending)) => {
            let ended = ending.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
            (ended.unwrap_or_else(|| Err(QueueError::Unknown("the first request was lost".to_owned()))), true)
        }
        Some(Known::New(ticket)) => (publish(&ingress, signed, Some(ticket)).await, false),
        None => (publish(&ingress, signed, None).await, false),
    };
    ending.map(|()| Accepted { id, profile, duplicate }).map_err(Rejection::QueueUnavailable)
}

/// Publishes. With a ticket in a task of its own: a client that goes away must not take with it what its repeat waits
/// for.
async fn publish(ingress: &Ingress, signed: Signed<Trigger>, ticket: Option<Ticket>) -> Result<(), QueueError> {
    ingress.publisher.admit()?;
    let message = message(signed);
    let Some(ticket) = ticket else { return ingress.publisher.publish(Lane::Work, &message).await };
    let publisher = Arc::clone(&ingress.publisher);
    let stored = tokio::spawn(async move {
        let ending = publisher.publish(Lane::Work, &message).await;
        ticket.end(ending.clone());
        ending
    });
    stored.await.unwrap_or_else(|_| Err(QueueError::Unknown("the publish panicked".to_owned())))
}

fn message(signed: Signed<Trigger>) -> Message {
    let Trigger { id, profile, accepted_at, deadline, body } = signed.value;
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        trigger_id: id,
        profile,
        conversation_id: body.conversation_id,
        user_id: body.user_id,
        session_id: body.session_id,
        language: body.language,
        accepted_at,
        deadline,
        stored_at: None,
        attempt: 1,
        not_before: None,
        callback: body.callback_url,
        reason: None,
        replay: 0,
        tries: Tries::default(),
        traceparent: None,
    };
    Message { envelope, body: signed.raw }
}

/// The answer to an accepted trigger.
pub(super) struct Accepted {
    id: TriggerId,
    profile: String,
    duplicate: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedBody {
    trigger_id: TriggerId,
    status: &'static str,
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let body = AcceptedBody { trigger_id: self.id, status: "accepted" };
        let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
        // Profile names are checked when the settings are read: letters, digits, `-` and `_`.
        if let Ok(location) = HeaderValue::try_from(format!("/v1/triggers/{}/{}", self.profile, self.id)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        let label = if self.duplicate { Webhook::Duplicate } else { Webhook::Accepted };
        response.extensions_mut().insert(label);
        response
    }
}

/// Counts and times every answer, and turns a panic into a `500` whose id stands in the log.
pub(super) async fn observe(State(ingress): State<Arc<Ingress>>, request: Request, next: Next) -> Response {
    let metrics = &ingress.metrics;
    let started = Instant::now();
    let in_flight = InFlight::count(&metrics.webhook_in_flight);
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    drop(in_flight);
    let response = response.unwrap_or_else(|_| {
        let id = TriggerId(Uuid::now_v7());
        tracing::error!(event = "request_panicked", error_id = %id, "a request could not be answered");
        Rejection::Internal(id).into_response()
    });
    let label = response.extensions().get::<Webhook>().copied().unwrap_or(Webhook::Malformed);
    let class = match response.status().as_u16() {
        200..=299 => WebhookClass::Accepted,
        500.. => WebhookClass::Error,
        _ => WebhookClass::Rejected,
    };
    metrics.webhook_requests.get(label).inc();
    metrics.webhook_duration.get(class).observe(started.elapsed().as_secs_f64());
    response
}
