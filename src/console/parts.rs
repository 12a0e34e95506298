//! What a console is made of.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    callback::Preview,
    dead_letters::Deadlines,
    pipeline::{Pipeline, Replayer},
    queue::Queue,
    redaction::RedactionRules,
};

/// The parts.
pub struct Parts {
    /// The queue, for looking into it and for dead letters.
    pub queue: Arc<dyn Queue>,
    /// How long replayed triggers have.
    pub deadlines: Deadlines,
    /// The bots of the playground, by profile.
    pub bots: BTreeMap<String, Bot>,
    /// Where template sets are, and so test cases are kept; nowhere for the compiled-in set.
    pub templates: Option<PathBuf>,
    /// What is masked of a profile that is unknown here.
    pub redaction: RedactionRules,
}

/// What the playground knows of a profile.
pub struct Bot {
    /// Renders its prompts and judges answers.
    pub replayer: Replayer,
    /// Asks its models, with nothing but the history that a trigger brings; or why it cannot.
    pub pipeline: Result<Pipeline, String>,
    /// How its callbacks look.
    pub callback: Preview,
    /// From acceptance until an answer is worthless.
    pub deadline: Duration,
}

impl Parts {
    /// What is masked in texts of a profile.
    pub(super) fn redaction(&self, profile: &str) -> &RedactionRules {
        self.bots.get(profile).map_or(&self.redaction, |bot| &bot.replayer.redaction)
    }
}
