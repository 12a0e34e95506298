//! `GET /v1/triggers/{profile}/{id}`: how far a trigger is. Signed by the profile's scheme, over path and query.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Ingress,
    answers::{Answers, Asked, Progressed},
    error::Rejection,
    prefer::{self, Prefer},
    signed,
};
use crate::{metrics::labels::Polled, trigger::TriggerId};

/// A trigger that a holder of its profile's secret asks for.
pub(super) struct SignedPoll {
    id: TriggerId,
    /// `None` where the profile's outcomes cannot be asked for.
    asked: Option<(Arc<Answers>, Asked)>,
}

impl FromRequestParts<Arc<Ingress>> for SignedPoll {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, ingress: &Arc<Ingress>) -> Result<Self, Rejection> {
        let path = Path::<(String, TriggerId)>::from_request_parts(parts, ingress).await;
        let Ok(Path((name, id))) = path else { return Err(Rejection::NotFound) };
        let profile = ingress.profile(&name).ok_or(Rejection::NotFound)?;
        let content = parts.uri.path_and_query().map_or("", |content| content.as_str());
        signed::verify(ingress, &name, &profile, &parts.headers, content.as_bytes())?;
        let asked = ingress.asked(&name, id).map(|(answers, asked)| (Arc::clone(answers), asked));
        Ok(Self { id, asked })
    }
}

/// Says how far a trigger is; with `Prefer: wait=N`, as soon as it is done, or after that time.
pub(super) async fn poll(prefer: Prefer, poll: SignedPoll) -> Response {
    let (progressed, waited) = match poll.asked {
        Some((answers, asked)) => match prefer.wait {
            None => (answers.progress_of(asked), None),
            Some(wait) => match answers.outcome_of(asked, wait).await {
                Ok(Some(outcome)) => (Progressed::Done(outcome), Some(wait)),
                Ok(None) => (answers.progress_of(asked), Some(wait)),
                Err(_) => (answers.progress_of(asked), None),
            },
        },
        None => (Progressed::Unknown, None),
    };
    let mut response = body(poll.id, &progressed);
    response.headers_mut().extend(waited.map(prefer::applied));
    let polled = match progressed {
        Progressed::Unknown => Polled::Unknown,
        Progressed::Accepted => Polled::Accepted,
        Progressed::Running => Polled::Running,
        Progressed::Done(_) => Polled::Done,
    };
    response.extensions_mut().insert(polled);
    response
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TriggerStatus)]
pub(super) struct PollBody<'a> {
    /// The trigger.
    trigger_id: TriggerId,
    /// `accepted`, `running`, `done`, or `unknown` (here, or by now).
    #[schema(value_type = String, pattern = "^(accepted|running|done|unknown)$")]
    status: &'static str,
    /// The outcome, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::outcome::Outcome>, nullable = false)]
    outcome: Option<&'a RawValue>,
}

fn body(id: TriggerId, progressed: &Progressed) -> Response {
    let (status, outcome) = match progressed {
        Progressed::Unknown => ("unknown", None),
        Progressed::Accepted => ("accepted", None),
        Progressed::Running => ("running", None),
        // It was JSON when it was told.
        Progressed::Done(outcome) => ("done", serde_json::from_slice::<&RawValue>(outcome).ok()),
    };
    let json = serde_json::to_vec(&PollBody { trigger_id: id, status, outcome });
    json.map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), |json| answer(json.into()))
}

/// A 200 with this JSON, which no cache may keep.
pub(super) fn answer(json: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, json).into_response()
}
