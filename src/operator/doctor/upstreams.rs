//! The model gateway and the receivers of callbacks, for one profile.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::dns::Name;
use serde_json::json;
use tokio::time::Instant;
use url::{Host, Url};

use super::Finding;
use crate::{
    callback::Mode,
    config::Profile,
    egress::{Egress, EgressError},
    llm::{self, ChatMessage, CompletionRequest, Listing, LlmClient, LlmError, ResponseFormat, Spent},
    metrics::Metrics,
    time::EpochMs,
};

/// Limit of one question.
const LIMIT: Duration = Duration::from_secs(10);
/// Clocks further apart than these are doubtful, and wrong: signed requests are refused from 300 s on.
const SKEW: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Whether the gateway answers, knows the models, and lives in our time.
pub(super) async fn model(
    name: &str,
    profile: &Profile,
    spend: bool,
    metrics: &Arc<Metrics>,
    tell: &mut impl FnMut(Finding),
) {
    if profile.llm.base_url.is_none() {
        return;
    }
    let listing = match llm::list_models(&profile.llm, metrics).await {
        Ok(listing) => listing,
        Err(error) => {
            let advice = "check llm.base_url (LLM_GATEWAY_BASE_URL), and that this machine may reach it";
            return tell(Finding::fail("llm", format!("{name}: {error}; {advice}")));
        }
    };
    tell(skew(name, listing.date));
    for finding in listed(name, profile, &listing) {
        tell(finding);
    }
    if listing.models.is_none() && !matches!(listing.status, 401 | 403) {
        tell(asked(name, profile, spend, metrics).await);
    }
}

fn skew(name: &str, date: Option<EpochMs>) -> Finding {
    let Some(date) = date else { return Finding::warn("clock", format!("{name}: the gateway does not tell its time")) };
    let now = EpochMs::from(SystemTime::now());
    let apart = now.since(date).max(date.since(now));
    let sentence = format!("{name}: {} s apart from the gateway's", apart.as_secs());
    match apart {
        apart if apart > SKEW.1 => Finding::fail(
            "clock",
            format!("{sentence}; synchronise this machine's clock (NTP): deadlines and signatures depend on it"),
        ),
        apart if apart > SKEW.0 => {
            Finding::warn("clock", format!("{sentence}; look at this machine's time synchronisation"))
        }
        _ => Finding::ok("clock", sentence),
    }
}

fn listed(name: &str, profile: &Profile, listing: &Listing) -> Vec<Finding> {
    if matches!(listing.status, 401 | 403) {
        let sentence = format!("{name}: the gateway refuses the key ({}); check LLM_GATEWAY_API_KEY", listing.status);
        return vec![Finding::fail("llm", sentence)];
    }
    let Some(models) = &listing.models else { return Vec::new() };
    let judged = profile.llm.models.iter().map(|model| match models.contains(model) {
        true => Finding::ok("llm", format!("{name}: the gateway has {model}")),
        false => {
            let sentence =
                format!("{name}: the gateway does not list {model}; check llm.models (aliases may work all the same)");
            Finding::warn("llm", sentence)
        }
    });
    judged.collect()
}

/// Asks the first model for one token, if that is allowed.
async fn asked(name: &str, profile: &Profile, spend: bool, metrics: &Arc<Metrics>) -> Finding {
    if !spend {
        let sentence = "the gateway answers but lists no models; --spend asks the first one for one token";
        return Finding::warn("llm", format!("{name}: {sentence}"));
    }
    let mut config = profile.llm.clone();
    config.models.truncate(1);
    (config.max_tokens, config.attempts, config.response_format) = (1, 1, ResponseFormat::None);
    let client = match LlmClient::new(&config, &json!({}), Arc::clone(metrics)) {
        Ok(client) => client,
        Err(error) => return Finding::fail("llm", format!("{name}: {error:#}")),
    };
    let mut spent = Spent::default();
    let messages = [ChatMessage { role: "user", content: "ping".to_owned() }];
    let answer = client.complete(CompletionRequest::new(&messages), Instant::now() + LIMIT * 3, &mut spent);
    match answer.await {
        Ok(_) | Err(LlmError::ContentRefused) => Finding::ok("llm", format!("{name}: the first model answered")),
        Err(error) => Finding::fail(
            "llm",
            format!("{name}: the first model did not answer: {error}; check llm.models and the key"),
        ),
    }
}

/// Whether the configured receiver has addresses, and such as may be dialled. Nothing is posted.
pub(super) async fn callback(name: &str, profile: &Profile, tell: &mut impl FnMut(Finding)) {
    let callback = &profile.callback;
    if callback.mode == Mode::None {
        return tell(Finding::ok("callback", format!("{name}: none is wanted; outcomes are kept for whoever asks")));
    }
    // What is wrong with the rules or the URL is a finding of the settings.
    let Ok(egress) = Egress::new(&callback.egress, callback.url.as_deref()) else { return };
    let Some(url) = egress.configured_url() else {
        let allowed = callback.egress.allow_hosts.len();
        // With neither a URL nor an allow-list the settings have failed already.
        if allowed > 0 {
            tell(Finding::ok("callback", format!("{name}: triggers name it; {allowed} hosts are allowed")));
        }
        return;
    };
    tell(match resolved(&egress, url).await {
        Ok(()) => Finding::ok("callback", format!("{name}: its host has an address that may be dialled")),
        Err(error) => Finding::fail("callback", format!("{name}: {}", callback_advice(error))),
    });
}

pub(super) async fn resolved(egress: &Egress, url: &Url) -> Result<(), Option<EgressError>> {
    // The text of a literal address was judged with the URL.
    let Some(Host::Domain(host)) = url.host() else { return Ok(()) };
    let host: Name = host.parse().map_err(|_| None)?;
    let addresses = egress.resolver().resolve(host).await;
    addresses.map(drop).map_err(|error| EgressError::in_chain(&*error))
}

fn callback_advice(error: Option<EgressError>) -> String {
    match error {
        Some(EgressError::Address) => {
            "its host has no address, or one that may not be dialled; for a target inside your \
            network add its range to callback.egress.allow_private_cidrs"
                .to_owned()
        }
        Some(error) => format!("its URL {error}; check callback.url and this machine's name servers"),
        None => "its host is not known; check callback.url and this machine's name servers".to_owned(),
    }
}
