//! `[profiles.NAME]`: one bot.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::{
    callback, decision::DecisionRules, history, ingress, llm, prompt::Intent, redaction, secret::Secret,
    signature::Scheme,
};

/// The settings of one bot.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Profile {
    /// Outcomes can be waited for (`Prefer: wait`) and asked for (`GET /v1/triggers`).
    pub poll: bool,
    /// A trigger that still waits is given up (`superseded`) when its customer writes again.
    pub supersede: bool,
    /// Scores above this are refused.
    pub threshold: f64,
    /// From acceptance until the answer is worthless.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::time::DurationText")]
    pub deadline: Duration,
    /// Name of the template set.
    pub template: String,
    /// Language of the safe answer where the trigger names none.
    pub language: String,
    /// Sentences that replace the built-in safe answers, by language.
    #[serde(default)]
    pub safe_answers: BTreeMap<String, String>,
    /// What the model may choose from; empty: anything.
    pub intents: Vec<Intent>,
    /// A confidence of the model below this means a human; not set: its own word decides.
    #[serde(default)]
    pub min_confidence: Option<f64>,
    /// Hosts that links in a suggested response may lead to.
    pub link_hosts: Vec<String>,
    /// `[profiles.NAME.webhook]`
    pub webhook: Webhook,
    /// `[profiles.NAME.history]`
    pub history: history::Config,
    /// `[profiles.NAME.llm]`
    pub llm: llm::Config,
    /// `[profiles.NAME.redaction]`
    pub redaction: redaction::Config,
    /// `[profiles.NAME.callback]`
    pub callback: callback::Config,
}

/// `[profiles.NAME.webhook]`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub struct Webhook {
    /// How requests are signed.
    pub scheme: Scheme,
    /// The live secrets, the current one first.
    pub secrets: Vec<Secret>,
    /// `[profiles.NAME.webhook.rate]`: how many requests are taken; without it any number.
    #[serde(default)]
    pub rate: Option<ingress::RateConfig>,
}

impl Profile {
    /// What a decision of this bot may contain.
    #[must_use]
    pub fn decision_rules(&self) -> DecisionRules {
        let with_parameters = |intent: &Intent| Some((intent.name.clone(), intent.parameters.clone()?));
        let high_risk = self.intents.iter().filter(|intent| intent.high_risk);
        DecisionRules {
            intents: self.intents.iter().map(|intent| intent.name.clone()).collect(),
            parameters: self.intents.iter().filter_map(with_parameters).collect(),
            min_confidence: self.min_confidence,
            high_risk: high_risk.map(|intent| intent.name.clone()).collect(),
            link_hosts: self.link_hosts.clone(),
        }
    }

    /// Every secret of this bot.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let single = self.llm.api_key.iter().chain(self.history.secrets());
        let single = single.chain(&self.callback.cognigy.management.api_key);
        let lists = self.webhook.secrets.iter().chain(&self.callback.secrets).chain(self.llm.headers.values());
        let lists = lists.chain(self.callback.headers.values());
        single.chain(lists).cloned().collect()
    }

    /// Fills in what defaults to another setting.
    pub(super) fn complete(&mut self) {
        self.history.complete();
        if self.callback.secrets.is_empty() {
            self.callback.secrets.clone_from(&self.webhook.secrets);
        }
        if let Some(thinking) = &mut self.callback.cognigy.thinking
            && thinking.language.is_empty()
        {
            thinking.language.clone_from(&self.language);
        }
    }
}
