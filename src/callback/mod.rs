//! Posting an outcome back.

pub mod cognigy;
mod demands;
mod preview;
mod webhook;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

pub use self::{demands::Demands, preview::Preview};
use crate::{
    egress::EgressConfig,
    metrics::Metrics,
    outcome::{Outcome, Status},
    secret::Secret,
    time::EpochMs,
    trigger::{Trigger, TriggerBody, TriggerId},
};

/// Settings of a profile's callback.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Config {
    /// How it is posted.
    pub mode: Mode,
    /// Where to, unless the trigger names an allowed URL. In the modes of Cognigy, what its endpoints (or its management
    /// API) have in common.
    pub url: Option<String>,
    /// Signing secrets, the current one first.
    pub secrets: Vec<Secret>,
    /// After this time from storing, an outcome that nobody took goes to the dead letters.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub max_age: Duration,
    /// Limit for making a connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub connect_timeout: Duration,
    /// Limit for the whole exchange.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub timeout: Duration,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Further request headers: an endpoint's key, for instance. They go to scheme, host and port of `url` alone, never to
    /// another that a trigger names.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// `[profiles.NAME.callback.cognigy]`
    #[serde(default)]
    pub cognigy: cognigy::Config,
    /// What may be reached.
    pub egress: EgressConfig,
}

/// How an outcome is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A signed POST of the outcome.
    Webhook,
    /// A new turn in the Cognigy session: the flow runs with the outcome.
    CognigyInject,
    /// A message to the customer in the Cognigy session, past the flow.
    CognigyNotify,
    /// One of the two through Cognigy's management API, which newer installations no longer have.
    CognigyManagement,
    /// Not at all: it is kept for whoever asks.
    None,
}

impl Mode {
    /// True for the modes that post into a Cognigy session.
    #[must_use]
    pub fn is_cognigy(self) -> bool {
        matches!(self, Self::CognigyInject | Self::CognigyNotify | Self::CognigyManagement)
    }
}

/// What only the posting needs to know of the trigger; stored beside the outcome, and never part of it. The token opens
/// a customer's conversation, so nothing here is printed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyTo {
    /// The endpoint's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_token: Option<String>,
    /// What is said in the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A stored outcome on its way out: the frozen bytes, and where they go.
#[derive(Clone)]
pub struct StoredOutcome {
    /// Its identity: the `webhook-id` of every try.
    pub trigger_id: TriggerId,
    /// The URL that the trigger named, if it was allowed.
    pub url: Option<String>,
    /// Whose conversation it is.
    pub user_id: String,
    /// The Cognigy session.
    pub session_id: Option<String>,
    /// What else the posting needs.
    pub reply_to: ReplyTo,
    /// How the trigger ended.
    pub status: Status,
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
    /// It may have been taken, and another try could show the answer twice.
    #[error("unknown whether it was taken")]
    Unknown,
}

impl CallbackError {
    /// A short code for the record of a message's tries.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

/// A way to post outcomes.
#[async_trait]
pub trait Callback: Send + Sync {
    /// What has to be stored beside an outcome, so that it can be posted when the trigger is forgotten. `trigger` is
    /// `None` where it could not be read.
    fn reply_to(&self, _trigger: Option<&TriggerBody>, _outcome: &Outcome) -> ReplyTo {
        ReplyTo::default()
    }

    /// How long after its acceptance a trigger can be answered at all.
    fn longest_life(&self) -> Option<Duration> {
        None
    }

    /// How long a customer waits before they are told that it takes a while; `None`: they are not told.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Tells the customer that it takes a while, once.
    ///
    /// # Errors
    /// [`CallbackError`]; it is not tried again.
    async fn still_thinking(&self, _trigger: &Trigger, _now: EpochMs) -> Result<(), CallbackError> {
        Ok(())
    }

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
        Mode::CognigyInject | Mode::CognigyNotify | Mode::CognigyManagement => {
            Some(Arc::new(cognigy::Cognigy::new(config, Arc::clone(metrics))?))
        }
        Mode::None => None,
    })
}

/// The further request headers; their values are never shown.
fn headers(config: &BTreeMap<String, Secret>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in config {
        let header = HeaderName::try_from(name).with_context(|| format!("headers: \"{name}\" is not a header name"))?;
        let mut value = HeaderValue::from_str(value.expose()).with_context(|| format!("headers.{name}"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

impl std::fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyTo").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoredOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredOutcome").field("trigger_id", &self.trigger_id).finish_non_exhaustive()
    }
}
