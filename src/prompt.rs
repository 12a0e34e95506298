//! Prompts: Tera templates, compiled and rendered with a sample at start, so that a broken one stops the start.

use std::path::Path;

use serde_json::Value;

use crate::{conversation::Conversation, trigger::TriggerBody};

/// What the model is asked: the operator's words apart from the customer's.
#[derive(Clone)]
pub struct Prompt {
    /// The system message: operator text only.
    pub system: String,
    /// The user message: the customer's words, as data in a marked block.
    pub user: String,
}

/// What a template may use. All text in it is already redacted.
pub struct PromptInput<'a> {
    /// The trigger, redacted.
    pub trigger: &'a TriggerBody,
    /// The conversation, redacted.
    pub conversation: &'a Conversation,
    /// Intents that the model may choose from; empty: free choice.
    pub intents: &'a [Intent],
    /// The random id that marks the data block of this request.
    pub block_id: &'a str,
}

/// An intent of a profile's allow-list.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Its name, as the outcome shall spell it.
    pub name: String,
    /// What it is for; tells the model when to choose it.
    #[serde(default)]
    pub description: String,
}

/// One template set: `system.tera`, `user.tera`, `decision.schema.json`, `sample.trigger.json`.
pub struct TemplateSet {}

/// A template set cannot serve. The text names the file, and for syntax errors the line.
#[derive(Debug, thiserror::Error)]
#[error("template set \"{set}\": {problem}")]
pub struct TemplateError {
    /// Name of the set.
    pub set: String,
    /// What is wrong with it.
    pub problem: String,
}

impl TemplateSet {
    /// Loads a set from `directory/<name>/`, or the one that is compiled in (`default`) when there is no directory,
    /// and renders it once with its sample.
    ///
    /// # Errors
    /// [`TemplateError`] for a missing file, a syntax error, an undefined variable, an invalid schema or sample.
    pub fn load(_directory: Option<&Path>, _name: &str) -> Result<Self, TemplateError> {
        unimplemented!()
    }

    /// The identity for the outcome's `meta.template`: name and the first 12 hex digits of the files' SHA-256.
    #[must_use]
    pub fn id(&self) -> &str {
        unimplemented!()
    }

    /// The decision schema of this set.
    #[must_use]
    pub fn schema(&self) -> &Value {
        unimplemented!()
    }

    /// Renders the two messages.
    ///
    /// # Errors
    /// When a template uses something this input does not have.
    pub fn render(&self, _input: &PromptInput<'_>) -> Result<Prompt, TemplateError> {
        unimplemented!()
    }
}

// It holds customer text.
impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prompt").finish_non_exhaustive()
    }
}
