//! The one builder of HTTP clients, and the failures of an upstream in our words.

use std::time::Duration;

use crate::metrics::labels::{RetryCause, UpstreamStatus};

/// Settings of one client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Limit for making a connection.
    pub connect_timeout: Duration,
    /// Limit for a whole exchange, the body included; callers may set a shorter one for each request.
    pub timeout: Duration,
    /// Refuse `http://` URLs.
    pub https_only: bool,
}

/// Builds a client: no redirects, no proxies from the environment, idle connections kept for reuse.
///
/// # Errors
/// When the TLS roots cannot be loaded.
pub fn build(_config: &ClientConfig) -> Result<reqwest::Client, reqwest::Error> {
    unimplemented!()
}

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
    /// No secure connection.
    #[error("TLS failed")]
    Tls,
    /// A 2xx answer that is not what the interface promises.
    #[error("gave an answer that makes no sense: {0}")]
    Malformed(&'static str),
}

impl UpstreamError {
    /// The word for a failed request, from the client's error.
    #[must_use]
    pub fn from_reqwest(_error: &reqwest::Error) -> Self {
        unimplemented!()
    }

    /// What to count a repetition as; `None` when repeating cannot help.
    #[must_use]
    pub fn retry_cause(&self) -> Option<RetryCause> {
        unimplemented!()
    }

    /// What to count the request as.
    #[must_use]
    pub fn status_label(&self) -> UpstreamStatus {
        unimplemented!()
    }
}
