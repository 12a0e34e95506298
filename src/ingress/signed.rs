//! From a request to a trigger: the only place where bytes of a stranger become trusted.
//!
//! The order of checks is the contract's: profile, size, encoding, content type, bytes, signature, rate, form,
//! threshold, callback host.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, OptionalFromRequestParts, Path, Request},
};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Ingress, Profile, Rate, error::Rejection};
use crate::{
    metrics::labels::WebhookSecret,
    signature::{Forged, Verified},
    time::EpochMs,
    trigger::{IdempotencyKey, Problem, Trigger, TriggerBody, TriggerId},
};

/// Something whose signature was verified, with the bytes it was made from.
pub(super) struct Signed<T> {
    /// What the bytes say.
    pub(super) value: T,
    /// The bytes, as they came.
    pub(super) raw: Bytes,
    /// True when another request could have the same trigger id.
    pub(super) repeatable: bool,
}

impl FromRequest<Arc<Ingress>> for Signed<Trigger> {
    type Rejection = Rejection;

    async fn from_request(request: Request, ingress: &Arc<Ingress>) -> Result<Self, Rejection> {
        let (mut parts, body) = request.into_parts();
        let name = <Path<String> as OptionalFromRequestParts<_>>::from_request_parts(&mut parts, ingress).await;
        // A name that cannot be read is nobody's; it must not become the default one.
        let name = name.map_err(|_| Rejection::NotFound)?;
        let name = name.map_or(Cow::Borrowed("default"), |Path(name)| Cow::Owned(name));
        let profile = ingress.profile(&name).ok_or(Rejection::NotFound)?;

        check_length(&parts.headers, ingress.max_body)?;
        check_media(&parts.headers)?;
        let raw =
            timeout(ingress.body_timeout, read(body, ingress.max_body)).await.map_err(|_| Rejection::BodyTimeout)??;

        let (verified, now) = verify(ingress, &name, &profile, &parts.headers, &raw)?;
        profile.rate.as_ref().map_or(Ok(()), Rate::admit).map_err(Rejection::RateLimited)?;
        let body = TriggerBody::parse(&raw).map_err(Rejection::Invalid)?;
        check_profile_rules(&profile, &body)?;

        let key = idempotency_key(&verified, &parts.headers, &body)?;
        let id = key.map_or_else(|| TriggerId(Uuid::now_v7()), |key| TriggerId::derived(&name, key));
        let repeatable = key.is_some();
        let deadline = now.plus(body.deadline_ms.map_or(profile.deadline, std::time::Duration::from_millis));
        let value = Trigger { id, profile: name.into_owned(), accepted_at: now, deadline, body };
        Ok(Self { value, raw, repeatable })
    }
}

/// Checks that a holder of the profile's secret sent this content just now.
pub(super) fn verify(
    ingress: &Ingress,
    name: &str,
    profile: &Profile,
    headers: &HeaderMap,
    content: &[u8],
) -> Result<(Verified, EpochMs), Rejection> {
    let now = EpochMs::from(SystemTime::now());
    let verified = profile.verifier.verify(headers, content, now);
    let verified = verified.map_err(|forged| Rejection::Forged { stale: forged == Forged::Stale })?;
    note_secret(ingress, name, &verified, now);
    Ok((verified, now))
}

/// An old secret is named in the log when it is used after a pause: so the operator of a rotation learns whose profile
/// still signs with it.
const PAUSE_S: i64 = 60;

/// Tells the operator of a rotation which secrets are still in use.
fn note_secret(ingress: &Ingress, profile: &str, verified: &Verified, now: EpochMs) {
    let secret = if verified.secret_index == 0 { WebhookSecret::Current } else { WebhookSecret::Previous };
    let used = ingress.metrics.webhook_secret_used.get(secret);
    let (last, now) = (used.get(), i64::try_from(now.seconds()).unwrap_or(i64::MAX));
    if secret == WebhookSecret::Previous && now.saturating_sub(last) >= PAUSE_S {
        let secret = verified.secret_index;
        tracing::info!(event = "previous_secret_used", profile, secret, "a request was signed with an old secret");
    }
    used.set(now);
}

/// A length that is announced is checked before anything is read.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), Rejection> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit as u64 => Err(Rejection::TooLarge(limit)),
        _ => Ok(()),
    }
}

fn check_media(headers: &HeaderMap) -> Result<(), Rejection> {
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Rejection::UnsupportedMedia("The body must not be encoded."));
    }
    let essence = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    match essence.map(str::trim) {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(()),
        Some(essence) if essence.to_ascii_lowercase().starts_with("application/") && essence.ends_with("+json") => {
            Ok(())
        }
        _ => Err(Rejection::UnsupportedMedia("The content type must be application/json.")),
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Rejection> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Rejection::TooLarge(limit)),
        // The connection broke: nobody will read the answer.
        Err(_) => Err(Rejection::BodyTimeout),
    }
}

fn check_profile_rules(profile: &Profile, body: &TriggerBody) -> Result<(), Rejection> {
    if body.confidence_score.is_some_and(|score| score > profile.threshold) {
        return Err(broken("/confidenceScore", "exceeds the fallback threshold: the bot understood this message"));
    }
    if let Some(url) = &body.callback_url
        && let Err(refused) = profile.egress.check_trigger_url(url)
    {
        return Err(broken("/callbackUrl", format!("is not allowed: {refused}")));
    }
    let problems = profile.demands.problems(body);
    if problems.is_empty() { Ok(()) } else { Err(Rejection::Invalid(problems)) }
}

/// What makes two requests the same trigger, strongest first.
fn idempotency_key<'a>(
    verified: &'a Verified,
    headers: &'a HeaderMap,
    body: &'a TriggerBody,
) -> Result<Option<IdempotencyKey<'a>>, Rejection> {
    if let Some(id) = &verified.webhook_id {
        return Ok(Some(IdempotencyKey::WebhookId(id)));
    }
    if let Some(value) = headers.get("idempotency-key") {
        return match value.to_str() {
            Ok(key) if (1..=256).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Some(IdempotencyKey::Header(key)))
            }
            _ => Err(broken("", "came with an Idempotency-Key that is not 1 to 256 visible ASCII characters")),
        };
    }
    let input = body.input_id.as_deref();
    Ok(input.map(|input_id| IdempotencyKey::Input { conversation_id: &body.conversation_id, input_id }))
}

fn broken(pointer: &str, message: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::Invalid(vec![Problem { pointer: pointer.to_owned(), message: message.into() }])
}
