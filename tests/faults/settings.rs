//! The settings that all rows begin with.

use crate::{
    outside::Outside,
    processes::Environment,
    support::app::{CALLBACK_SECRET, WEBHOOK_SECRET},
};

/// For a deployment in this world.
pub(crate) fn settings(outside: &Outside) -> Environment {
    [
        ("COGNIGY_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("COGNIGY_CALLBACK_SECRET", CALLBACK_SECRET.to_owned()),
        ("COGNIGY_CALLBACK_URL", outside.sink_url.clone()),
        ("LLM_GATEWAY_API_KEY", "key".to_owned()),
        ("CFR__PROFILES__DEFAULT__HISTORY__PROVIDER", "inline".to_owned()),
        ("CFR__PROFILES__DEFAULT__DEADLINE", "300s".to_owned()),
        ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_PRIVATE_CIDRS", "[\"127.0.0.0/8\"]".to_owned()),
        ("CFR__PROFILES__DEFAULT__CALLBACK__EGRESS__ALLOW_HTTP", "true".to_owned()),
        ("CFR__INGRESS__LIMITS__DRAIN_DELAY", "0s".to_owned()),
        ("CFR__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("CFR__QUEUE__SOFT_LIMIT", "1000000".to_owned()),
        ("CFR__LOG__LEVEL", "error".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
