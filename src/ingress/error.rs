//! What a request that is not accepted gets: problem details (RFC 9457), which never repeat what was sent.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    metrics::labels::Webhook,
    queue::QueueError,
    trigger::{Problem, TriggerId},
};

/// Why a request is not accepted.
#[derive(Debug)]
pub(super) enum Rejection {
    /// No such path or profile.
    NotFound,
    /// Another method than this one.
    MethodNotAllowed(&'static str),
    /// The body is over the limit, in bytes.
    TooLarge(usize),
    /// A content type or encoding that is not taken; the text says which would be.
    UnsupportedMedia(&'static str),
    /// The body did not come in time, or its connection broke.
    BodyTimeout,
    /// Not signed by a holder of the secret; stale tells a metric apart, never the sender.
    Forged {
        /// Only the timestamp was wrong.
        stale: bool,
    },
    /// Over the profile's rate; how long until the next one is taken.
    RateLimited(Duration),
    /// Rules of the contract are broken.
    Invalid(Vec<Problem>),
    /// The queue did not take it.
    QueueUnavailable(QueueError),
    /// Unforeseen; the id stands in the log.
    Internal(TriggerId),
}

/// The body of an error answer.
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemDetails)]
pub(super) struct Details<'a> {
    /// A URN of ours; the same for the same kind of problem.
    #[schema(value_type = String)]
    r#type: &'static str,
    /// What kind of problem it is.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What to do about it; never repeats what was sent.
    detail: String,
    /// Every broken rule of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Problem>>, nullable = false)]
    errors: Option<&'a [Problem]>,
}

impl Rejection {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Forged { .. } => StatusCode::FORBIDDEN,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::QueueUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => ("urn:cfr:problem:not-found", "Not found"),
            Self::MethodNotAllowed(_) => ("urn:cfr:problem:method-not-allowed", "Method not allowed"),
            Self::TooLarge(_) => ("urn:cfr:problem:too-large", "Body too large"),
            Self::UnsupportedMedia(_) => ("urn:cfr:problem:unsupported-media-type", "Unsupported media type"),
            Self::BodyTimeout => ("urn:cfr:problem:body-timeout", "Body not received in time"),
            Self::Forged { .. } => ("urn:cfr:problem:invalid-signature", "Invalid webhook signature"),
            Self::RateLimited(_) => ("urn:cfr:problem:rate-limited", "Too many requests"),
            Self::Invalid(_) => ("urn:cfr:problem:invalid-trigger", "Invalid trigger"),
            Self::QueueUnavailable(_) => ("urn:cfr:problem:queue-unavailable", "Queue unavailable"),
            Self::Internal(_) => ("urn:cfr:problem:internal", "Internal error"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotFound => "There is no such path or profile.".to_owned(),
            Self::MethodNotAllowed(allowed) => format!("Only {allowed} is allowed here."),
            Self::TooLarge(limit) => format!("A trigger has at most {limit} bytes."),
            Self::UnsupportedMedia(wanted) => (*wanted).to_owned(),
            Self::BodyTimeout => "The body did not arrive in time.".to_owned(),
            Self::Forged { .. } => "Invalid webhook signature".to_owned(),
            Self::RateLimited(_) => "The profile is over its rate; nothing was stored.".to_owned(),
            Self::Invalid(problems) => match problems.as_slice() {
                [only] if only.pointer.is_empty() => format!("The body {}.", only.message),
                [only] => format!("{} {}.", only.pointer, only.message),
                several => format!("{} rules are broken; see errors.", several.len()),
            },
            Self::QueueUnavailable(_) => {
                "The trigger was not promised and may still be handled: send it again with the same Idempotency-Key."
                    .to_owned()
            }
            Self::Internal(id) => format!("Unforeseen; the log has it under {id}."),
        }
    }

    fn label(&self) -> Webhook {
        match self {
            Self::TooLarge(_) => Webhook::TooLarge,
            Self::Forged { stale: true } => Webhook::StaleTimestamp,
            Self::Forged { stale: false } => Webhook::BadSignature,
            Self::RateLimited(_) => Webhook::RateLimited,
            Self::QueueUnavailable(_) => Webhook::QueueUnavailable,
            Self::Internal(_) => Webhook::Internal,
            _ => Webhook::Malformed,
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (r#type, title) = self.title();
        let status = self.status();
        let errors = match &self {
            Self::Invalid(problems) => Some(problems.as_slice()),
            _ => None,
        };
        let details = Details { r#type, title, status: status.as_u16(), detail: self.detail(), errors };
        let mut response = (status, Json(details)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match &self {
            Self::MethodNotAllowed(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::RateLimited(wait) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(*wait)));
            }
            Self::QueueUnavailable(error) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(error)));
            }
            _ => {}
        }
        response.extensions_mut().insert(self.label());
        response
    }
}

/// Seconds until a new try is worth it: what the queue observed, or 1 to 3 s, spread so that senders do not come back
/// all at once; 30 s at most.
fn retry_after(error: &QueueError) -> u64 {
    let observed = match error {
        QueueError::Refused { retry_after: Some(wait), .. } => wait.as_secs_f64(),
        _ => 1.0,
    };
    let spread = observed + rand::random::<f64>() * observed.max(2.0);
    Duration::from_secs_f64(spread.clamp(1.0, 30.0)).as_secs()
}

/// The header knows whole seconds only; rounded down, a sender would come back too early.
fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX).max(1)
}

pub(super) async fn no_such_path() -> Rejection {
    Rejection::NotFound
}

pub(super) async fn only_post() -> Rejection {
    Rejection::MethodNotAllowed("POST")
}

pub(super) async fn only_get() -> Rejection {
    Rejection::MethodNotAllowed("GET")
}
