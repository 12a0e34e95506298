//! Settings of the provider `http`.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::{conversation::Role, egress::EgressConfig, history::Order, oauth::ClientAuth, secret::Secret};

/// Settings of the provider `http`.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
pub struct HttpConfig {
    /// Template of the URL; `{conversationId}`, `{userId}`, `{sessionId}`, `{contactId}` and `{caseId}` stand for the
    /// trigger's ids, in its path and query only.
    #[serde(default)]
    pub url: Option<String>,
    /// How requests prove who they are.
    pub auth: AuthKind,
    /// The header of `auth = "header"`.
    pub api_key_header: String,
    /// Its value.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// The token of `auth = "bearer"`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The name of `auth = "basic"`.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// `[profiles.NAME.history.http.oauth]`
    pub oauth: HttpOauth,
    /// Further headers.
    pub headers: BTreeMap<String, Secret>,
    /// JSON pointer (RFC 6901) to the list of items; empty: the whole answer is that list.
    pub items: String,
    /// Pointers inside an item to its text; the first that leads to a text that is not blank counts.
    pub text: Vec<String>,
    /// Pointer inside an item to the name of who spoke.
    pub role: String,
    /// What these names mean, in any case of letters; any other name is the customer.
    pub roles: BTreeMap<String, Speaker>,
    /// Pointer inside an item to its time.
    pub time: String,
    /// Pointer to what names the next page; empty: there is one page.
    pub next: String,
    /// The query parameter that takes it; not set: it is a URL of the same origin, absolute or relative.
    #[serde(default)]
    pub next_parameter: Option<String>,
    /// In which order items and pages come.
    #[serde(default)]
    pub order: Option<Order>,
    /// Pages that are read at most.
    pub max_pages: usize,
    /// Private networks that may be reached, and whether `http://` may.
    pub egress: EgressConfig,
    /// PEM file with authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How requests prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// Not at all.
    #[default]
    None,
    /// By a key in a header.
    Header,
    /// By a token that does not change.
    Bearer,
    /// By a name and a password.
    Basic,
    /// By OAuth 2.0 client credentials.
    Oauth2,
}

impl AuthKind {
    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Header => "header",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Oauth2 => "oauth2",
        }
    }
}

/// OAuth 2.0 client credentials.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
pub struct HttpOauth {
    /// The token endpoint.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Client id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Client secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// Requested scopes, separated by spaces; empty: none are named.
    pub scope: String,
    /// How the client proves who it is.
    pub client_auth: ClientAuth,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The customer.
    User,
    /// The bot.
    Assistant,
    /// A human agent.
    Agent,
    /// Nobody in the conversation: the item is left out.
    Skip,
}

impl Speaker {
    pub(super) fn role(self) -> Option<Role> {
        match self {
            Self::User => Some(Role::User),
            Self::Assistant => Some(Role::Assistant),
            Self::Agent => Some(Role::Agent),
            Self::Skip => None,
        }
    }
}

impl HttpConfig {
    /// Every secret in it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let single = [&self.api_key, &self.token, &self.password, &self.oauth.client_secret];
        single.into_iter().flatten().chain(self.headers.values())
    }
}
