//! What the gateway says of itself without being asked to think: `GET /v1/models`.

use std::{sync::Arc, time::Duration};

use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;

use super::{Config, gateway};
use crate::{
    http_client::{self, ClientConfig, Limits, Roots, exchange},
    metrics::{Metrics, labels::Upstream},
    time::EpochMs,
};

/// Some gateways list thousands of models.
const LIMITS: Limits = Limits { time: Duration::from_secs(10), body: 4 * 1024 * 1024 };

/// The answer.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Its HTTP status.
    pub status: u16,
    /// The models, if it was a list.
    pub models: Option<Vec<String>>,
    /// The gateway's clock, to the second, if it told.
    pub date: Option<EpochMs>,
}

#[derive(Deserialize)]
struct Body {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
}

/// Asks the gateway for its models, with the key and headers of the settings. Costs nothing.
///
/// # Errors
/// When the settings make no request, or no answer came.
pub async fn list_models(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Listing> {
    let mut url = gateway::endpoint(config.base_url.as_deref().unwrap_or_default())?;
    let path = url.path().trim_end_matches("/chat/completions").to_owned();
    url.set_path(&format!("{path}/models"));
    let client = ClientConfig {
        connect_timeout: config.connect_timeout,
        timeout: LIMITS.time,
        https_only: url.scheme() == "https",
        roots: Roots::read(config.ca_file.as_deref())?,
    };
    let request = http_client::build(&client)?.get(url).headers(gateway::headers(config)?);
    let answer = exchange(request, LIMITS, Upstream::Llm, metrics).await?;
    let models = serde_json::from_slice::<Body>(answer.body()).ok();
    let date = answer.headers.get("date").and_then(|date| DateTimeParser::new().parse_timestamp(date.as_bytes()).ok());
    Ok(Listing {
        status: answer.status.as_u16(),
        models: models.map(|body| body.data.into_iter().map(|entry| entry.id).collect()),
        date: date.map(|date| EpochMs(u64::try_from(date.as_millisecond()).unwrap_or(0))),
    })
}
