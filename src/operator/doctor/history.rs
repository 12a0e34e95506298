//! The way to a profile's conversations: tokens, discovery, addresses. No conversation is asked for.

use std::{sync::Arc, time::Duration};

use super::{Finding, upstreams::resolved};
use crate::{
    config::Profile,
    egress::{Egress, EgressError},
    history::{self, Provider},
    http_client::{self, ClientConfig, Roots, UpstreamError},
    metrics::Metrics,
    oauth::TokenSource,
};

/// Limit of one question.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether the provider's way is open up to where a conversation would be asked for.
pub(super) async fn examine(name: &str, profile: &Profile, metrics: &Arc<Metrics>, tell: &mut impl FnMut(Finding)) {
    let subject = match profile.history.provider {
        Provider::Inline => return,
        Provider::CxoneSummaries => return summaries(name, profile, metrics, tell).await,
        Provider::CxoneDigital => "cxone",
        Provider::Http => {
            address(name, profile, tell).await;
            "history"
        }
    };
    for examined in history::examine(&profile.history, metrics).await {
        tell(match examined.result {
            Ok(said) => Finding::ok(subject, format!("{name}: {said}")),
            Err(error) => {
                let sentence = format!("{name}: {}: it {error}; {}", examined.step, examined.advice);
                Finding::fail(subject, sentence)
            }
        });
    }
}

async fn summaries(name: &str, profile: &Profile, metrics: &Arc<Metrics>, tell: &mut impl FnMut(Finding)) {
    let Ok(oauth) = profile.history.cxone.oauth() else { return };
    // An unusable file of authorities is a finding of the settings.
    let Ok(roots) = Roots::read(profile.history.cxone.ca_file.as_deref()) else { return };
    let limits = ClientConfig { connect_timeout: LIMIT, timeout: LIMIT, https_only: false, roots };
    let Ok(client) = http_client::build(&limits) else { return };
    let got = TokenSource::new(client, oauth, Arc::clone(metrics)).token(LIMIT).await;
    tell(match got {
        Ok(_) => Finding::ok("cxone", format!("{name}: it gave a token")),
        Err(error) => Finding::fail("cxone", format!("{name}: no token: {error}; {}", token_advice(&error))),
    });
}

fn token_advice(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Status { status: 400 | 401 | 403, .. } => {
            "check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET, and the scopes of that client"
        }
        UpstreamError::Status { status: 404 | 405, .. } => "check history.cxone.base_url and token_path",
        _ => "check history.cxone.base_url, and that this machine may reach it",
    }
}

/// Whether the host of the JSON API has addresses, and such as may be dialled.
async fn address(name: &str, profile: &Profile, tell: &mut impl FnMut(Finding)) {
    let config = &profile.history.http;
    let Ok(egress) = Egress::new(&config.egress, None) else { return };
    let Some(url) = config.url.as_deref().and_then(|url| egress.check_configured_url(url).ok()) else { return };
    tell(match resolved(&egress, &url).await {
        Ok(()) => Finding::ok("history", format!("{name}: its host has an address that may be dialled")),
        Err(Some(EgressError::Address)) => {
            let advice = "its host has no address, or one that may not be dialled; for one inside your network add its \
                          range to history.http.egress.allow_private_cidrs";
            Finding::fail("history", format!("{name}: {advice}"))
        }
        Err(_) => {
            let advice = "its host is not known; check history.http.url and this machine's name servers";
            Finding::fail("history", format!("{name}: {advice}"))
        }
    });
}
