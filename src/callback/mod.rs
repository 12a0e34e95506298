//! Posting an outcome back.

mod webhook;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use crate::{egress::EgressConfig, metrics::Metrics, secret::Secret, time::EpochMs, trigger::TriggerId};

/// Settings of a profile's callback.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// How it is posted.
    pub mode: Mode,
    /// Where to, unless the trigger names an allowed URL.
    pub url: Option<String>,
    /// Signing secrets, the current one first.
    pub secrets: Vec<Secret>,
    /// After this time from storing, an outcome that nobody took goes to the dead letters.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// Limit for making a connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Limit for the whole exchange.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What may be reached.
    pub egress: EgressConfig,
}

/// How an outcome is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A signed POST of the outcome.
    Webhook,
    /// Not at all.
    None,
}

/// A stored outcome on its way out: the frozen bytes, and where they go.
#[derive(Clone)]
pub struct StoredOutcome {
    /// Its identity: the `webhook-id` of every try.
    pub trigger_id: TriggerId,
    /// The URL that the trigger named, if it was allowed.
    pub url: Option<String>,
    /// The outcome's JSON, the same bytes in every try.
    pub body: Bytes,
    /// Number of this try, from 1: the header `fallback-attempt`.
    pub attempt: u32,
}

/// Why a callback was not acknowledged. It holds no URL or body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// Never again: 3xx, 410, other 4xx, or a URL that may not be dialled.
    #[error("rejected: {0}")]
    Rejected(&'static str),
    /// The receiver asks for a pause.
    #[error("rate limited")]
    RateLimited {
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// It may work later: 408, 425, 5xx, no connection, no answer in time.
    #[error("not available")]
    Unavailable {
        /// How long to wait, if it said so.
        retry_after: Option<Duration>,
    },
}

impl CallbackError {
    /// A short code for the record of a message's tries.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// A way to post outcomes.
#[async_trait]
pub trait Callback: Send + Sync {
    /// Posts a stored outcome once. `now` is the time of this try, for its signature.
    ///
    /// # Errors
    /// [`CallbackError`], which says whether another try can help.
    async fn send(&self, outcome: &StoredOutcome, now: EpochMs) -> Result<(), CallbackError>;
}

/// Connects the configured way; `None` for mode `none`.
///
/// # Errors
/// When a URL or secret is unusable or the HTTP client cannot be built.
pub fn connect(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Arc<dyn Callback>>> {
    Ok(match config.mode {
        Mode::Webhook => Some(Arc::new(webhook::Webhook::new(config, Arc::clone(metrics))?)),
        Mode::None => None,
    })
}

impl std::fmt::Debug for StoredOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredOutcome").field("trigger_id", &self.trigger_id).finish_non_exhaustive()
    }
}
