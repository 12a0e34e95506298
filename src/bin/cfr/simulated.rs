//! What `cfr demo` and `cfr bench` share: the settings of a router among simulated neighbours, as an operator would set
//! them, a secret, and a client.

use std::{collections::BTreeMap, path::Path, time::Duration};

use cognigy_fallback_router::{
    http_client::{self, ClientConfig, Roots},
    simulators::{CALLBACK_SECRET, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET, LLM_API_KEY, Simulators},
};

/// Variables and their values.
pub(crate) type Environment = BTreeMap<String, String>;

/// A router on the embedded queue in `directory`, whose only neighbours are these, with one profile.
pub(crate) fn environment(simulators: &Simulators, secret: &str, directory: &Path) -> Environment {
    let mut environment = variables([
        ("CFR__QUEUE__BACKEND", "embedded"),
        ("CFR__QUEUE__EMBEDDED__DIRECTORY", &directory.display().to_string()),
        ("CFR__INGRESS__LIMITS__DRAIN_DELAY", "0s"),
    ]);
    environment.extend(profile("DEFAULT", simulators, secret));
    environment
}

/// A profile with these neighbours.
pub(crate) fn profile(name: &str, simulators: &Simulators, secret: &str) -> Environment {
    let list = |value: &str| format!("[\"{value}\"]");
    [
        ("WEBHOOK__SECRETS", list(secret)),
        ("CALLBACK__URL", simulators.cognigy.url().to_owned()),
        ("CALLBACK__SECRETS", list(CALLBACK_SECRET)),
        ("CALLBACK__EGRESS__ALLOW_HTTP", "true".to_owned()),
        ("CALLBACK__EGRESS__ALLOW_PRIVATE_CIDRS", list("127.0.0.0/8")),
        ("HISTORY__CXONE__BASE_URL", simulators.cxone.url().to_owned()),
        ("HISTORY__CXONE__CLIENT_ID", CXONE_CLIENT_ID.to_owned()),
        ("HISTORY__CXONE__CLIENT_SECRET", CXONE_CLIENT_SECRET.to_owned()),
        ("LLM__BASE_URL", simulators.llm.url().to_owned()),
        ("LLM__API_KEY", LLM_API_KEY.to_owned()),
    ]
    .map(|(key, value)| (format!("CFR__PROFILES__{name}__{key}"), value))
    .into()
}

/// These, as they are kept.
pub(crate) fn variables<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A webhook secret that nobody else has.
pub(crate) fn secret() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

/// A client of this machine's services that waits no longer than `limit`.
///
/// # Errors
/// As [`http_client::build`].
pub(crate) fn client(limit: Duration) -> anyhow::Result<reqwest::Client> {
    let config = ClientConfig { connect_timeout: limit, timeout: limit, https_only: false, roots: Roots::default() };
    Ok(http_client::build(&config)?)
}
