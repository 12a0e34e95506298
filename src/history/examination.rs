//! Each step on the way to a conversation, taken alone and without a trigger: for `cfr doctor`.

use std::{sync::Arc, time::Duration};

use super::{Config, Provider, cxone_digital, http};
use crate::{http_client::UpstreamError, metrics::Metrics};

/// Limit of each step.
const LIMIT: Duration = Duration::from_secs(10);

/// One step and how it ended.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What was tried.
    pub step: &'static str,
    /// What came of it, in words without secrets.
    pub result: Result<String, UpstreamError>,
    /// What to look at when it failed.
    pub advice: &'static str,
}

/// Takes the steps of the providers that need any before a conversation can be asked for, up to the first that fails.
/// Nothing for the others.
pub async fn examine(config: &Config, metrics: &Arc<Metrics>) -> Vec<Examined> {
    match config.provider {
        Provider::CxoneDigital => digital(config, metrics).await,
        Provider::Http if config.http.auth == http::AuthKind::Oauth2 => oauth(config, metrics).await,
        Provider::Http | Provider::Inline | Provider::CxoneSummaries => Vec::new(),
    }
}

async fn digital(config: &Config, metrics: &Arc<Metrics>) -> Vec<Examined> {
    // What cannot be built is a finding of the settings.
    let Ok(access) = cxone_digital::access_key(&config.cxone_digital, metrics) else { return Vec::new() };
    let mut steps = Vec::new();
    let found = access.token_endpoint().await;
    let said = found.as_ref().map(|url| format!("tokens come from {}", url.host_str().unwrap_or("?")));
    steps.push(Examined {
        step: "discovery",
        result: said.map_err(Clone::clone),
        advice: "check history.cxone_digital.environment_url, and that its hosts are in egress.allow_hosts",
    });
    let Ok(endpoint) = found else { return steps };
    let answer = access.token(endpoint).await;
    steps.push(Examined {
        step: "token",
        result: answer.as_ref().map(|_| "it gave a token for the access key".to_owned()).map_err(Clone::clone),
        advice: "check access_key_id, access_key_secret, client_id and client_secret of history.cxone_digital",
    });
    let Ok(answer) = answer else { return steps };
    let host = access.tenant_host(&answer).await;
    steps.push(Examined {
        step: "tenant",
        result: host.map(|url| format!("its API is at {}", url.host_str().unwrap_or("?"))),
        advice: "check history.cxone_digital.egress.allow_hosts, or set base_url",
    });
    steps
}

async fn oauth(config: &Config, metrics: &Arc<Metrics>) -> Vec<Examined> {
    let Ok(tokens) = http::token_source(&config.http, metrics) else { return Vec::new() };
    let result = tokens.token(LIMIT).await.map(|_| "it gave a token".to_owned());
    let advice = "check token_url, client_id, client_secret, scope and client_auth of history.http.oauth";
    vec![Examined { step: "token", result, advice }]
}
