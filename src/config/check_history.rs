//! What a provider of conversations cannot do without.

use std::time::Duration;

use super::{
    Profile,
    check::{Notes, required},
};
use crate::{
    history::{AuthKind, CxoneDigitalConfig, HttpConfig, Provider},
    secret::Secret,
};

/// Checks the bounds of every profile's history.
pub(super) fn bounds(profile: &Profile, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let (history, s) = (&profile.history, Duration::from_secs);
    notes.within(&key("history.max_turns"), history.max_turns, 0, 1000);
    notes.within(&key("history.timeout"), history.timeout, Duration::from_millis(1), s(300));
    notes.within(&key("history.cache.ttl"), history.cache.ttl, s(0), s(60));
    notes.within(&key("history.cache.max_conversations"), history.cache.max_conversations, 0, 1_000_000);
    notes.within(&key("history.cache.max_bytes"), history.cache.max_bytes, 0, 1 << 30);
    notes.within(&key("history.http.max_pages"), history.http.max_pages, 1, 100);
}

/// Checks that the settings of the chosen provider are there.
pub(super) fn provider(profile: &Profile, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let history = &profile.history;
    match history.provider {
        Provider::Inline => {}
        Provider::CxoneSummaries => {
            let cxone = &history.cxone;
            required(cxone.client_id.as_deref(), &key("history.cxone.client_id"), "CXONE_CLIENT_ID", notes);
            required(secret(&cxone.client_secret), &key("history.cxone.client_secret"), "CXONE_CLIENT_SECRET", notes);
        }
        Provider::CxoneDigital => {
            let mut history = history.clone();
            history.complete();
            digital(&history.cxone_digital, &|name| key(&format!("history.cxone_digital.{name}")), notes);
        }
        Provider::Http => http(&history.http, &|name| key(&format!("history.http.{name}")), notes),
    }
}

fn digital(digital: &CxoneDigitalConfig, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    required(digital.access_key_id.as_deref(), &key("access_key_id"), "CXONE_ACCESS_KEY_ID", notes);
    required(secret(&digital.access_key_secret), &key("access_key_secret"), "CXONE_ACCESS_KEY_SECRET", notes);
    required(digital.client_id.as_deref(), &key("client_id"), "CXONE_CLIENT_ID", notes);
    required(secret(&digital.client_secret), &key("client_secret"), "CXONE_CLIENT_SECRET", notes);
    if digital.egress.allow_hosts.is_empty() && digital.base_url.is_none() {
        let sentence = "is empty, so no discovered address may be called; the domains of CXone would be right";
        notes.problem(&key("egress.allow_hosts"), sentence);
    }
}

fn http(http: &HttpConfig, key: &dyn Fn(&str) -> String, notes: &mut Notes<'_>) {
    let mut needed = |name: &str, value: Option<&str>| {
        if value.is_none_or(|value| value.trim().is_empty()) {
            notes.problem(&key(name), format!("is not set; auth = \"{}\" needs it", http.auth.as_str()));
        }
    };
    match http.auth {
        AuthKind::None => {}
        AuthKind::Header => needed("api_key", secret(&http.api_key)),
        AuthKind::Bearer => needed("token", secret(&http.token)),
        AuthKind::Basic => {
            needed("username", http.username.as_deref());
            needed("password", secret(&http.password));
        }
        AuthKind::Oauth2 => {
            needed("oauth.token_url", http.oauth.token_url.as_deref());
            needed("oauth.client_id", http.oauth.client_id.as_deref());
            needed("oauth.client_secret", secret(&http.oauth.client_secret));
        }
    }
    if http.url.as_deref().is_none_or(|url| url.trim().is_empty()) {
        notes.problem(
            &key("url"),
            "is not set; https://history.example.com/conversations/{conversationId} would be right",
        );
    }
    if http.auth == AuthKind::None && http.headers.is_empty() {
        notes.warning(&key("auth"), "is \"none\": whoever reaches that address can read every conversation");
    }
}

fn secret(secret: &Option<Secret>) -> Option<&str> {
    secret.as_ref().map(Secret::expose)
}
