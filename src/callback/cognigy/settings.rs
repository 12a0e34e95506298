//! `[profiles.NAME.callback.cognigy]`.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::secret::Secret;

/// Settings of the modes that post into a Cognigy session.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Have Cognigy run the intent that the model found, where no human is required: the injected text is then
    /// `cIntent:<intent>|<lastMessage>`. Only to intents that the trigger named as candidates, and those of
    /// `reroute_names`.
    pub reroute: bool,
    /// Cognigy's names of intents that are called otherwise here, which may be run without being a candidate.
    pub reroute_names: BTreeMap<String, String>,
    /// How long a Cognigy session lives; counted from the acceptance of the trigger, nothing is posted after it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub session_life: Duration,
    /// Endpoint types into whose sessions nothing can be posted, in any spelling of upper and lower case. Their triggers
    /// are refused.
    pub no_inject: Vec<String>,
    /// Tells a customer who waits that the answer takes a while.
    pub thinking: Option<Thinking>,
    /// For mode `cognigy-management`.
    pub management: Management,
}

/// `[profiles.NAME.callback.cognigy.thinking]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Thinking {
    /// From acceptance until it is told, unless the outcome is there.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub after: Duration,
    /// Which of the sentences serves triggers in other languages; the profile's own language, if not set.
    #[serde(default)]
    pub language: String,
    /// What is told, by language (BCP 47).
    pub sentences: BTreeMap<String, String>,
}

/// `[profiles.NAME.callback.cognigy.management]`
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Management {
    /// What is done with an outcome.
    pub action: Action,
    /// Key of the management API (`X-API-Key`).
    pub api_key: Option<Secret>,
}

/// What Cognigy does with what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Runs the flow with it, as if the customer had sent it.
    #[default]
    Inject,
    /// Shows it to the customer.
    Notify,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reroute: false,
            reroute_names: BTreeMap::new(),
            session_life: Duration::from_secs(30 * 60),
            no_inject: Vec::new(),
            thinking: None,
            management: Management::default(),
        }
    }
}

impl Config {
    /// False for an endpoint type into whose sessions nothing can be posted.
    #[must_use]
    pub fn takes(&self, endpoint_type: &str) -> bool {
        !self.no_inject.iter().any(|refused| refused.eq_ignore_ascii_case(endpoint_type.trim()))
    }
}
