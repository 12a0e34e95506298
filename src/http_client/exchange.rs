//! One request and its answer: timed, counted, and read up to a limit.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::{
    failure::{UpstreamError, status_label},
    retry_after::retry_after,
};
use crate::{
    metrics::{
        Metrics,
        labels::{Label as _, Upstream, UpstreamStatus},
    },
    telemetry::{
        names,
        spans::{self, Span, SpanKind},
    },
    time::EpochMs,
};

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for all of it, the body included.
    pub time: Duration,
    /// Bytes of the answer's body, decompressed.
    pub body: usize,
}

/// What came back, whatever its status.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Result<Bytes, UpstreamError>,
}

impl Answer {
    /// An answer that nobody gave, for `tests/fuzz`.
    #[cfg(fuzzing)]
    #[must_use]
    pub fn made(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, headers, body: Ok(body) }
    }

    /// The body as far as it could be read completely; empty otherwise. Use [`Answer::success`] where it matters.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| body)
    }

    /// The body of a 2xx answer.
    ///
    /// # Errors
    /// Any other status, a body that broke off, came too late or is over the limit.
    pub fn success(self) -> Result<Bytes, UpstreamError> {
        if self.status.is_success() { self.body } else { Err(self.failure()) }
    }

    /// The failure that this status means, with the wait that the headers ask for.
    #[must_use]
    pub fn failure(&self) -> UpstreamError {
        let now = EpochMs::from(SystemTime::now());
        UpstreamError::Status { status: self.status.as_u16(), retry_after: retry_after(&self.headers, now) }
    }
}

// Headers and body may hold secrets and customer text.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer, and whether the other side may have had the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Why.
    pub error: UpstreamError,
    /// False when it certainly was not sent: there was no connection to send it on.
    pub sent: bool,
}

/// Sends a request and reads the answer within `limits`. It is counted and timed under `upstream`, and traced; a body that
/// cannot be read is only an error to those who ask for it, because a status that arrived is an answer.
///
/// # Errors
/// When no status came at all.
pub async fn exchange(
    request: reqwest::RequestBuilder,
    limits: Limits,
    upstream: Upstream,
    metrics: &Metrics,
) -> Result<Answer, UpstreamError> {
    exchange_noting(request, limits, upstream, metrics).await.map_err(|unanswered| unanswered.error)
}

/// Does the same as [`exchange`], and says of a failure whether repeating it could do things twice.
///
/// # Errors
/// When no status came at all.
pub async fn exchange_noting(
    request: reqwest::RequestBuilder,
    limits: Limits,
    upstream: Upstream,
    metrics: &Metrics,
) -> Result<Answer, Unanswered> {
    let name = match upstream {
        Upstream::Cxone => names::FETCH_HISTORY,
        Upstream::Llm => names::CHAT,
        Upstream::Cognigy => names::POST_CALLBACK,
    };
    let mut span = spans::child(SpanKind::Client, || (name.into(), Vec::new()));
    exchange_in(&mut span, request, limits, upstream, metrics).await
}

/// Does the same as [`exchange_noting`] in a span of the caller's, who knows more to say of it.
///
/// # Errors
/// As [`exchange_noting`].
pub async fn exchange_in(
    span: &mut Span,
    request: reqwest::RequestBuilder,
    limits: Limits,
    upstream: Upstream,
    metrics: &Metrics,
) -> Result<Answer, Unanswered> {
    let begun = Instant::now();
    let result = send(request.timeout(limits.time), limits.body).await;
    metrics.upstream_duration.get(upstream).observe(begun.elapsed().as_secs_f64());
    let label = match &result {
        Ok(Answer { status, body: Err(error), .. }) if status.is_success() => error.status_label(),
        Ok(answer) => status_label(answer.status.as_u16()),
        Err(unanswered) => unanswered.error.status_label(),
    };
    metrics.upstream_requests.get(upstream, label).inc();
    if let Ok(answer) = &result {
        span.set(names::HTTP_STATUS, i64::from(answer.status.as_u16()));
    }
    if label != UpstreamStatus::Success {
        span.fail(label.as_str());
    }
    result
}

async fn send(request: reqwest::RequestBuilder, limit: usize) -> Result<Answer, Unanswered> {
    let mut response = request.send().await.map_err(|error| {
        let sent = !(error.is_connect() || error.is_builder());
        Unanswered { error: UpstreamError::from_reqwest(&error), sent }
    })?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body = read_limited(response, limit).await;
    Ok(Answer { status, headers, body })
}

/// Reads a body of at most `limit` bytes, chunk by chunk, so that never much more than that is held.
///
/// # Errors
/// When it breaks off, comes too late, cannot be decompressed or is longer.
pub async fn read_limited(mut response: reqwest::Response, limit: usize) -> Result<Bytes, UpstreamError> {
    let mut next = async || response.chunk().await.map_err(|error| UpstreamError::from_reqwest(&error));
    let Some(first) = next().await? else { return Ok(Bytes::new()) };
    let Some(second) = next().await? else { return within(first, limit) };
    // Most answers come in one piece, which is passed on without a copy; the others are put together.
    let mut body = BytesMut::with_capacity(first.len() + second.len());
    let mut chunk = Some(second);
    body.extend_from_slice(&first);
    while let Some(piece) = chunk {
        if body.len() + piece.len() > limit {
            return Err(TOO_LONG);
        }
        body.extend_from_slice(&piece);
        chunk = next().await?;
    }
    Ok(body.freeze())
}

const TOO_LONG: UpstreamError = UpstreamError::Malformed("body over the limit");

fn within(body: Bytes, limit: usize) -> Result<Bytes, UpstreamError> {
    if body.len() > limit { Err(TOO_LONG) } else { Ok(body) }
}
