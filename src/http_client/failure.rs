//! Why an exchange failed, and whether repeating it can help.

use std::{error::Error, io, time::Duration};

use crate::{
    egress::EgressError,
    metrics::labels::{RetryCause, UpstreamStatus},
};

/// Why an exchange with an upstream failed. It holds no URL, header or body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It answered with a status that is not 2xx.
    #[error("answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it asked for (`Retry-After` and its relatives), if it did.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    #[error("timed out")]
    Timeout,
    /// No connection, or it broke.
    #[error("could not be reached")]
    Connect,
    /// No secure connection; also a request that was not sent because its URL permits none.
    #[error("TLS failed")]
    Tls,
    /// Its name leads to an address that may not be dialled.
    #[error("has an address that is not allowed")]
    Forbidden,
    /// A 2xx answer that is not what the interface promises.
    #[error("gave an answer that makes no sense: {0}")]
    Malformed(&'static str),
}

impl UpstreamError {
    /// The word for a failed request, from the client's error.
    #[must_use]
    pub fn from_reqwest(error: &reqwest::Error) -> Self {
        // Order matters: a connect that timed out is both, and a TLS failure shows as a failed connect.
        if error.is_timeout() {
            Self::Timeout
        } else if let Some(refusal) = EgressError::in_chain(error) {
            if refusal == EgressError::LookupTimeout { Self::Timeout } else { Self::Forbidden }
        } else if error.is_builder() || caused_by::<rustls::Error>(error) {
            Self::Tls
        } else if error.is_decode() && !caused_by::<hyper::Error>(error) {
            // The client calls every failure while reading a body so, a broken connection too.
            Self::Malformed("undecodable body")
        } else {
            Self::Connect
        }
    }

    /// What to count a repetition as; `None` when repeating cannot help.
    #[must_use]
    pub fn retry_cause(&self) -> Option<RetryCause> {
        match self {
            Self::Status { status: 429, .. } => Some(RetryCause::RateLimited),
            // 520-524 are a content network's words for a broken origin, 529 some gateways' word for overload.
            Self::Status { status: 408 | 409 | 425 | 500 | 502 | 503 | 504 | 520..=524 | 529, .. } => {
                Some(RetryCause::ServerError)
            }
            Self::Timeout => Some(RetryCause::Timeout),
            Self::Connect => Some(RetryCause::Connect),
            Self::Malformed(_) => Some(RetryCause::InvalidAnswer),
            Self::Status { .. } | Self::Tls | Self::Forbidden => None,
        }
    }

    /// How long the other side asked us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What to count the request as.
    #[must_use]
    pub fn status_label(&self) -> UpstreamStatus {
        match self {
            Self::Status { status, .. } => status_label(*status),
            Self::Timeout => UpstreamStatus::Timeout,
            Self::Connect | Self::Forbidden => UpstreamStatus::Connect,
            Self::Tls => UpstreamStatus::Tls,
            Self::Malformed(_) => UpstreamStatus::Success,
        }
    }
}

pub(super) fn status_label(status: u16) -> UpstreamStatus {
    match status {
        429 => UpstreamStatus::RateLimited,
        100..=299 => UpstreamStatus::Success,
        300..=399 => UpstreamStatus::Redirect,
        400..=499 => UpstreamStatus::ClientError,
        _ => UpstreamStatus::ServerError,
    }
}

fn caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<E>() {
            return true;
        }
        // The `source` of an I/O error is not the error it wraps, but that one's source; and they nest.
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_heal_is_worth_another_try() {
        let cause = |status| UpstreamError::Status { status, retry_after: None }.retry_cause();
        assert_eq!(cause(429), Some(RetryCause::RateLimited));
        for status in [408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529] {
            assert_eq!(cause(status), Some(RetryCause::ServerError), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 402, 403, 404, 410, 413, 422, 451, 501, 505, 525, 530] {
            assert_eq!(cause(status), None, "{status}");
        }
        for (error, expected) in [
            (UpstreamError::Timeout, Some(RetryCause::Timeout)),
            (UpstreamError::Connect, Some(RetryCause::Connect)),
            (UpstreamError::Malformed("html"), Some(RetryCause::InvalidAnswer)),
            (UpstreamError::Tls, None),
            (UpstreamError::Forbidden, None),
        ] {
            assert_eq!(error.retry_cause(), expected, "{error}");
        }
    }

    #[test]
    fn each_status_has_its_label() {
        for (status, expected) in [
            (200, UpstreamStatus::Success),
            (302, UpstreamStatus::Redirect),
            (404, UpstreamStatus::ClientError),
            (429, UpstreamStatus::RateLimited),
            (503, UpstreamStatus::ServerError),
        ] {
            assert_eq!(UpstreamError::Status { status, retry_after: None }.status_label(), expected);
        }
    }
}
