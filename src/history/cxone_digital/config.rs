//! Settings of the provider `cxone_digital`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{egress::EgressConfig, secret::Secret};

/// Settings of the provider `cxone_digital`. The credentials are the four that NiCE's own extension for Cognigy asks for.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
pub struct CxoneDigitalConfig {
    /// The OpenID issuer, where discovery begins.
    pub environment_url: String,
    /// Id of the access key.
    pub access_key_id: Option<String>,
    /// Its secret.
    pub access_key_secret: Option<Secret>,
    /// OAuth2 client id; that of `history.cxone` where not set.
    pub client_id: Option<String>,
    /// OAuth2 client secret; that of `history.cxone` where not set.
    pub client_secret: Option<Secret>,
    /// Which of the tenant's hosts is asked.
    pub api: Api,
    /// Base URL of the API; not set: found by discovery.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Which calls are made.
    pub read: Read,
    /// Ids of CXone users that are bots: what they write is the assistant's, not an agent's.
    pub bot_user_ids: Vec<String>,
    /// Speak HTTP/1.1 only.
    pub http1_only: bool,
    /// Ask for uncompressed answers.
    pub identity_encoding: bool,
    /// Where discovered addresses may lead: `allow_hosts` are CXone's domains.
    pub egress: EgressConfig,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// The hosts of a tenant. NiCE's agent SDK uses the second for digital calls, other public code the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// The `api_endpoint` of the tenant's configuration, as a rule `https://api-{area}.{domain}`.
    #[default]
    Facade,
    /// `https://api-de-{area}.{domain}`.
    Digital,
}

/// The calls for the messages of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// `messages`; where a tenant does not have or permit it, `detail`.
    #[default]
    Auto,
    /// `GET /dfo/3.0/contacts/{id}/messages`, page by page.
    Messages,
    /// `GET /dfo/3.0/contacts/{id}/detail`: one answer, of the whole case.
    Detail,
}
